"""The report of a fine-tuning: one user's words, and what was known before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synaptrace.keyword.tuned import Cell, Record, read
from synaptrace.report import charts, facts, network
from synaptrace.report.page import Part, Section, Table, Text
from synaptrace.report.run import curves
from synaptrace.training import job
from synaptrace.training import run as runs

PARTS = {
    "query": "the user's query",
    "general": "what it was tested on before",
    "new": "the new word",
    "validation": "validation",
}
BYTES = {"state_bytes": "state", "auxiliary_bytes": "auxiliary matrices",
         "optimizer_bytes": "gradients and Adam", "stored_bytes": "stored utterances"}  # fmt: skip


def sections(run: Path, sample: int, data_path: str | None) -> list[Section]:
    """The tabs. Raises UserError where its files can't be read."""
    record = read(run)
    assert record is not None
    summary = runs.read_summary(run)
    looked = network.sections(run, sample, data_path, "What it learned from")
    config = job.trained(run, data_path).config
    parts: list[Part] = [*outcome(summary), how(record)]
    title = "Settings of the training before, that differ from the preset"
    return [
        Section("Outcome", [*parts, *facts.settings(config, title)]),
        Section("Curves", list(curves({run.name: runs.read_metrics(run)}))),
        *(spent(each, summary) for each in looked),
        facts.environment(runs.read_summary((run / record.base).resolve())),
        Section("Repeat", [
            Text(command(run, record), code=True),
            Text("The run before it lies there already; its own report says how it was trained."),
        ]),
    ]  # fmt: skip


def outcome(summary: Mapping[str, Any] | None) -> Iterator[Part]:
    """Accuracy before and after, as fine-tuning stored it."""
    if summary is None:
        yield Text("It isn't finished.")
        return
    rows = [["accuracy % on", "before", "after", "gain", "samples"]]
    known = {}
    for part, name in PARTS.items():
        before, after = (summary[when].get(part) for when in ("before", "after"))
        if before is None and after is None:
            continue
        number = summary["sizes"].get(part, "")
        cells = ["" if v is None else f"{100 * v:.2f}" for v in (before, after)]
        gain = "" if before is None or after is None else f"{100 * (after - before):+.2f}"
        rows.append([name, *cells, gain, str(number)])
        known[name] = before, after
    if known:
        yield Table(rows)
        named = {
            name: ([0, 1], [100 * v for v in pair])
            for name, pair in known.items()
            if None not in pair
        }
        for chart in charts.curves("Before and after", named, "", "accuracy [%]"):
            chart.layout["xaxis"] |= {"tickvals": [0, 1], "ticktext": ["before", "after"]}
            for line in chart.data:
                line["hovertemplate"] = "%{y:.2f} %<extra></extra>"
            yield chart
    yield Text(f"Learned from {summary['samples']} utterances in {summary['seconds']:.1f} s.")


def how(record: Record) -> Table:
    """The way of fine-tuning."""
    cell = record.cell
    rows: list[list[object]] = [
        ["shots", "all" if cell.shots is None else cell.shots], ["batch", cell.batch],
        ["contrast", cell.contrast or "as trained"], ["against forgetting", cell.keep],
        ["learning rate", f"{cell.lr:g}"], ["epochs", cell.epochs],
        ["precision", cell.precision], ["seed", record.seed],
        ["learned from", record.words or f"speaker {record.speaker}"],
    ]  # fmt: skip
    return Table([["fine-tuning", ""], *rows], "How it was fine-tuned")


def spent(section: Section, summary: Mapping[str, Any] | None) -> Section:
    """The section on memory, with what fine-tuning itself stored before all else."""
    if section.title != "Memory and cost" or summary is None:
        return section
    kib = {name: summary[key] / 1024 for key, name in BYTES.items() if summary.get(key)}
    more: list[Part] = [charts.bars("Memory of fine-tuning, measured", kib, "KiB")]
    if summary["operations"] is not None:
        more.append(Text(f"{summary['operations'] / 1e6:,.1f} million operations an update."))
    before = Text("The training before it, counted:")
    return replace(section, parts=[*more, before, *section.parts])


def command(run: Path, record: Record) -> str:
    """The command that does it again."""
    base = os.path.normpath(run / record.base)
    whose = ["--words", record.words] if record.words else ["--speaker", str(record.speaker)]
    words = ["finetune", base, *whose, *options([record.cell])]
    if record.judge != "query":
        words += ["--judge", record.judge]
    if record.data_path is not None:
        words += ["--data.path", record.data_path]
    return facts.command(words)


def options(cells: Sequence[Cell]) -> list[str]:
    """The options that make these cells, which are every combination of what each option was."""
    plain, first = [cell for cell in cells if not cell.alone] or list(cells), cells[0]
    shots = ["all" if cell.shots is None else str(cell.shots) for cell in plain]
    contrasts = [cell.contrast for cell in plain if cell.contrast is not None]
    words = ["--shots", each(shots), "--batch", each(str(cell.batch) for cell in plain),
             "--keep", each(cell.keep for cell in plain), "--lr", f"{first.lr:g}",
             "--epochs", str(first.epochs)]  # fmt: skip
    if contrasts:
        words += ["--contrast", each(contrasts)]
    if first.precision != "float32":
        words += ["--precision", first.precision]
    return [*words, *["--alone"] * any(cell.alone for cell in cells)]


def each(words: Iterable[str]) -> str:
    """Every word once, with commas between."""
    return ",".join(dict.fromkeys(words))
