"""`python -m synaptrace.bench speed`: TP beside its peers on the same networks, in one process.

Contenders take turns, repetition after repetition, and medians are compared; the first repetition
doesn't count. Peak memory is measured at the largest batch, each contender in a process of its
own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import synaptrace as st
from synaptrace import native
from synaptrace.bench import energy, measure, peers, published, roofline, scaling
from synaptrace.bench.cases import CASES, Case, Parts, make
from synaptrace.cost import process
from synaptrace.errors import UserError
from synaptrace.files import write_atomic

AGAINST = {
    "transcription": peers.TRANSCRIPTION, "stepwise": peers.STEPWISE, "BPTT": peers.BPTT,
    "snnTorch": peers.SNNTORCH, "SpikingJelly": peers.SPIKINGJELLY,
    "ES-D-RTRL": peers.ES_D_RTRL,
}  # fmt: skip
"""Columns of the table: whose median is divided by a contender's."""


@dataclass
class Row:
    """What one contender did."""

    case: str
    batch: int
    contender: str
    seconds: list[float]
    rates: list[float]
    """Spikes per neuron and step of the hidden layers."""
    ratios: dict[str, float] = field(default_factory=dict)
    """How many times faster than each peer."""
    peak_bytes: int | None = None
    joules: float | None = None
    """Of the processor's packages, where they can be read."""
    of_gemm: float | None = None
    of_bandwidth: float | None = None

    @property
    def median(self) -> float:
        return measure.spread(self.seconds)[0]


