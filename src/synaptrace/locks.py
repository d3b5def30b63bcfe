"""Locks on open files that end with their process, where the system has them."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

THERE = fcntl is not None
"""Whether this system has them. Without, nothing keeps two processes from the same directory."""


def lock(handle: int, shared: bool = False, wait: bool = False) -> None:
    """Lock an open file until ``handle`` is closed.

    Args:
        shared: others may hold it too, if shared.
        wait: until it is free.

    Raises:
        BlockingIOError: another holds it.
        OSError: the system, or the file system, knows no locks.
    """
    if fcntl is None:
        raise OSError("this system has no locks of files")
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
