"""The memory that a job takes in a process of its own: the growth of the resident set's high-water
mark."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch

from synaptrace import own_files
from synaptrace.memory import forget_peak, peak_resident

Job = Callable[[], object]


def peak_memory(make: Callable[..., Job], *arguments: Any, threads: int | None = None) -> int:
    """Bytes by which running ``make(*arguments)()`` raises the resident set of a fresh process.

    What ``make`` itself allocates (network, events) is there before and doesn't count. ``make``
    must be importable, as the process is a new one: where the system can, the fork of one that
    has imported everything and done nothing. Files of the user's own that this process has run,
    it runs first.
    """
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload([make.__module__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_peak, args=(theirs, own_files.present(), make, arguments, threads)
    )
    process.start()
    theirs.close()
    try:
        return int(ours.recv())
    except EOFError:
        return -1  # the process was killed: not enough memory
    finally:
        process.join()


def _peak(
    pipe: Any, files: dict[str, str], make: Callable[..., Job], arguments: Any, threads: int | None
) -> None:
    own_files.load(files)
    if threads:
        torch.set_num_threads(threads)
    job = make(*arguments)
    forget_peak(torch.device("cpu"))  # what making the job took, where the system can
    before = peak_resident()
    job()
    pipe.send(peak_resident() - before)
