"""How the benchmarks measure: warm-up, interleaved repetitions, medians; memory in a fresh process.

Machines wander, so everything that is compared runs in one process and in turn (A B C A B C …),
and the median of the repetitions is printed. Peak memory is the growth of the resident set's
high-water mark in a process of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from synaptrace.memory import peak_resident

Job = Callable[[], object]


def interleaved(jobs: Mapping[str, Job], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Seconds of every repetition of every job, the jobs taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for repeat in range(warm_up + repeats):
        for name, job in jobs.items():
            synchronise()
            start = time.perf_counter()
            job()
            synchronise()
            if repeat >= warm_up:
                taken[name].append(time.perf_counter() - start)
    return taken


def synchronise() -> None:
    """Wait for the accelerator, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median, minimum and maximum."""
    return statistics.median(seconds), min(seconds), max(seconds)


def peak_memory(make: Callable[..., Job], *arguments: Any, threads: int | None = None) -> int:
    """Bytes by which running ``make(*arguments)()`` raises the resident set of a fresh process.

    What ``make`` itself allocates (network, events) is there before and doesn't count. ``make``
    must be importable, as the process is a new one: where the system can, the fork of one that
    has imported everything and done nothing.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload([make.__module__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(theirs, make, arguments, threads))
    process.start()
    theirs.close()
    try:
        return int(ours.recv())
    except EOFError:
        return -1  # the process was killed: not enough memory
    finally:
        process.join()


def _peak(pipe: Any, make: Callable[..., Job], arguments: Any, threads: int | None) -> None:
    if threads:
        torch.set_num_threads(threads)
    job = make(*arguments)
    forget_peak()
    before = peak_resident()
    job()
    pipe.send(peak_resident() - before)


def forget_peak() -> None:
    """Let the high-water mark begin anew, so that what making a job took doesn't hide what it
    takes. Linux only; elsewhere the mark stays, and a figure may be too small."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
