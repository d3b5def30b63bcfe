"""Work done ahead by threads, its outcomes in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

SPARE = 2
"""Outcomes that may wait beside those that are being made."""


def ahead(
    items: Iterable[Item], work: Callable[[Item, Event], Made], workers: int
) -> Generator[Made, None, None]:
    """What ``work`` makes of each item, in their order, by as many threads as ``workers``.

    Reading files, NumPy and PyTorch let other threads run meanwhile. In each thread PyTorch has one
    core, as several cores for a small tensor cost more than they give. To be closed
    (`contextlib.closing`) where it may end early; that waits for what has begun, and sets the event
    that ``work`` is given, so that it may end early, too.
    """
    import torch

    stop, before = Event(), torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "prepare", torch.set_num_threads, (1,))
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item, stop))
            if len(waiting) >= workers + SPARE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
