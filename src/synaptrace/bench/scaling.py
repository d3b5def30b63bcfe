"""How time grows with the sequence, the layer, the activity of the inputs, and threads.

One quantity of the SHD-size case is varied at a time, at batch 32; the rest stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from synaptrace.bench import measure, peers
from synaptrace.bench.cases import SHD, Case
from synaptrace.files import replace_atomic

BATCH = 32
AXES: dict[str, Sequence[float]] = {
    "steps T": (25, 50, 100, 200, 400),
    "hidden neurons H": (128, 256, 512, 1024),
    "active inputs [%]": (0.5, 1, 2, 5, 10, 20),
    "threads": (1, 2, 4, 8, 16),
}
"""What is varied, and over what; no more threads than PyTorch has."""
STYLE = {
    "TP native, sequence": ("#0072B2", "o"),
    "TP native, step": ("#56B4E9", "s"),
    "TP torch, sequence": ("#009E73", "^"),
    peers.TRANSCRIPTION: ("#000000", "x"),
    peers.BPTT: ("#D55E00", "D"),
    peers.SNNTORCH: ("#E69F00", "v"),
    peers.SPIKINGJELLY: ("#CC79A7", "P"),
}
"""Contenders that are drawn: colour and marker. TP has the published contrast where it can."""


def drawn(name: str, batch: int) -> str | None:
    """A contender's name in the plots, None where it has no place there."""
    known = name.removesuffix(", batch" if batch > 1 else ", class")
    return known if known in STYLE else None


@dataclass
class Point:
    axis: str
    value: float
    contender: str
    seconds: list[float]


def vary(axis: str, value: float, case: Case = SHD) -> Case:
    """The case with one quantity changed."""
    if axis == "steps T":
        return replace(case, steps=int(value))
    if axis == "hidden neurons H":
        return replace(case, hidden=(int(value),))
    if axis == "active inputs [%]":
        return replace(case, density=value / 100)
    return case


def measure_all(
    axes: dict[str, Sequence[float]] = AXES, case: Case = SHD, batch: int = BATCH, repeats: int = 3
) -> Iterator[Point]:
    """Points of all axes and contenders."""
    threads = torch.get_num_threads()
    for axis, values in axes.items():
        for value in values:
            if axis == "threads":
                if value > threads:
                    continue
                torch.set_num_threads(int(value))
            changed = vary(axis, value, case)
            names = [name for name in peers.chosen(changed, batch) if drawn(name, batch)]
            jobs = {name: peers.build(name, changed, batch) for name in names}
            for name, seconds in measure.interleaved(jobs, repeats).items():
                yield Point(axis, value, drawn(name, batch) or name, seconds)
    torch.set_num_threads(threads)


class Spot(NamedTuple):
    """A median in a plot."""

    panel: str
    x: float
    contender: str
    milliseconds: float


def draw(points: Iterable[Point], folder: Path) -> Path:
    """Time a batch against each quantity; returns the file."""
    spots = [Spot(p.axis, p.value, p.contender, 1e3 * measure.spread(p.seconds)[0]) for p in points]
    path = folder / "bench-scaling.png"
    panels(spots, path, "ms a batch", f"{SHD.title}, batch {BATCH}: one quantity varied")
    return path


def panels(spots: Sequence[Spot], path: Path, what: str, title: str, below: str = "") -> None:
    """A panel for each name, a line for each contender, both axes logarithmic."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    names = list(dict.fromkeys(spot.panel for spot in spots))
    figure = Figure(figsize=(3.1 * len(names), 4.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for contender, (colour, marker) in STYLE.items():
            line = [s for s in spots if (s.panel, s.contender) == (name, contender)]
            xs, ys = [s.x for s in line], [s.milliseconds for s in line]
            axes.plot(xs, ys, color=colour, marker=marker, label=contender, markersize=4)
        ticks = sorted({spot.x for spot in spots if spot.panel == name})
        axes.set(xscale="log", yscale="log", xlabel=below or name, title=name if below else "")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(what)
    figure.suptitle(title, fontsize=10)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    replace_atomic(path, lambda temporary: figure.savefig(temporary, dpi=110))
