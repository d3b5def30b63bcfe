"""What one sample does in a network: spikes of every layer, neuron by neuron or as maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.dataset import Dataset, Meta
from synaptrace.drawing import figure, save
from synaptrace.errors import UserError
from synaptrace.layers import Conv
from synaptrace.network import Network


def shown_split(meta: Meta) -> str:
    """What pictures show: validation samples, training samples where there are none."""
    return "validation" if meta.sizes.get("validation") else "train"


def labelled(dataset: Dataset, number: int) -> tuple[Tensor, int]:
    """Events (T, *shape) of the sample ``number`` of `shown_split`, and its label.

    Raises:
        UserError: there is no such sample.
    """
    split = shown_split(dataset.meta)
    first = 0
    for events, labels, lengths in dataset.batches(split):
        if 0 <= number - first < len(labels):
            steps = None if lengths is None else int(lengths[number - first])
            return events[:steps, number - first], int(labels[number - first])
        first += len(labels)
    raise UserError(f"--sample: {number} is not one of the {first} {split} samples, from 0")


def sample(dataset: Dataset, number: int) -> Tensor:
    """The events of `labelled`, which raises as it does."""
    return labelled(dataset, number)[0]


@torch.no_grad()
def feature_maps(net: Network, events: Tensor, path: Path, most: int = 16) -> Path:
    """Spike counts of each layer's maps over one sample, events (T, *in_shape), input first.

    Raises:
        UserError: a dense network.
    """
    if not isinstance(net.layers[0], Conv):
        raise UserError("plot features: the network is dense and has no maps")
    state, sums = net.initial_state(1), [torch.zeros(layer.shape) for layer in net.layers]
    for x in events[:, None]:
        _, state = net.step(x.to(net.readout.weight.device), state)
        for total, spikes in zip(sums, state.spikes, strict=True):
            total += spikes[0].float().cpu()
    maps: list[Any] = [("input", events.float().sum(0).cpu())]
    maps += [(f"layer {i}", total) for i, total in enumerate(sums)]
    columns = min(most, max(len(total) for _, total in maps))
    picture = figure(0.7 * columns + 1, 0.85 * len(maps) + 0.4)
    grid = picture.subplots(len(maps), columns, squeeze=False)
    for row, (name, total) in zip(grid, maps, strict=True):
        for index, axis in enumerate(row):
            axis.set(xticks=[], yticks=[], frame_on=False)
            if index < len(total):
                axis.imshow(total[index], cmap="magma", vmin=0, vmax=float(total.max()) or 1)
        row[0].set_ylabel(name, fontsize=7)
    picture.suptitle(f"events and spikes over {len(events)} steps", fontsize=8)
    return save(picture, path)
