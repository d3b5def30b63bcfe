"""`python -m synaptrace.bench step --model online`: loops in Python over the first network's steps.

`rule.step` alone adds to the gradients that are there; the loop has PyTorch's fused Adam and
`zero_grad` at every step, the transcription's its Adam as it comes. `net.step` is inference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch

import synaptrace as st
from synaptrace.bench import measure, speed
from synaptrace.bench.cases import SHD, Case, Parts, make
from synaptrace.bench.peers import adam, transcription
from synaptrace.cost.process import Job
from synaptrace.rules.tp.reference import Oracle

ENGINES: tuple[Literal["auto", "torch"], ...] = ("auto", "torch")


def loop(rule: st.TracesPropagation, parts: Parts, optimizer: torch.optim.Optimizer | None) -> Job:
    """A batch of the rule's steps, each with an update if there is an optimizer."""

    def job() -> None:
        rule.start(parts.labels)
        for x in parts.events:
            rule.step(x)
            if optimizer is not None:
                optimizer.step()
                optimizer.zero_grad()
        rule.finish()

    return job


def literal(parts: Parts, contrast: Literal["batch", "class"]) -> Job:
    """The transcription's steps without updates."""
    draws = torch.Generator().manual_seed(0)
    oracle = Oracle(parts.net, st.TracesPropagation(parts.net, contrast, generator=draws))

    def job() -> None:
        oracle.start(parts.labels)
        for x in parts.events:
            oracle.step(x)

    return job


@torch.no_grad()
def infer(parts: Parts) -> None:
    """A batch of the network's steps."""
    state = None
    for x in parts.events:
        _, state = parts.net.step(x, state)


def infer_plainly(parts: Parts) -> None:
    """The same on PyTorch, which steps wherever autograd is on; no weight asks for a graph."""
    parts.net.requires_grad_(False)
    state = None
    for x in parts.events:
        _, state = parts.net.step(x, state)


def jobs(case: Case, batch: int) -> dict[str, Job]:
    """All that is compared, by name, each on a network of its own."""
    contrast: Literal["batch", "class"] = "batch" if batch > 1 else "class"
    steps, loops = "rule.step alone", "rule.step, Adam, zero_grad"
    made: dict[str, Job] = {
        f"transcription: {steps}": literal(make(case, batch), contrast),
        f"transcription: {loops}": transcription(make(case, batch), stepwise=True),
    }
    for engine in ENGINES:
        for name, updates in ((steps, False), (loops, True)):
            parts = make(case, batch)
            rule = st.TracesPropagation(parts.net, contrast, engine=engine)
            optimizer = adam(parts.net.parameters()) if updates else None
            made[f"TP {engine}: {name}"] = loop(rule, parts, optimizer)
        infers, parts = infer if engine == "auto" else infer_plainly, make(case, batch)
        made[f"TP {engine}: net.step"] = partial(infers, parts)
    return made


def run(
    batches: list[int], repeats: int, case: Case = SHD, say: Callable[[str], object] = print,
    *, cpu: bool = False,
) -> None:  # fmt: skip
    """Measure and print; ``cpu``: processor time instead of the clock's."""
    say(f"{speed.processor()}, {torch.get_num_threads()} threads; {case.title}")
    clock, what = (time.process_time, "processor ms") if cpu else (time.perf_counter, "ms")
    say(f"| | batch | {what} a batch | min-max | transcription | TP torch |")
    say("|---|---:|---:|---:|---:|---:|")
    for batch in batches:
        taken = measure.interleaved(jobs(case, batch), repeats, clock=clock)
        medians = {name: measure.spread(each)[0] for name, each in taken.items()}
        for name, each in taken.items():
            median, low, high = measure.spread(each)
            what = name.split(": ")[1]
            against = [medians.get(f"{peer}: {what}") for peer in ("transcription", "TP torch")]
            ratios = [f"{peer / median:.2f}" if peer else "" for peer in against]
            times = f"{1e3 * median:.1f} | {1e3 * low:.1f}-{1e3 * high:.1f}"
            say(f"| {name} | {batch} | {times} | {ratios[0]} | {ratios[1]} |")
