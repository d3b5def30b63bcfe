"""The temporary folder of a cache: this process's own, or one that a killed process left.

Who writes into such a folder holds a lock on it, which ends with the process. So a folder that
nobody holds was left, and what is sure in it (`draft`) needn't be made again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synaptrace import locks

STALE = 86400.0
"""Seconds after which what a killed process left is removed."""


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """A temporary folder for what becomes ``folder``, held as long as the context lasts.

    It is removed where the context ends with an error, and left for the next process where it ends
    with an interrupt. Where the file system knows no locks, the folder is always a new one.

    Raises:
        OSError: it can't be made.
    """
    temporary, handle = next(_free(folder))
    try:
        _sweep(folder, temporary)
        yield temporary
    except Exception:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    else:
        shutil.rmtree(temporary, ignore_errors=True)  # if it is there: another was faster
    finally:
        if handle is not None:
            os.close(handle)


def _free(folder: Path) -> Iterator[tuple[Path, int | None]]:
    """Folders that nobody else holds, locked where there are locks: those left, then new ones."""
    for left in sorted(folder.parent.glob(f".{folder.name}-*")):
        with suppress(OSError):
            if (handle := _lock(left)) is not None:
                yield left, handle
    while True:
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        with suppress(BlockingIOError, FileNotFoundError):  # another process took it for left
            yield made, _lock(made)


def _lock(folder: Path) -> int | None:
    """A handle that holds ``folder``; None where the system knows no locks.

    Raises:
        BlockingIOError: another process holds it.
        OSError: it can't be opened, or isn't there any more.
    """
    if not locks.THERE:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        locks.lock(handle)
        if not os.path.samestat(os.fstat(handle), os.stat(folder)):
            raise FileNotFoundError(f"{folder} was renamed")
    except (BlockingIOError, FileNotFoundError):
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


def _sweep(folder: Path, own: Path) -> None:
    """Remove what other processes left that were killed while they prepared this cache."""
    for left in folder.parent.glob(f".{folder.name}-*"):
        if left == own:
            continue
        with suppress(FileNotFoundError):  # it was renamed, or removed, meanwhile
            newest = max(p.stat().st_mtime for p in (left, *left.iterdir()))
            if time.time() - newest > STALE:
                shutil.rmtree(left, ignore_errors=True)
