"""How a network tells classes apart: traces in a plane, and the confusion matrix."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from synaptrace.data.dataset import Dataset
from synaptrace.drawing import figure, plain, save
from synaptrace.errors import UserError
from synaptrace.network import Network, mask

EMBEDDING = "embedding.png"
MOST = 600
"""Samples in an embedding: enough to see classes, few enough to see points."""


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


def embedding(net: Network, dataset: Dataset, path: Path) -> Path | None:
    """The last layer's traces in a plane (t-SNE), coloured by class; None where too few samples.

    Validation samples, or training samples where there are none.
    """
    from sklearn.manifold import TSNE

    split = "validation" if dataset.meta.sizes.get("validation") else "train"
    points, labels = traces(net, dataset, split)
    if len(points) < 8 or not points.std(0).any():
        return None
    perplexity = min(30.0, (len(points) - 1) / 3)
    plane = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(points.numpy())
    picture = figure(5.5, 4.8)
    axis = picture.subplots()
    classes = dataset.meta.classes
    shown = axis.scatter(plane[:, 0], plane[:, 1], c=labels, cmap="tab20", s=10,
                         vmin=-0.5, vmax=max(len(classes), 2) - 0.5)  # fmt: skip
    if len(classes) <= 40:
        for name, mark in zip(
            classes, shown.to_rgba(torch.arange(len(classes)).numpy()), strict=True
        ):
            axis.scatter([], [], color=mark, label=plain(name), s=14)
        axis.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axis.set(xticks=[], yticks=[], title=f"traces of {len(points)} {split} samples (t-SNE)")
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
