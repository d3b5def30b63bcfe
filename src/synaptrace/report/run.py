"""The report of a run: of one seed, or of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synaptrace.errors import UserError
from synaptrace.report import charts, facts, network
from synaptrace.report.page import Chart, Part, Section, Table, Text
from synaptrace.training import run as runs

ACCURACIES = {
    "train_accuracy": "training",
    "validation_accuracy": "validation",
    "test_accuracy_paper_protocol": "test (paper protocol)",
}
OUTCOMES = {
    "test_accuracy": "test accuracy, picked epoch",
    "test_accuracy_last": "test accuracy, last epoch",
    "test_accuracy_best_paper_protocol": "best test accuracy (paper protocol)",
    "validation_accuracy": "validation accuracy, picked epoch",
}


def sections(run: Path, sample: int, data_path: str | None) -> list[Section]:
    """The tabs. Raises UserError where there is no run, or one that can't be read."""
    seeds = seeds_of(run)
    lines = {place.name: runs.read_metrics(place) for place in seeds}
    if not any(lines.values()) and not (run / runs.BEST).exists():
        raise UserError(
            f"{run}: no run, comparison, sweep or fine-tuning with a finished epoch; "
            "synaptrace runs DIR lists what lies below a directory"
        )
    summary = runs.read_summary(run)
    config = runs.read_config(run) if (run / runs.CONFIG).exists() else None
    own = facts.settings(config) if config else [Text("It was trained from Python.")]
    said = facts.train_command(config) if config else None
    whose = f"Of seed {seeds[0].name.rpartition('-')[2]}" if len(seeds) > 1 else ""
    told = runs.read_summary(seeds[0])
    return [
        Section("Outcome", [*outcome(summary, lines), *own]),
        Section("Curves", list(curves(lines))),
        *network.sections(seeds[0], sample, data_path, whose),
        facts.environment(told),
        facts.again(said, config, run),
    ]


def seeds_of(run: Path) -> list[Path]:
    """The run directories of its seeds that have begun: ``run`` itself where there is one seed."""
    found = [each for each in run.glob("seed-*") if (each / runs.LAST).exists()]
    return sorted(found, key=lambda each: (len(each.name), each.name)) or [run]


def outcome(
    summary: Mapping[str, Any] | None, lines: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[Part]:
    """What summary.json says, or how far it is."""
    if summary is None:
        done = max(map(len, lines.values()), default=0)
        yield Text(f"It isn't finished: {done} epochs so far. The test set hasn't been read.")
        return
    rows = []
    for key, name in OUTCOMES.items():
        value = summary.get(key)
        if isinstance(value, Mapping):
            sd = "" if value["sd"] is None else f" ± {100 * value['sd']:.2f}"
            rows.append([name, f"{100 * value['mean']:.2f}{sd} %"])
        elif value is not None:
            rows.append([name, f"{100 * value:.2f} %"])
    if "seeds" in summary:
        rows.append(["seeds", ", ".join(map(str, summary["seeds"]))])
        rows.append(["seconds", f"{summary['seconds']['mean']:.1f} a seed"])
    else:
        rows += [
            ["picked epoch", f"{summary['picked_epoch']} of {summary['epochs']}"],
            ["seconds", f"{summary['seconds']:.1f}"],
            ["memory of the process", f"{summary['peak_memory_bytes'] / 2**20:.0f} MiB at most"],
        ]
    for key, name in (("data", "data"), ("rule", "rule"), ("test_split", "test split"),
                      ("layers", "layers"), ("parameters", "weights")):  # fmt: skip
        if summary.get(key) is not None:
            value = summary[key]
            rows.append([name, " → ".join(map(str, value)) if isinstance(value, list) else value])
    for split, number in summary.get("samples", {}).items():
        rows.append([f"{split} samples", number])
    yield Table([["outcome", "as training stored it"], *rows])


def curves(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Chart]:
    """Accuracies, losses and spike rates: of one seed's layers, or of each seed the first's."""
    if len(lines) > 1:
        for key, name in ACCURACIES.items():
            named = {seed: series(some, key, 100) for seed, some in lines.items()}
            yield from charts.curves(f"Accuracy, {name}", named, "epoch", "accuracy [%]")
        some = next(iter(lines.values()))
    else:
        (some,) = lines.values()
        named = {name: series(some, key, 100) for key, name in ACCURACIES.items()}
        yield from charts.curves("Accuracy", named, "epoch", "accuracy [%]")
    for key, name, unit in (
        ("losses", "Loss of each layer", "cross-entropy [nats]"),
        ("rates", "Spike rates", "spikes per neuron and step"),
    ):
        layers = list(some[0][key]) if some else []
        told = {layer: series([line[key] for line in some], layer, 1) for layer in layers}
        title = name if len(lines) == 1 else f"{name}, {next(iter(lines))}"
        yield from charts.curves(title, told, "epoch", unit)


def series(
    lines: Sequence[Mapping[str, Any]], key: str, times: float
) -> tuple[list[float], list[float]]:
    """Epochs, and a value of each that has it."""
    found = [(n, times * line[key]) for n, line in enumerate(lines, 1) if line.get(key) is not None]
    return [n for n, _ in found], [value for _, value in found]