def measure_case(
    case: Case, batch: int, repeats: int, limits: roofline.Limits, memory: bool = False
) -> list[Row]:
    """All contenders on one case at one batch size."""
    parts = make(case, batch)
    rates = spike_rates(parts)
    names = peers.chosen(case, batch)
    jobs = {name: peers.build(name, case, batch) for name in names}
    taken = measure.interleaved(jobs, repeats)
    rows = [Row(case.name, batch, name, taken[name], rates) for name in names]
    medians = {row.contender: row.median for row in rows}
    for row in rows:
        row.ratios = {k: medians[v] / row.median for k, v in AGAINST.items() if v in medians}
        row.joules = energy.joules(jobs[row.contender])
        if memory:
            row.peak_bytes = process.peak_memory(
                peers.build, row.contender, case, batch, threads=torch.get_num_threads()
            )
        if case.dense and row.contender.startswith("TP"):
            _, schedule, contrast = row.contender.split(", ")
            targets = min(batch, case.classes) if contrast == "batch" else case.classes
            updates = -(-case.steps // (peers.EVERY[schedule] or case.steps))
            work = roofline.ideal(parts, rates, targets, updates)
            row.of_gemm = work.operations / row.median / limits.gemm
            row.of_bandwidth = work.bytes / row.median / limits.bandwidth
    return rows


def spike_rates(parts: Parts) -> list[float]:
    """Spikes per neuron and step of the hidden layers, to see that none is silent."""
    rule = st.TracesPropagation(parts.net, "class")
    rule.sequence(parts.events, parts.labels)
    parts.net.zero_grad()
    return [float(rate) for rate in rule.rates]


def table(rows: Sequence[Row]) -> Iterable[str]:
    """Lines of Markdown."""
    columns = [name for name in AGAINST if any(name in row.ratios for row in rows)]
    head = ["contender", "ms a batch", "min-max", *columns, "MiB", "% GEMM", "% memory"]
    powered = any(row.joules is not None for row in rows)
    head += ["J a batch"] if powered else []
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        median, low, high = (1e3 * s for s in measure.spread(row.seconds))
        cells = [row.contender, f"{median:.1f}", f"{low:.1f}-{high:.1f}"]
        cells += [f"{row.ratios[name]:.2f}" if name in row.ratios else "" for name in columns]
        cells.append("" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:.0f}")
        for part in (row.of_gemm, row.of_bandwidth):
            cells.append("" if part is None else f"{100 * part:.1f}")
        if powered:
            cells.append("" if row.joules is None else f"{row.joules:.2f}")
        yield "| " + " | ".join(cells) + " |"


def machine(limits: roofline.Limits) -> dict[str, Any]:
    """Where this runs, as far as it decides the figures."""
    names = ["torch", *sorted(set(peers.PACKAGES.values()) - set(peers.missing()))]
    return {
        "processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "engine": native.level(), "versions": {name: version(name) for name in names},
        "gemm_gflops": limits.gemm / 1e9, "bandwidth_gb_s": limits.bandwidth / 1e9,
    }  # fmt: skip


def processor() -> str:
    """The processor's name, as well as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def run(
    cases: Sequence[Case],
    batches: Sequence[int] | None = None,
    repeats: int | None = None,
    limits: roofline.Limits | None = None,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Measure and print; returns what `--json` writes, but for the scaling."""
    limits = limits or roofline.limits()
    about = machine(limits)
    say(f"{about['processor']}, {about['cores']} cores, {about['threads']} threads, "
        f"engine {about['engine'] or native.why()}")  # fmt: skip
    documented = published.figures()["documentation"]
    if any(about[key] != documented[key] for key in documented):
        say(f"docs/performance.md is from another one: {documented['processor']}, engine "
            f"{documented['engine']}; compare ratios, not times")  # fmt: skip
    say(", ".join(f"{name} {number}" for name, number in about["versions"].items()))
    say(f"measured limits: {about['gemm_gflops']:.0f} Gflop/s in a float32 product, "
        f"{about['bandwidth_gb_s']:.1f} GB/s in a copy")  # fmt: skip
    for name in peers.missing():
        say(f"not installed: {name}")
    rows: list[Row] = []
    for case in cases:
        say(f"\n{case.title}")
        chosen = sorted(batches or case.batches)
        for batch in chosen:
            memory = batch == chosen[-1]
            some = measure_case(case, batch, repeats or case.repeats, limits, memory)
            rates = ", ".join(f"{100 * rate:.1f}" for rate in some[0].rates)
            say(f"\nbatch {batch}; {rates} % of the hidden neurons spike in a step\n")
            for line in table(some):
                say(line)
            rows += some
    return {
        "machine": about,
        "missing": peers.missing(),
        "rows": [{**asdict(row), "median": row.median} for row in rows],
    }


def draw_batches(rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Time a sample against the batch, a panel for each case; returns the file."""
    spots = []
    for row in rows:
        name = scaling.drawn(row["contender"], row["batch"])
        if name:
            each = 1e3 * row["median"] / row["batch"]
            spots.append(scaling.Spot(row["case"], row["batch"], name, each))
    path = folder / "bench-batch.png"
    scaling.panels(spots, path, "ms a sample", "Time a sample by batch size", "batch")
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--case", nargs="+", choices=list(CASES), help="default: all")
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes")
    parser.add_argument("--repeats", type=int, help="repetitions, of which the median")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument(
        "--against", type=Path, help="figures of an earlier --json, compared by their ratios"
    )
    parser.add_argument("--plots", type=Path, help="folder for the scaling plots")


def main(options: argparse.Namespace) -> None:
    if min([*(options.batch or []), options.repeats or 1]) < 1:
        raise UserError("bench: batch sizes and repeats must be positive")
    cases = [CASES[name] for name in options.case or CASES]
    earlier = None if options.against is None else published.read(options.against)
    result = run(cases, options.batch, options.repeats)
    if earlier is not None:
        print("\n".join(published.compare(result, earlier)))
    if options.plots:
        points = list(scaling.measure_all())
        result["scaling"] = [asdict(point) for point in points]
        print(f"\nplot: {scaling.draw(points, options.plots)}")
        print(f"plot: {draw_batches(result['rows'], options.plots)}")
    if options.json:
        write_atomic(options.json, json.dumps(result, indent=1) + "\n")
        print(f"figures: {options.json}")
