"""`python -m synaptrace.bench step --model variant` or `engine`: two ways to learn, side by side.

`variant`: what eligibility costs in the native engine, on the first network. `engine`: what the
native engine saves where updates within a sequence are not those of plain Adam, and with 4,000
classes. By the time that the processor took for this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

import synaptrace as st
from synaptrace.bench import measure, speed
from synaptrace.bench.cases import SHD, Case, make
from synaptrace.cost.process import Job

SCHEDULES = {"sequence": None, "10 steps": 10, "step": 1}
CLASSES, FEW = 4000, 10
"""Classes of the second table, and steps that do for them."""
Pair = Mapping[str, Job]


def learn(
    case: Case, batch: int, every: int | None, kind: type[Optimizer] = Adam, **options: Any
) -> Job:
    """A batch learned by Traces Propagation with these options."""
    parts = make(case, batch)
    rule = st.TracesPropagation(parts.net, **options)
    optimizer = kind(parts.net.parameters(), lr=1e-7)  # type: ignore[call-arg]
    learns = partial(rule.sequence, parts.events, parts.labels, every=every)
    return partial(learns, optimizer=optimizer)


def variants(case: Case, batches: list[int]) -> dict[str, Callable[[], Pair]]:
    """Without eligibility and with it."""

    def pair(batch: int, every: int | None) -> Pair:
        names = {"plain": False, "eligibility": True}
        return {
            name: learn(case, batch, every, eligibility=on, engine="native")
            for name, on in names.items()
        }

    return {
        f"an update a {name}, batch {batch}": partial(pair, batch, every)
        for batch in batches
        for name, every in SCHEDULES.items()
    }


def engines(
    case: Case, batches: list[int], classes: int = CLASSES
) -> dict[str, Callable[[], Pair]]:
    """On PyTorch and in the native engine."""

    def pair(case: Case, batch: int, every: int | None, kind: type[Optimizer], how: str) -> Pair:
        return {
            engine: learn(case, batch, every, kind, contrast=how, engine=engine)
            for engine in ("torch", "native")
        }

    made: dict[str, Callable[[], Pair]] = {
        f"{kind.__name__}, an update a {name}, batch {batch}": partial(
            pair, case, batch, every, kind, "batch"
        )
        for batch in batches
        for kind in (SGD, AdamW)
        for name, every in SCHEDULES.items()
        if every
    }
    for layers in (1, 2):
        many = replace(case, classes=classes, hidden=case.hidden[:1] * layers, steps=FEW, gain=1.5)
        name = f"{classes} classes, {layers} hidden layers, {FEW} steps, batch 32"
        made[name] = partial(pair, many, 32, None, Adam, "class")
    return made


def run(
    made: Mapping[str, Callable[[], Pair]], repeats: int, say: Callable[[str], object] = print
) -> None:
    """Measure and print."""
    say(f"{speed.processor()}, {torch.get_num_threads()} threads; {SHD.title}")
    for i, (name, pair) in enumerate(made.items()):
        taken = measure.interleaved(pair(), repeats, clock=time.process_time)
        first, second = (1e3 * measure.spread(each)[0] for each in taken.values())
        if not i:
            say("| | " + " | ".join(f"{one}, ms" for one in taken) + " | ratio |")
            say("|---|---:|---:|---:|")
        say(f"| {name} | {first:.1f} | {second:.1f} | {second / first:.2f} |")
