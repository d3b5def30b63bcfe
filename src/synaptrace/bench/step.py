"""`python -m synaptrace.bench step`: one network of `speed`, VGG-9 over batch and length, or
loops in Python over the steps of the first one (`online`), or its learning with and without
eligibility (`variant`) or on PyTorch and natively (`engine`).

VGG-9 (2×48×48, 10 classes, 10 % active) is measured against backpropagation through time on the
same network, in time and in memory.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from synaptrace import rules
from synaptrace.bench import measure, online, speed, variant
from synaptrace.bench.cases import SHD, VGG9, make
from synaptrace.bench.peers import adam
from synaptrace.cost import process
from synaptrace.cost.process import Job
from synaptrace.drawing import figure, save
from synaptrace.seeds import generator


def vgg(name: str, batch: int, steps: int) -> Job:
    """One sequence of VGG-9 with an update at its end, under the rule ``name``."""
    net, events, labels = make(replace(VGG9, steps=steps), batch)
    rule = rules.build(net, name, generator=generator(0, "bench", name))
    optimizer = adam(net.parameters())
    return lambda: rule.sequence(events, labels, optimizer=optimizer)


def run_dense(options: argparse.Namespace) -> None:
    speed.run([SHD], options.batch or [128, 8], options.repeats)


def run_online(options: argparse.Namespace) -> None:
    online.run(options.batch or [1, 8, 128], options.repeats, cpu=options.cpu)


def run_variant(options: argparse.Namespace) -> None:
    variant.run(variant.variants(SHD, options.batch or [8, 128]), options.repeats)


def run_engine(options: argparse.Namespace) -> None:
    variant.run(variant.engines(SHD, options.batch or [8, 128]), options.repeats)


def run_vgg(options: argparse.Namespace) -> None:
    print(f"VGG-9, 2×48×48, 10 classes, 10 % density, {torch.get_num_threads()} threads")
    rates = ", ".join(f"{rate:.4f}" for rate in speed.spike_rates(make(VGG9, 4)))
    print(f"spikes per neuron and step of the layers: {rates}")
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
                process.peak_memory(vgg, name, batch, steps) / 2**20 for name in ("tp", "bptt")
            )
            rows.append((batch, steps, tp, bptt, tp_mib, bptt_mib))
            times = f"{tp:.2f}\t{bptt:.2f}\t{bptt / tp:.2f}"
            print(f"{batch}\t{steps}\t{times}\t{tp_mib:.0f}\t{bptt_mib:.0f}", flush=True)
    if options.plot:
        draw_vgg(rows, options.plot)
        print(f"plot: {options.plot}")


def draw_vgg(rows: list[tuple[int, int, float, float, float, float]], path: Path) -> None:
    """Time per sequence and peak memory against T, a line for each rule and batch."""
    picture = figure(9, 3.6)
    axes = picture.subplots(1, 2)
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
    save(picture, path)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", choices=["shd", "vgg9", "online", "variant", "engine"], default="shd"
    )
    parser.add_argument("--batch", type=int, nargs="+", help="batch sizes")
    parser.add_argument("--steps", type=int, nargs="+", help="sequence lengths (vgg9)")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median")
    parser.add_argument(
        "--cpu", action="store_true", help="processor time, where others work as well (online)"
    )
    parser.add_argument("--most", type=int, default=512, help="skip batch × T above this (vgg9)")
    parser.add_argument("--plot", type=Path, help="write a PNG here (vgg9)")


def main(options: argparse.Namespace) -> None:
    kinds = {
        "vgg9": run_vgg,
        "shd": run_dense,
        "online": run_online,
        "variant": run_variant,
        "engine": run_engine,
    }
    kinds[options.model](options)
