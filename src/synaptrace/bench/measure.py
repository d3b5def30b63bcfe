"""How the benchmarks measure time: warm-up, interleaved repetitions, medians.

Machines wander, so everything that is compared runs in one process and in turn (A B C A B C …),
and the median of the repetitions is printed. Memory is `cost.process`'s matter.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch

from synaptrace.cost.process import Job


def interleaved(
    jobs: Mapping[str, Job], repeats: int, warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:  # fmt: skip
    """Seconds of every repetition of every job, the jobs taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for repeat in range(warm_up + repeats):
        for name, job in jobs.items():
            synchronise()
            start = clock()
            job()
            synchronise()
            if repeat >= warm_up:
                taken[name].append(clock() - start)
    return taken


def synchronise() -> None:
    """Wait for the accelerator, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median, minimum and maximum."""
    return statistics.median(seconds), min(seconds), max(seconds)
