"""`python -m synaptrace.bench step --model variant`: what eligibility costs in the native engine.

Both forms of the rule on the first network, an update a sequence, every ten steps and a step, by the
time that the processor took for this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch

import synaptrace as st
from synaptrace.bench import measure, speed
from synaptrace.bench.cases import SHD, Case, make
from synaptrace.bench.peers import adam
from synaptrace.cost.process import Job

SCHEDULES = {"sequence": None, "every 10": 10, "step": 1}


def learn(case: Case, batch: int, every: int | None, eligibility: bool) -> Job:
    """A batch learned natively."""
    parts = make(case, batch)
    rule = st.TracesPropagation(parts.net, eligibility=eligibility, engine="native")
    return partial(
        rule.sequence,
        parts.events,
        parts.labels,
        optimizer=adam(parts.net.parameters()),
        every=every,
    )


def run(
    batches: list[int], repeats: int, case: Case = SHD, say: Callable[[str], object] = print
) -> None:
    """Measure and print."""
    say(f"{speed.processor()}, {torch.get_num_threads()} threads; {case.title}")
    say("| update | batch | plain, ms | eligibility, ms | ratio |")
    say("|---|---:|---:|---:|---:|")
    for batch in batches:
        for name, every in SCHEDULES.items():
            jobs = {str(on): learn(case, batch, every, on) for on in (False, True)}
            taken = measure.interleaved(jobs, repeats, clock=time.process_time)
            plain, variant = (1e3 * measure.spread(each)[0] for each in taken.values())
            say(f"| {name} | {batch} | {plain:.1f} | {variant:.1f} | {variant / plain:.2f} |")
