"""Pictures of a run: how it learned, what its traces, filters and feature maps look like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.dataset import Dataset
from synaptrace.drawing import attempt, figure, plain, save
from synaptrace.errors import UserError
from synaptrace.files import sweep
from synaptrace.layers import Conv
from synaptrace.network import Network, mask
from synaptrace.training.run import CONFIG, read_config, read_metrics

CURVE, EMBEDDING = "curve.png", "embedding.png"
LATE = 10
"""Epochs at the end over whose accuracies `learning_curves` takes mean and standard deviation."""
MOST = 600
"""Samples in an embedding: enough to see classes, few enough to see points."""


def after_training(run: Path, net: Network, dataset: Dataset) -> None:
    """The pictures that every training leaves in ``run``; a warning for each that fails."""
    for picture in (CURVE, EMBEDDING):
        sweep(run / picture)  # a kill left it half-written
    attempt(lambda: learning_curve(run))
    attempt(lambda: embedding(net, dataset, run / EMBEDDING))


def learning_curve(run: Path, path: Path | None = None) -> Path:
    """Accuracies, losses and spike rates, epoch by epoch; by default as ``run/curve.png``.

    Raises:
        UserError: the run has no finished epoch.
    """
    lines = read_metrics(run)
    if not lines:
        raise UserError(f"{run}: no epoch is finished yet")
    epochs = [line["epoch"] for line in lines]
    told = [key for key in ("losses", "rates") if all(key in line for line in lines)]
    picture = figure(11, 3.4)  # fine-tuning tells of accuracy alone
    accuracy, losses, rates = picture.subplots(1, 3)
    for key, label in (
        ("train_accuracy", "training"),
        ("validation_accuracy", "validation"),
        ("test_accuracy_paper_protocol", "test (paper protocol)"),
    ):
        values = [100 * line[key] for line in lines if line.get(key) is not None]
        if len(values) == len(lines):
            accuracy.plot(epochs, values, label=label)
    for axis, key in ((losses, "losses"), (rates, "rates")):
        for name in lines[0][key] if key in told else ():
            axis.plot(epochs, [line[key][name] for line in lines], label=name)
    accuracy.set(xlabel="epoch", ylabel="accuracy [%]", title="accuracy")
    losses.set(xlabel="epoch", ylabel="cross-entropy [nats]", title="loss of each layer")
    rates.set(
        xlabel="epoch", ylabel="spikes per neuron and step", title="spike rates", ylim=(0, None)
    )
    for axis in (accuracy, losses, rates):
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=7)
    return save(picture, path or run / CURVE)


def learning_curves(runs: Sequence[Path], path: Path) -> list[tuple[Path, float, float]]:
    """Validation accuracy of several runs, epoch by epoch, in one picture.

    Returns:
        Each run with the mean and the sample standard deviation of its validation accuracy over
        the last `LATE` epochs, shares of 1; the legend has them too.

    Raises:
        UserError: a run of fewer than two epochs, or without validation.
    """
    found = []
    picture = figure(7, 4)
    axis = picture.subplots()
    for run in runs:
        lines = read_metrics(run)
        values = [v for line in lines if (v := line.get("validation_accuracy")) is not None]
        if len(values) < 2 or len(values) < len(lines):
            raise UserError(f"{run}: needs two finished epochs, each with a validation accuracy")
        late = values[-LATE:]
        mean, spread = fmean(late), stdev(late)
        found.append((run, mean, spread))
        name = read_config(run).name if (run / CONFIG).exists() else run.name
        label = f"{plain(name)}: last {len(late)} {mean:.2%} ± {100 * spread:.2f}"
        axis.plot([line["epoch"] for line in lines], [100 * v for v in values], label=label)
    axis.set(xlabel="epoch", ylabel="validation accuracy [%]")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right")
    save(picture, path)
    return found


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


def filters(net: Network, path: Path) -> Path:
    """The kernels of the first layer, a convolution.

    Raises:
        UserError: a dense network.
    """
    weight = net.layers[0].forward_weight().detach().float().cpu()
    if weight.dim() == 2:
        raise UserError("plot filters: the first layer is dense; only a convolution has filters")
    shown = min(len(weight), 64)
    columns, channels = min(16, shown), weight.shape[1]
    rows = -(-shown // columns) * channels
    picture = figure(0.55 * columns + 0.6, 0.6 * rows + 0.6)
    grid = picture.subplots(rows, columns, squeeze=False)
    bound = float(weight.abs().max()) or 1.0
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        unit, channel = row // channels * columns + column, row % channels
        axis = grid[row][column]
        axis.set_axis_off()
        if unit < shown:
            axis.imshow(weight[unit, channel], cmap="RdBu_r", vmin=-bound, vmax=bound)
    picture.suptitle(
        f"first layer: {shown} of {len(weight)} filters, input channels below one another",
        fontsize=8,
    )
    return save(picture, path)


def sample(dataset: Dataset, number: int) -> Tensor:
    """Events (T, *shape) of the validation sample ``number``, of a training sample without any.

    Raises:
        UserError: there is no such sample.
    """
    split = "validation" if dataset.meta.sizes.get("validation") else "train"
    first = 0
    for events, labels, lengths in dataset.batches(split):
        if 0 <= number - first < len(labels):
            steps = None if lengths is None else int(lengths[number - first])
            return events[:steps, number - first]
        first += len(labels)
    raise UserError(f"--sample: {number} is not one of the {first} {split} samples, from 0")


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
