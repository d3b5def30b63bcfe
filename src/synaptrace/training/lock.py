"""One process at a time: who else would train in a run's directory is told who does."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synaptrace.errors import UserError
from synaptrace.locks import lock
from synaptrace.names import printed

LOCK = ".lock"
GLANCE, GLANCES = 0.001, 1000
"""Seconds until one who met a glance (`taken`) tries again, and how often it does."""


class Busy(UserError):
    """Another process, or another training of this one, holds a directory."""

    def __init__(self, run: Path, who: str) -> None:
        super().__init__(f"{run}: {who} is at work on it; wait for it, or end it")
        self.run, self.who = run, who


def taken(run: Path) -> bool:
    """Whether some process holds ``run``; False where that can't be told.

    To look is to share the lock for a moment, which `held` waits out.
    """
    try:
        handle = os.open(run / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        lock(handle, shared=True)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


@contextmanager
def held(run: Path | None, wait: bool = False) -> Iterator[None]:
    """Hold ``run`` while the context lasts; it is let go however the process ends.

    Where the system or its file system knows no locks, nothing is held. None: nothing either.

    Args:
        wait: until it is free, where another holds it.

    Raises:
        Busy: another process (or another training of this one) holds it.
        UserError: its folder can't be written.
    """
    if run is None:
        yield
        return
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{run}: can't be written ({error.strerror})") from error
    try:
        try:
            alone(run, handle, wait)
        except BlockingIOError:
            who = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            raise Busy(run, who) from None
        except OSError:
            pass
        else:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def alone(run: Path, handle: int, wait: bool) -> None:
    """Lock the open file of ``run`` for one process. Raises BlockingIOError where another has it
    that doesn't only look: a glance shares the lock, and is over in a moment."""
    for _ in range(GLANCES):
        with suppress(BlockingIOError):
            return lock(handle, wait=wait)
        if taken(run):
            break
        time.sleep(GLANCE)
    raise BlockingIOError


def patiently(work: Callable[[], object]) -> None:
    """Call ``work``; where another process holds what it needs, say who, wait, and call it anew."""
    while True:
        try:
            work()
            return
        except Busy as busy:
            print(f"{printed(busy.run)}: waiting for {printed(busy.who)}", file=sys.stderr)
            with held(busy.run, wait=True):
                pass
