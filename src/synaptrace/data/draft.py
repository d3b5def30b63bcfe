"""A cache that isn't whole yet: its columns as far as they are written, and a journal of them.

A line of the journal says how far the columns were sure, with checksums of what came since the line
before. So a process that finds the folder of a killed one keeps what its lines vouch for, cuts off
the rest, and goes on from there.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HEADER = 128
"""Bytes of a column's .npy header: fixed, as its length is known only at the end."""

JOURNAL = "journal.jsonl"

EVERY = 1.0
"""Seconds from one line of the journal to the next."""


@dataclass(frozen=True)
class Sample:
    """One sample on its way into the cache.

    Args:
        columns: arrays of equal length and at least one dimension; the same names, dtypes and
            further dimensions for every sample of a data set.
        label: its class, a whole number from 0.
        notes: text that belongs to it (file, speaker, subject, split …), the same keys for all.
    """

    columns: Mapping[str, Array]
    label: int
    notes: Mapping[str, str] = field(default_factory=dict)


class Column:
    """One column being written: a .npy file whose header is filled in at the end.

    Args:
        dtype, shape: of a row.
        rows: that are there already; what the file holds beyond them is cut off.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], rows: int = 0
    ) -> None:
        self.path, self.dtype, self.shape, self.rows = path, dtype, shape, rows
        self.sum = 0
        """CRC of the rows since the journal's last line."""
        self.file: IO[bytes] = path.open("r+b" if rows else "wb")
        self.file.truncate(HEADER + rows * self.bytes)
        self.file.seek(0, 2)

    @property
    def bytes(self) -> int:
        """Of a row."""
        return int(self.dtype.itemsize * np.prod(self.shape, dtype=np.int64))

    @property
    def kind(self) -> list[Any]:
        """Of a row, JSON-able."""
        return [self.dtype.str, list(self.shape)]

    def add(self, array: Array) -> None:
        """One more piece (n, …) at the end, of the first one's kind."""
        if array.dtype != self.dtype or array.shape[1:] != self.shape:
            kind = f"{array.dtype} {array.shape[1:]}"
            raise TypeError(f"{self.path.stem}: {kind} after {self.dtype} {self.shape}")
        data = np.ascontiguousarray(array).data
        self.file.write(data)
        self.sum = zlib.crc32(data, self.sum)
        self.rows += len(array)

    def close(self) -> None:
        """Write the header, which knows the number of rows now."""
        description = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": description, "fortran_order": False, "shape": (self.rows, *self.shape)}
        magic = np.lib.format.magic(1, 0)
        room = HEADER - len(magic) - 2
        self.file.seek(0)
        text = f"{header}".ljust(room - 1) + "\n"
        self.file.write(magic + room.to_bytes(2, "little") + text.encode("ascii"))
        self.file.close()


class Draft:
    """What has been written into ``folder``, by this process or by one that was killed.

    Args:
        skip_bad: take over what a process wrote that left out bad items.

    Attributes:
        items: how many are done, the bad ones too.
        offsets, labels, notes, skipped: as in `Cache`, in lists.
    """

    def __init__(self, folder: Path, skip_bad: bool) -> None:
        self.folder, self.items = folder, 0
        self.columns: dict[str, Column] = {}
        self.offsets: list[int] = [0]
        self.labels: list[int] = []
        self.notes: dict[str, list[str]] = {}
        self.skipped: list[str] = []
        sure = self._recover(skip_bad)
        self.journal: IO[bytes] = (folder / JOURNAL).open("ab")
        self.journal.truncate(sure)
        self._mark()

    def add(self, sample: Sample) -> None:
        """One more sample."""
        (rows,) = {len(array) for array in sample.columns.values()}
        if not self.columns:
            self.columns = {
                name: Column(self.folder / f"{name}.npy", array.dtype, array.shape[1:])
                for name, array in sample.columns.items()
            }
            self.notes = {name: [] for name in sample.notes}
        for name, column in self.columns.items():
            column.add(sample.columns[name])
        for name, texts in self.notes.items():
            texts.append(sample.notes[name])
        self.offsets.append(self.offsets[-1] + rows)
        self.labels.append(sample.label)

    def vouch(self, now: bool = False) -> None:
        """Say in the journal that all so far is sure: where `EVERY` has passed, or ``now``.

        To be called where no item is half done.
        """
        if not now and monotonic() - self.written < EVERY:
            return
        for column in self.columns.values():
            column.file.flush()
        first = self.vouched
        line = {
            "items": self.items,
            "columns": {name: [*each.kind, each.sum] for name, each in self.columns.items()},
            "rows": np.diff(self.offsets[first:]).tolist(),
            "labels": self.labels[first:],
            "notes": {name: texts[first:] for name, texts in self.notes.items()},
            "skipped": self.skipped[self.skips :],
        }
        text = json.dumps(line)
        self.journal.write(f"{zlib.crc32(text.encode()):08x} {text}\n".encode())
        self.journal.flush()
        self._mark()

    def close(self) -> None:
        """Close the files; the columns are whole then, and ordinary ones."""
        for column in self.columns.values():
            column.close()
        self.journal.close()

    def _mark(self) -> None:
        self.written, self.vouched, self.skips = monotonic(), len(self.labels), len(self.skipped)
        for column in self.columns.values():
            column.sum = 0

    def _recover(self, skip_bad: bool) -> int:
        """Take over what a journal vouches for; returns how many bytes of its lines do."""
        sure, rows = 0, 0
        kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {}
        file = self.folder / JOURNAL
        for text in file.read_bytes().splitlines(keepends=True) if file.exists() else []:
            line = _parse(text)
            if line is None or (line["skipped"] and not skip_bad):
                break
            found = {
                name: (np.dtype(kind), tuple(shape), total)
                for name, (kind, shape, total) in line["columns"].items()
            }
            more = sum(line["rows"])
            if not all(
                _sound(self.folder / f"{name}.npy", *kind, rows, more)
                for name, kind in found.items()
            ):
                break
            self._take(line)
            kinds, rows, sure = found, rows + more, sure + len(text)
        self.columns = {
            name: Column(self.folder / f"{name}.npy", dtype, shape, rows)
            for name, (dtype, shape, _) in kinds.items()
        }
        return sure

    def _take(self, line: Mapping[str, Any]) -> None:
        """Go on after a line of the journal."""
        notes = {name: [*self.notes.get(name, []), *new] for name, new in line["notes"].items()}
        self.items, self.notes = int(line["items"]), notes
        for rows in line["rows"]:
            self.offsets.append(self.offsets[-1] + rows)
        self.labels += line["labels"]
        self.skipped += line["skipped"]


def _parse(text: bytes) -> dict[str, Any] | None:
    """A line of a journal; None where it was being written when its process ended."""
    if text[9:] and text[:8] == f"{zlib.crc32(text[9:-1]):08x}".encode() and text.endswith(b"\n"):
        line: dict[str, Any] = json.loads(text[9:])
        return line
    return None


def _sound(
    file: Path, dtype: np.dtype[Any], shape: tuple[int, ...], total: int, start: int, rows: int
) -> bool:
    """Whether ``rows`` rows from row ``start`` on are in the file, with the checksum ``total``."""
    size = int(dtype.itemsize * np.prod(shape, dtype=np.int64))
    if not file.is_file() or file.stat().st_size < HEADER + (start + rows) * size:
        return False
    with file.open("rb") as opened:
        opened.seek(HEADER + start * size)
        return zlib.crc32(opened.read(rows * size)) == total
