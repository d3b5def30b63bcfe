"""How runs learned: accuracies, losses and spike rates over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from synaptrace.drawing import figure, plain, save
from synaptrace.errors import UserError
from synaptrace.training.run import CONFIG, read_config, read_metrics

CURVE = "curve.png"
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
