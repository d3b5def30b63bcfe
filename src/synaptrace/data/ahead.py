"""Work done ahead by threads, its outcomes in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
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

    Reading files, NumPy and PyTorch let other threads run meanwhile. To be closed
    (`contextlib.closing`) where it may end early; that waits for what has begun, and sets the event
    that ``work`` is given, so that it may end early, too.
    """
    stop = Event()
    waiting: deque[Future[Made]] = deque()
    with threads(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item, stop))
                if len(waiting) >= workers + SPARE:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            stop.set()


def one_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, each made by a thread while the one before is in use.

    No more than the one is made ahead. What making it raises is raised where it is asked for. To be
    closed (`contextlib.closing`) where it may end early; that waits for the item being made.
    """
    with threads(1) as pool:
        coming = pool.submit(_following, items)
        while item := coming.result():
            coming = pool.submit(_following, items)
            yield item.pop()


def _following(items: Iterator[Item]) -> list[Item]:
    """The next item in a list, to be taken out of it; an empty one after the last."""
    for item in items:
        return [item]
    return []


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with the context.

    In each PyTorch has one core, as several cores for a small tensor cost more than they give; and
    the one that made them, which must know its own number before, keeps it.
    """
    import torch

    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "prepare", torch.set_num_threads, (1,))
    try:
        # A pool doesn't know, and so doesn't wait for, a thread that an interrupt finds starting:
        # the first one starts on nothing, so that there is no work it could be left with.
        pool.submit(int).result()
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
