"""`python -m synaptrace.bench step`: one network of `speed`, or VGG-9 over batch and length.

VGG-9 (2×48×48, 10 classes, 10 % active) is measured against backpropagation through time on the
same network, in time and in memory.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

import synaptrace as st
from synaptrace import rules
from synaptrace.bench import measure, speed
from synaptrace.bench.cases import SHD
from synaptrace.bench.measure import Job
from synaptrace.rules.base import Rule

GESTURE_NEURON = {"threshold": 0.2, "decay": 0.53, "trace_decay": 0.98}
"""As published, but for θ = 1.0, at which random events leave the deep layers silent."""


def spikes(shape: tuple[int, ...], density: float, g: torch.Generator) -> Tensor:
    return torch.bernoulli(torch.full(shape, density), generator=g)


def vgg_parts(
    name: str, batch: int, steps: int
) -> tuple[Rule, Tensor, Tensor, torch.optim.Optimizer]:
    """VGG-9 under the rule ``name``: the rule, events, labels and an optimizer."""
    g = torch.Generator().manual_seed(0)
    neuron = st.LIF(**GESTURE_NEURON)  # type: ignore[arg-type]
    net = st.vgg(9, in_shape=(2, 48, 48), classes=10, neuron=neuron, generator=g)
    rule = rules.build(net, name, generator=g)
    events = spikes((steps, batch, 2, 48, 48), 0.1, g)
    labels = torch.arange(batch) % 10
    return rule, events, labels, torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)


def vgg(name: str, batch: int, steps: int) -> Job:
    """One sequence of VGG-9 with an update at its end, under the rule ``name``."""
    rule, events, labels, optimizer = vgg_parts(name, batch, steps)
    return lambda: rule.sequence(events, labels, optimizer=optimizer)


def run_dense(options: argparse.Namespace) -> None:
    speed.run([SHD], options.batch or [128, 8], options.repeats)


def run_vgg(options: argparse.Namespace) -> None:
    print(f"VGG-9, 2×48×48, 10 classes, 10 % density, {torch.get_num_threads()} threads")
    print(f"spikes per neuron and step of the layers: {', '.join(map(str, vgg_rates()))}")
    print("batch\tT\tTP s\tBPTT s\tBPTT/TP\tTP MiB\tBPTT MiB")
    rows = []
    for batch in options.batch or [4, 16, 64]:
        for steps in options.steps or [4, 8, 16]:
            if batch * steps > options.most:
                continue
            jobs = {name: vgg(name, batch, steps) for name in ("tp", "bptt")}
            taken = measure.interleaved(jobs, options.repeats)
            del jobs
            tp, bptt = (measure.spread(taken[name])[0] for name in ("tp", "bptt"))
            tp_mib, bptt_mib = (
                measure.peak_memory(vgg, name, batch, steps) / 2**20 for name in ("tp", "bptt")
            )
            rows.append((batch, steps, tp, bptt, tp_mib, bptt_mib))
            times = f"{tp:.2f}\t{bptt:.2f}\t{bptt / tp:.2f}"
            print(f"{batch}\t{steps}\t{times}\t{tp_mib:.0f}\t{bptt_mib:.0f}", flush=True)
    if options.plot:
        draw_vgg(rows, options.plot)
        print(f"plot: {options.plot}")


def vgg_rates() -> list[float]:
    """Spike rates of the layers over a short sequence, to see that none is silent."""
    rule, events, labels, _ = vgg_parts("tp", 4, 4)
    rule.sequence(events, labels)
    return [round(rate, 4) for rate in rule.rates.tolist()]


def draw_vgg(rows: list[tuple[int, int, float, float, float, float]], path: Path) -> None:
    """Time per sequence and peak memory against T, a line for each rule and batch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    colours = {"TP": "#0072B2", "BPTT": "#D55E00"}
    markers = dict(zip(sorted({row[0] for row in rows}), "osD^v", strict=False))
    for batch, marker in markers.items():
        chosen = [row for row in rows if row[0] == batch]
        steps = [row[1] for row in chosen]
        for rule, time, memory in (("TP", 2, 4), ("BPTT", 3, 5)):
            style = {"color": colours[rule], "marker": marker, "label": f"{rule}, batch {batch}"}
            axes[0].plot(steps, [row[time] for row in chosen], **style)
            axes[1].plot(steps, [row[memory] for row in chosen], **style)
    for axis, what in zip(axes, ("seconds a sequence", "peak memory [MiB]"), strict=True):
        axis.set(xlabel="steps T", ylabel=what, yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_title("VGG-9, 2×48×48: forward, gradients, update")
    axes[1].set_title("growth of the resident set")
    axes[1].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", choices=["shd", "vgg9"], default="shd")
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes")
    parser.add_argument("--steps", type=int, nargs="+", help="sequence lengths (vgg9)")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median")
    parser.add_argument("--most", type=int, default=512, help="skip batch × T above this (vgg9)")
    parser.add_argument("--plot", type=Path, help="write a PNG here (vgg9)")


def main(options: argparse.Namespace) -> None:
    (run_vgg if options.model == "vgg9" else run_dense)(options)
