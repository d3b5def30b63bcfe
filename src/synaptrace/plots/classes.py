"""How a network tells classes apart: traces in a plane, and the confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.dataset import Dataset
from synaptrace.drawing import COLOURS, LINES, figure, plain, save
from synaptrace.errors import UserError
from synaptrace.network import Network, mask
from synaptrace.plots.sample import shown_split

EMBEDDING = "embedding.png"
MOST = 600
"""Samples in an embedding: enough to see classes, few enough to see points."""
MARKS = "osD^vP"
"""Of classes beyond the colours, in turn."""


@torch.no_grad()
def traces(net: Network, dataset: Dataset, split: str, most: int = MOST) -> tuple[Tensor, Tensor]:
    """The last layer's traces at each sample's end, (N, neurons), and the labels (N,)."""
    found, labels, count = [], [], 0
    lam = net.layers[-1].neuron.lam
    for events, batch_labels, lengths in dataset.batches(split):
        state, trace = net.initial_state(len(batch_labels)), None
        for t, x in enumerate(events.to(net.readout.weight.device)):
            running = None if lengths is None else (t < lengths).to(x.device)
            _, state = net.step(mask(x, running), state)
            out = net.layers[-1].pool(state.spikes[-1]).flatten(1)
            new = out if trace is None else lam * trace + out
            trace = new if running is None or trace is None else new.where(running[:, None], trace)
        if trace is not None:
            found.append(trace.float().cpu())
            labels.append(batch_labels)
            count += len(batch_labels)
        if count >= most:
            break
    if not found:
        raise UserError(f"data: {dataset.meta.name} has no {split} samples to show")
    return torch.cat(found)[:most], torch.cat(labels)[:most]


@dataclass(frozen=True)
class Plane:
    """Samples in a plane, those with like traces beside one another."""

    points: Any
    """(N, 2), NumPy."""
    labels: list[int]
    split: str


def plane(net: Network, dataset: Dataset) -> Plane | None:
    """The last layer's traces in a plane (t-SNE); None where too few samples, or silent ones.

    Validation samples, or training samples where there are none.
    """
    split = shown_split(dataset.meta)
    points, labels = traces(net, dataset, split)
    if len(points) < 8 or not points.std(0).any():
        return None
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(points) - 1) / 3)
    made = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points.numpy())
    return Plane(made, labels.tolist(), split)


def embedding(net: Network, dataset: Dataset, path: Path) -> Path | None:
    """The picture of `plane`, classes by colour and mark, each named in its midst; None as it."""
    found = plane(net, dataset)
    if found is None:
        return None
    picture = figure(5.5, 4.8)
    axis = picture.subplots()
    labels = torch.tensor(found.labels)
    for index, name in enumerate(dataset.meta.classes):
        own = found.points[(labels == index).numpy()]
        if not len(own):
            continue
        colour, mark = COLOURS[index % LINES], MARKS[index // LINES % len(MARKS)]
        axis.scatter(own[:, 0], own[:, 1], color=colour, marker=mark, s=10)
        if len(dataset.meta.classes) <= 40:
            x, y = torch.tensor(own).median(0).values.tolist()
            axis.annotate(
                plain(name), (x, y), fontsize=8,
                ha="center", va="center", weight="bold",
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": colour, "alpha": 0.85},
            )  # fmt: skip
    title = f"traces of {len(labels)} {found.split} samples (t-SNE)"
    axis.set(xticks=[], yticks=[], title=title)
    return save(picture, path)


def confusion(matrix: list[list[int]], classes: tuple[str, ...], path: Path, title: str) -> Path:
    """A confusion matrix (classes, classes) of counts, rows labels and columns predictions."""
    counts = torch.tensor(matrix, dtype=torch.float32)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    side = max(3.5, 0.35 * len(classes) + 1.5)
    picture = figure(side + 0.6, side)
    axis = picture.subplots()
    axis.imshow(share.numpy(), cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        for row, values in enumerate(matrix):
            for column, value in enumerate(values):
                if value:
                    ink = "white" if share[row, column] > 0.5 else "black"
                    axis.text(
                        column, row, str(value), ha="center", va="center", color=ink, fontsize=7
                    )
    places = range(len(classes))
    names = [plain(name) for name in classes]
    axis.set_xticks(places, names, rotation=90, fontsize=7)
    axis.set_yticks(places, names, fontsize=7)
    axis.set(xlabel="predicted", ylabel="label", title=plain(title))
    return save(picture, path)
