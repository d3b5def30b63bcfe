"""A picture of what a network gets to see: frames of maps, rasters of lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.dataset import Dataset
from synaptrace.drawing import OFF, ON, figure, plain, save

SAMPLES = 4
"""Rows of the picture, each of another class where there are so many."""

COLUMNS = 6
"""Parts into which a sample's steps are summed up."""

RGB = tuple(tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in (OFF, ON))
"""Blue and vermilion, on white; both at once are dark."""


def draw(data: Dataset, path: Path, split: str = "train") -> None:
    """Draw some samples of a split, as they are without augmentation, into a PNG.

    A map's steps are summed up in six parts, one beside the other, ON vermilion and OFF blue; a
    line of channels is a raster, time to the right.

    Raises:
        UserError: the file can't be written.
    """
    chosen = _choose(data, split)
    maps = len(data.meta.shape) == 3
    columns = COLUMNS if maps else 1
    size = (1.6 * columns + 0.5, 1.75 * len(chosen)) if maps else (8, 2 * len(chosen))
    picture = figure(*size)
    axes = picture.subplots(len(chosen), columns, squeeze=False)
    for row, (label, events) in zip(axes, chosen, strict=True):
        (_maps if maps else _raster)(row, events)
        name = plain(data.meta.classes[label])
        what = "band" if data.meta.features else "channel"
        row[0].set_ylabel(name if maps else f"{name}\n{what}")
    if not maps:
        axes[-1][0].set_xlabel("step")
    polarity = " (ON vermilion, OFF blue)" if maps and data.meta.shape[0] % 2 == 0 else ""
    picture.suptitle(plain(f"{data.meta.name}, {split}{polarity}"), fontsize="medium")
    save(picture, path)


def _choose(data: Dataset, split: str) -> list[tuple[int, Tensor]]:
    """The first samples (T, *shape) of different classes."""
    found: dict[int, Tensor] = {}
    for events, labels, lengths in data.batches(split):
        for place, label in enumerate(labels.tolist()):
            steps = len(events) if lengths is None else int(lengths[place])
            found.setdefault(label, events[:steps, place])
        if len(found) >= min(SAMPLES, len(data.meta.classes)):
            break
    return sorted(found.items(), key=lambda item: item[0])[:SAMPLES]


def _maps(row: Any, events: Tensor) -> None:
    """Parts of a sample (T, channels, rows, columns) in a row of axes, all on one scale.

    Channels are OFF and ON in turn; an odd number of them are merged polarities.
    """
    off, on = events[:, ::2].sum(1), events[:, 1::2].sum(1)
    if events.shape[1] % 2:
        off, on = torch.zeros_like(off), off + on
    events = torch.stack([off, on], 1)
    parts = [part.sum(0) for part in torch.tensor_split(events, len(row))]
    top = max(float(part.max()) for part in parts) or 1.0
    edges = torch.tensor_split(torch.arange(len(events)), len(row))
    for axis, part, steps in zip(row, parts, edges, strict=True):
        image = torch.ones(*part.shape[1:], 3)
        for channel, colour in zip(part, RGB, strict=True):
            image *= 1 - (channel / top).sqrt()[..., None] * (1 - torch.tensor(colour))
        axis.imshow(image.clamp(0, 1).numpy())
        if len(steps):
            axis.set_title(f"steps {int(steps[0])}-{int(steps[-1])}", fontsize="x-small")
        axis.set_xticks([])
        axis.set_yticks([])


def _raster(row: Any, events: Tensor) -> None:
    """A sample (T, channels) in one axis."""
    from matplotlib.ticker import MaxNLocator

    top = float(events.abs().max()) or 1.0
    signed = bool((events < 0).any())
    drawn = row[0].imshow(
        events.t().numpy(),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="RdBu_r" if signed else "Greys",
        vmin=-top if signed else 0,
        vmax=top,
    )
    row[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    row[0].figure.colorbar(drawn, ax=row[0], pad=0.01, label="value a step")
