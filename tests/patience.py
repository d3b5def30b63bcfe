"""Waiting for another thread or process, as long as a machine under load may need for it."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

LIMIT = 120.0
"""Seconds; only a failure takes so long."""

Found = TypeVar("Found")


def until(ready: Callable[[], Found], what: str = "") -> Found:
    """What ``ready`` gives once it gives something."""
    end = monotonic() + LIMIT
    while not (found := ready()):
        assert monotonic() < end, what
        sleep(0.002)
    return found
