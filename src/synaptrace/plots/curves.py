"""How runs learned: accuracies, losses and spike rates over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from synaptrace.drawing import figure, lines_of, name_ends, panels, save
from synaptrace.errors import UserError
from synaptrace.training.run import CONFIG, METRICS, read_config, read_metrics

CURVE, SPIKES = "curve.png", "spikes.png"
LATE = 10
"""Epochs at the end over whose accuracies `learning_curves` takes mean and standard deviation."""


def learning_curve(run: Path, path: Path | None = None) -> Path:
    """Accuracies, losses and spike rates, epoch by epoch; by default as ``run/curve.png``.

    Raises:
        UserError: the run has no finished epoch.
    """
    lines = read_metrics(run)
    if not lines:
        raise UserError(f"{run}: no epoch is finished yet")
    accuracy = {
        label: over(lines, key, 100)
        for key, label in (
            ("train_accuracy", "training"),
            ("validation_accuracy", "validation"),
            ("test_accuracy_paper_protocol", "test"),
        )
    }
    losses, rates = by_layer(lines, "losses"), by_layer(lines, "rates")
    shown = [("accuracy", "accuracy [%]", accuracy)]
    shown += [("loss of each layer", "cross-entropy [nats]", each) for each in panels(losses)]
    shown += [("spike rates", "spikes per neuron and step", each) for each in panels(rates)]
    picture = figure(4.1 * len(shown), 3.4)
    for axis, (title, unit, named) in zip(picture.subplots(1, len(shown)), shown, strict=True):
        lines_of(axis, named)
        axis.set(xlabel="epoch", ylabel=unit, title=title)
        if title == "spike rates":
            axis.set_ylim(0, None)
        name_ends(axis, named)
    return save(picture, path or run / CURVE)


def spikes(run: Path, path: Path | None = None) -> Path:
    """Spike rate of each layer, epoch by epoch; by default as ``run/spikes.png``.

    Raises:
        UserError: the run has no finished epoch, or its epochs don't say how often neurons spike.
    """
    named = by_layer(read_metrics(run), "rates")
    if not named:
        raise UserError(
            f"{run / METRICS}: says of no epoch how often neurons spike; "
            "a fine-tuning doesn't, and of several seeds each has its own (RUN/seed-0)"
        )
    shown = panels(named)
    picture = figure(5.5 * len(shown), 3.6)
    for axis, each in zip(picture.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        lines_of(axis, each)
        axis.set(xlabel="epoch", ylabel="spikes per neuron and step", ylim=(0, None))
        name_ends(axis, each)
    return save(picture, path or run / SPIKES)


def over(
    lines: Sequence[Mapping[str, Any]], key: str, times: float = 1.0
) -> tuple[list[float], list[float]]:
    """The epochs that have a value, and the values."""
    found = [(line["epoch"], times * line[key]) for line in lines if line.get(key) is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def by_layer(
    lines: Sequence[Mapping[str, Any]], key: str
) -> dict[str, tuple[list[float], list[float]]]:
    """`over`, of each layer in ``key``; none where the epochs leave it out."""
    layers = list(lines[0][key]) if lines else []
    epochs = [line["epoch"] for line in lines]
    return {layer: (epochs, [line[key][layer] for line in lines]) for layer in layers}


def learning_curves(runs: Sequence[Path], path: Path) -> list[tuple[Path, float, float]]:
    """Validation accuracy of several runs, epoch by epoch, in one picture.

    Returns:
        Each run with the mean and the sample standard deviation of its validation accuracy over
        the last `LATE` epochs, shares of 1; the lines' names have them too.

    Raises:
        UserError: a run of fewer than two epochs, or without validation.
    """
    found = []
    named = dict[str, tuple[list[float], list[float]]]()
    for run in runs:
        lines = read_metrics(run)
        values = [v for line in lines if (v := line.get("validation_accuracy")) is not None]
        if len(values) < 2 or len(values) < len(lines):
            raise UserError(f"{run}: needs two finished epochs, each with a validation accuracy")
        late = values[-LATE:]
        mean, spread = fmean(late), stdev(late)
        found.append((run, mean, spread))
        name = read_config(run).name if (run / CONFIG).exists() else run.name
        label = f"{name}: last {len(late)} {mean:.2%} ± {100 * spread:.2f}"
        twice = sum(other.partition(" #")[0] == label for other in named)
        named[f"{label} #{twice + 1}" if twice else label] = over(lines, "validation_accuracy", 100)
    shown = panels(named)
    picture = figure(9 * len(shown), 4)
    for axis, each in zip(picture.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        lines_of(axis, each)
        axis.set(xlabel="epoch", ylabel="validation accuracy [%]")
        name_ends(axis, each)
    save(picture, path)
    return found
