"""`python -m synaptrace.bench rules`: batches of other rules, dense and on maps.

Once with the native step of the neurons (in a dense network: of all that comes before the rule's
own equations) and once without. The dense network is the case `shd`; the maps are 2×34×34 → 32 →
64, both max-pooled, T 10, 5 % of inputs active, for the rules that have a native step there.
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
from synaptrace.rules.stream import SampleStream
from synaptrace.seeds import generator

OPTIONS: dict[str, dict[str, Any]] = {"eprop": {"kappa": 0.0}}
"""Of a rule, where they aren't the defaults."""
NAMES = tuple(name for name in rules.NAMES if name != "tp")
DENSE, DENSE_NATIVE = "shd, PyTorch", "shd, native step"
PLAIN, FUSED = "maps, PyTorch", "maps, native step"
COLUMNS = (DENSE, DENSE_NATIVE, PLAIN, FUSED)


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
    rule = rules.build(
        parts.net, name, generator=generator(0, "bench", name), **OPTIONS.get(name, {})
    )
    if plain:
        rule.__class__ = type("Plain", (type(rule),), {})
    optimizer = adam([*parts.net.parameters(), *rule.parameters()])
    return lambda: rule.sequence(
        parts.events, parts.labels, optimizer=optimizer, generator=generator(0, "bench", "draws")
    )


def jobs_of(name: str, batch: int) -> dict[str, Job]:
    """What is measured of a rule, by column."""
    jobs = {DENSE: job(make(SHD, batch), name, plain=True)}
    if issubclass(rules.find(name), SampleStream):
        jobs[DENSE_NATIVE] = job(make(SHD, batch), name)
    fused = vars(rules.find(name)).get("spikes_alone", False)
    if fused or name == "bptt":
        jobs[PLAIN] = job(maps(batch), name, plain=True)
    if fused:
        jobs[FUSED] = job(maps(batch), name)
    return jobs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", nargs="+", choices=NAMES, default=NAMES, help="default: all")
    parser.add_argument("--batch", type=int, default=16, help="samples")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median")


def main(options: argparse.Namespace) -> None:
    if min(options.batch, options.repeats) < 1:
        raise UserError("bench: batch sizes and repeats must be positive")
    torch.set_num_threads(1)
    print(f"{speed.processor()}, engine {native.level() or native.why()}, batch {options.batch}\n")
    print("| rule | " + ", ms | ".join(COLUMNS) + ", ms |\n|---|" + "---:|" * len(COLUMNS))
    for name in options.rules:
        jobs = jobs_of(name, options.batch)
        taken = measure.interleaved(jobs, options.repeats, clock=time.process_time)
        cells = [
            f"{1e3 * measure.spread(taken[column])[0]:.0f}" if column in taken else ""
            for column in COLUMNS
        ]
        print("| " + " | ".join([name, *cells]) + " |", flush=True)
