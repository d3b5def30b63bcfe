"""The compact cache: a data set's samples in a few flat files that training maps into memory.

A sample is one or more NumPy columns of equal length, a label, and perhaps notes such as its
speaker or its file. All samples of a column lie end to end in one .npy file, so a sample is a
slice, and reading it opens nothing:

    def read(file: Path) -> Iterable[Sample]:          # an item may hold several samples
        t, x, y, p = …                                 # raises UserError where the file is bad
        yield Sample({"t": t, "x": x, "y": y, "p": p}, label=3, notes={"file": file.name})

    settings = {"files": fingerprint(root, files)}     # everything the samples depend on
    cache = prepare("name", 1, settings, files, read)  # reads only where there is no cache yet
    cache[5]["t"], cache.labels[5], cache.notes["file"][5]

A cache is written into a temporary folder and renamed when it is whole: what was cut short is
never used as it is but gone on with (`claim`, `draft`), and of two processes that prepare the same
cache the first to end wins. Its folder is named for a hash of name, version and settings, so other
settings, or other files, make another.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synaptrace.data import columns, npy
from synaptrace.data.claim import claimed
from synaptrace.data.columns import Array, Item
from synaptrace.data.columns import Sample as Sample
from synaptrace.data.inputs import reason
from synaptrace.errors import UserError
from synaptrace.files import expand_user

FORMAT = 1
"""Of the folder; raised whenever an older one can't be read any more."""

MOST = 16
"""Threads that read at once; beyond so many, Python itself lets no more of them run."""


class Cache:
    """A prepared data set, opened for reading; make one with `prepare`, or `open_cache`.

    Attributes:
        columns: each column of all samples end to end, mapped read-only.
        offsets: (N + 1,) int64; sample i is rows offsets[i] to offsets[i + 1] of each column.
        labels: (N,) int64.
        notes: lists of N texts.
        skipped: one line for each item that `skip_bad` left out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.meta: dict[str, Any] = json.loads(
                (folder / "meta.json").read_text(encoding="utf-8")
            )
            for name in ("offsets.npy", "labels.npy", "notes.json"):
                self._check(name)
            for name, size in self.meta["sizes"].items():
                if (folder / name).stat().st_size != size:
                    raise ValueError(f"{name} has another size")
            self.offsets: Array = npy.read(folder / "offsets.npy").copy()
            self.labels: Array = npy.read(folder / "labels.npy").copy()
            notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
            self.notes: dict[str, list[str]] = notes
            self.columns: dict[str, Array] = {
                name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in self.meta["columns"]
            }
            self.skipped: list[str] = self.meta["skipped"]
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            raise UserError(
                f"{folder}: the prepared data are damaged ({reason(error)}); remove the folder and "
                "prepare them again"
            ) from error

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, sample: int) -> dict[str, Array]:
        """A sample's columns, views into the mapped files."""
        start, end = int(self.offsets[sample]), int(self.offsets[sample + 1])
        return {name: column[start:end] for name, column in self.columns.items()}

    def verify(self) -> None:
        """Read everything and compare checksums. Raises UserError where a file was changed."""
        for name in self.meta["sha256"]:
            try:
                self._check(name)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{self.folder / name}: damaged; remove the folder and prepare the data again"
                ) from error

    def _check(self, name: str) -> None:
        with (self.folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.meta["sha256"][name]:
                raise ValueError(f"{name} was changed")


def home() -> Path:
    """Where data are kept: $SYNAPTRACE_DATA, or else the user's cache folder."""
    given = os.environ.get("SYNAPTRACE_DATA")
    if given:
        return expand_user(given, "SYNAPTRACE_DATA")
    import pooch

    return Path(pooch.os_cache("synaptrace"))


def fingerprint(root: Path, files: Iterable[Path]) -> str:
    """A hash of files' names below ``root``, sizes and times of change: no file is opened.

    Raises UserError where a file is gone or out of reach.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            found = file.stat()
        except OSError as error:
            raise UserError(f"{file}: can't be read ({error.strerror})") from error
        line = f"{file.relative_to(root).as_posix()}\t{found.st_size}\t{found.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def location(name: str, version: int, settings: Mapping[str, Any]) -> Path:
    """The folder of a cache, whether it is there or not."""
    key = {"format": FORMAT, "name": name, "version": version, "settings": dict(settings)}
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return home() / "prepared" / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def open_cache(name: str, version: int, settings: Mapping[str, Any]) -> Cache | None:
    """The cache, or None where it isn't prepared. Raises UserError where it is damaged."""
    folder = location(name, version, settings)
    return Cache(folder) if folder.is_dir() else None


def prepare(
    name: str,
    version: int,
    settings: Mapping[str, Any],
    items: Sequence[Item],
    read: Callable[[Item], Iterable[Sample]],
    *,
    skip_bad: bool = False,
    finish: Callable[[Sequence[Sample]], list[Sample]] | None = None,
    chunk: int = 1,
    workers: int | None = None,
) -> Cache:
    """The cache, made first where it isn't there yet, or where it was left half-made.

    Args:
        name: of the data set.
        version: of ``read``; raise it whenever it makes other samples of the same files.
        settings: everything else the samples depend on, as JSON: options, and the files
            themselves (`fingerprint`).
        items: what ``read`` takes, one after another: files, say.
        read: an item's samples, called in threads. Raises UserError where the item is bad, which
            ends it all, unless
        skip_bad: leave out bad items, and note in the cache which they were.
        finish: makes what the cache keeps of the samples of a ``chunk``, one of each.
        chunk: items that a thread takes at once.
        workers: threads; None: one a core. The cache is the same for any number.

    Raises:
        UserError: a bad item, no sample at all, no room, a damaged cache.
    """
    cache = open_cache(name, version, settings)
    if cache is None:
        folder = location(name, version, settings)
        key = {"format": FORMAT, "name": name, "version": version, "settings": dict(settings)}
        workers = min(cores(), MOST) if workers is None else workers
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with claimed(folder) as temporary:
                try:
                    columns.fill(temporary, key, items, read, skip_bad, finish, chunk, workers)
                    temporary.chmod(0o755)
                    _move(temporary, folder)
                except OSError as error:
                    why = error.strerror or error
                    raise UserError(f"{folder}: can't be written ({why})") from error
        except OSError as error:
            raise UserError(
                f"{folder.parent}: can't be written ({error.strerror}); set SYNAPTRACE_DATA to a "
                "folder that can"
            ) from error
        cache = Cache(folder)
    if cache.skipped and not skip_bad:
        warnings.warn(
            f"{name}: {len(cache.skipped)} bad files were left out when the data were prepared "
            f"(see `synaptrace data inspect {name}`)",
            stacklevel=2,
        )
    return cache


def cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _move(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster, and its cache is as good
            raise
