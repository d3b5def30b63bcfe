"""`python -m synaptrace.bench rules`: batches of other rules, dense and on maps.

On maps once with the native step of the neurons and once without. The dense network is the case
`shd`; the maps are 2×34×34 → 32 → 64, both max-pooled, T 10, 5 % of inputs active.
One thread, processor time, all in turn; a batch forward, its gradients, and Adam.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

import synaptrace as st
from synaptrace import native, rules
from synaptrace.bench import measure, speed
from synaptrace.bench.cases import SHD, Parts, make
from synaptrace.bench.peers import adam
from synaptrace.cost.process import Job
from synaptrace.errors import UserError
from synaptrace.seeds import generator

NAMES: dict[str, dict[str, Any]] = {
    "eprop": {"kappa": 0.0}, "ottt": {}, "ell": {}, "decolle": {}, "bptt": {},
}  # fmt: skip
DENSE, PLAIN, FUSED = "shd", "maps, PyTorch", "maps, native step"


def maps(batch: int) -> Parts:
    """A convolutional network of N-MNIST's size."""
    draws = generator(0, "bench", "maps")
    net = st.conv(
        [(32, ("max", 2)), (64, ("max", 2))], in_shape=(2, 34, 34), classes=10,
        neuron=st.LIF(threshold=0.3), generator=draws,
    )  # fmt: skip
    events = torch.bernoulli(torch.full((10, batch, 2, 34, 34), 0.05), generator=draws)
    return Parts(net, events, torch.arange(batch) % 10)


def job(parts: Parts, name: str, plain: bool = False) -> Job:
    """A batch under a rule; ``plain``: a subclass of it, which the native step doesn't serve."""
    rule = rules.build(parts.net, name, generator=generator(0, "bench", name), **NAMES[name])
    if plain:
        rule.__class__ = type("Plain", (type(rule),), {})
    optimizer = adam([*parts.net.parameters(), *rule.parameters()])
    return lambda: rule.sequence(
        parts.events, parts.labels, optimizer=optimizer, generator=generator(0, "bench", "draws")
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=16, help="samples")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median")


def main(options: argparse.Namespace) -> None:
    if min(options.batch, options.repeats) < 1:
        raise UserError("bench: batch sizes and repeats must be positive")
    torch.set_num_threads(1)
    print(f"{speed.processor()}, engine {native.level() or native.why()}, batch {options.batch}\n")
    print(f"| rule | {DENSE}, ms | {PLAIN}, ms | {FUSED}, ms |\n|---|---:|---:|---:|")
    for name in NAMES:
        jobs = {
            DENSE: job(make(SHD, options.batch), name),
            PLAIN: job(maps(options.batch), name, plain=True),
            FUSED: job(maps(options.batch), name),
        }
        if name == "bptt":  # autograd's own step
            del jobs[FUSED]
        taken = measure.interleaved(jobs, options.repeats, clock=time.process_time)
        cells = [f"{1e3 * measure.spread(seconds)[0]:.0f}" for seconds in taken.values()]
        print("| " + " | ".join([name, *cells, *[""] * (3 - len(cells))]) + " |")
