"""What one sample does in a network: spikes of every layer, neuron by neuron or as maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from synaptrace.data.dataset import Dataset, Meta
from synaptrace.drawing import BLUE, COLOURS, GREY, LINES, figure, plain, save, whole
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.plots.weights import polarities


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


def feature_maps(
    net: Network, events: Tensor, path: Path, most: int = 16, shape: tuple[int, ...] | None = None
) -> Path:
    """Spike counts of each layer's maps over one sample, events (T, *in_shape), input first.

    A dense layer's neurons are one strip; input that is a map is drawn as ``shape``.
    """
    found = net.record(events[:, None], ("spikes",))
    maps = [("input", _maps(events.reshape(len(events), *shape) if shape else events))]
    maps += [(f"layer {i}", _maps(found[f"layers.{i}.spikes"][:, 0]))
             for i in range(len(net.layers))]  # fmt: skip
    columns = max(2, min(most, max(len(total) for _, total in maps)))
    picture = figure(max(0.7 * columns + 2, 4.5), 0.95 * len(maps) + 0.5)
    grid = picture.add_gridspec(len(maps), columns)
    for row, (name, total) in enumerate(maps):
        strip = total.shape[1] == 1 and len(total) == 1
        shown = min(len(total), columns)
        named = polarities(len(total)) if row == 0 and not strip and len(total) == 2 else None
        axes = [picture.add_subplot(grid[row, :] if strip else grid[row, i]) for i in range(shown)]
        drawn: Any = None
        for index, axis in enumerate(axes):
            axis.set(xticks=[], yticks=[], frame_on=False)
            drawn = axis.imshow(total[index].numpy(), cmap="cividis", vmin=0,
                                vmax=float(total.max()) or 1, interpolation="nearest",
                                aspect="auto" if strip else "equal")  # fmt: skip
            if named:
                axis.set_title(named[index], fontsize=7, pad=2)
        axes[0].set_ylabel(name, fontsize=7)
        picture.colorbar(drawn, ax=axes, pad=0.01).ax.tick_params(labelsize=6)
    picture.suptitle(f"events and spikes over {len(events)} steps", fontsize=8)
    return save(picture, path)


def _maps(spikes: Tensor) -> Tensor:
    """Spikes (T, …) summed over time, as maps (channels, rows, columns)."""
    total = spikes.float().sum(0).cpu()
    return total if total.dim() == 3 else total.reshape(1, 1, -1)


def raster(net: Network, events: Tensor, path: Path, title: str = "") -> Path:
    """Every spike of one sample, events (T, *in_shape): a panel a layer, the input below all."""
    found = net.record(events[:, None], ("spikes",))
    layers = [("input", events.flatten(1).cpu())]
    layers += [(f"layer {i}", found[f"layers.{i}.spikes"][:, 0].flatten(1).cpu())
               for i in range(len(net.layers))]  # fmt: skip
    picture = figure(7, 1.5 * len(layers) + 0.8)
    grid = picture.subplots(len(layers), 1, sharex=True)
    for index, (axis, (name, spikes)) in enumerate(zip(grid, reversed(layers), strict=True)):
        last = index == len(layers) - 1
        if last and bool((spikes != spikes.round()).any()):  # sound: levels, no events
            axis.imshow(spikes.t().numpy(), aspect="auto", origin="lower", cmap="cividis",
                        interpolation="nearest")  # fmt: skip
            axis.set(ylabel=f"{name}\nfeature")
            axis.set_title("features", fontsize=7, loc="right", pad=2)
            whole(axis)
            continue
        steps, neurons = spikes.numpy().nonzero()
        colour = GREY if last else BLUE
        axis.scatter(steps, neurons, s=max(0.5, min(12, 1500 / spikes.shape[1])), color=colour,
                     marker="|" if len(events) < 200 else ".", linewidths=0.8)  # fmt: skip
        axis.set(ylabel=f"{name}\nneuron", ylim=(-0.5, spikes.shape[1] - 0.5))
        what = "events" if last else "spikes"
        axis.set_title(f"{len(steps)} {what}", fontsize=7, loc="right", pad=2)
        whole(axis)
    grid[-1].set(xlabel="step", xlim=(-0.5, len(events) - 0.5))
    picture.suptitle(plain(title), fontsize=9)
    return save(picture, path)


def membrane(net: Network, events: Tensor, path: Path, layer: int = 0, title: str = "") -> Path:
    """Membranes of one layer over one sample, of the neurons that spike most, with their spikes.

    Args:
        events: (T, *in_shape).
        layer: which hidden layer, from 0.

    Raises:
        UserError: there is no such layer.
    """
    if not 0 <= layer < len(net.layers):
        raise UserError(f"--layer: {layer} is not one of the {len(net.layers)} layers, from 0")
    found = net.record(events[:, None], ("spikes", "membrane"))
    spikes = found[f"layers.{layer}.spikes"][:, 0].flatten(1).cpu()
    values = found[f"layers.{layer}.membrane"][:, 0].flatten(1).cpu()
    order = spikes.sum(0).argsort(descending=True, stable=True)[:LINES].tolist()
    picture = figure(7, 0.9 * len(order) + 1)
    grid = picture.subplots(len(order), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, neuron, colour in zip(grid, order, COLOURS, strict=False):
        axis.plot(
            range(len(values)), values[:, neuron].numpy(), color=colour, drawstyle="steps-post"
        )
        at = spikes[:, neuron].nonzero()[:, 0].numpy()
        axis.plot(at, values[:, neuron].numpy()[at], "|", color="black", markersize=9)
        whole(axis)
        axis.annotate(f"neuron {neuron}\n{len(at)} spikes", (1, 0.5), xycoords="axes fraction",
                      xytext=(4, 0), textcoords="offset points", va="center", fontsize=7,
                      color=colour, annotation_clip=False)  # fmt: skip
    grid[-1].set(xlabel="step", xlim=(0, len(events) - 1 or 1))
    picture.supylabel("membrane (bars: spikes)", fontsize=8)
    picture.suptitle(plain(f"layer {layer}{title and f', {title}'}"), fontsize=9)
    return save(picture, path)
