"""A cache being written: its flat files, one a column, filled sample by sample."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synaptrace.data.inputs import reason
from synaptrace.errors import UserError

Array = NDArray[Any]
Item = TypeVar("Item")

HEADER = 128
"""Bytes of a column's .npy header: fixed, as its length is known only at the end."""


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
    """One column being written: a .npy file whose header is filled in at the end."""

    def __init__(self, path: Path, first: Array) -> None:
        self.path, self.dtype, self.shape = path, first.dtype, first.shape[1:]
        self.rows = 0
        self.file: IO[bytes] = path.open("wb")
        self.file.write(bytes(HEADER))

    def add(self, array: Array) -> None:
        """One more piece (n, …) at the end, of the first one's kind."""
        if array.dtype != self.dtype or array.shape[1:] != self.shape:
            kind = f"{array.dtype} {array.shape[1:]}"
            raise TypeError(f"{self.path.stem}: {kind} after {self.dtype} {self.shape}")
        self.file.write(np.ascontiguousarray(array).data)
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


def samples_of(read: Callable[[Item], Iterable[Sample]], item: Item) -> list[Sample]:
    """An item's samples. Raises UserError, naming it, whatever its reader stumbled over."""
    try:
        return list(read(item))
    except UserError:
        raise
    except Exception as error:  # a damaged file that its reader didn't foresee: name it, go on
        parts = item if isinstance(item, tuple) else (item,)
        name = next((part for part in parts if isinstance(part, Path)), item)
        kind = f"{type(error).__name__}: {reason(error)}"
        raise UserError(f"{name}: can't be read ({kind}); get it again or remove it") from error


def fill(
    folder: Path,
    key: dict[str, Any],
    items: Sequence[Item],
    read: Callable[[Item], Iterable[Sample]],
    skip_bad: bool,
) -> None:
    """Write the samples of all ``items`` into ``folder``, a file a column.

    Raises:
        UserError: an item that can't be read, unless ``skip_bad``; no sample at all.
    """
    from tqdm import tqdm

    columns: dict[str, Column] = {}
    offsets: list[int] = [0]
    labels: list[int] = []
    skipped: list[str] = []
    notes: dict[str, list[str]] = {}
    try:
        for item in tqdm(items, desc=f"prepare {key['name']}", disable=None, leave=False):
            try:
                samples = samples_of(read, item)
            except UserError as error:
                if not skip_bad:
                    raise
                skipped.append(str(error))
                continue
            for sample in samples:
                if not labels:
                    columns = {
                        name: Column(folder / f"{name}.npy", array)
                        for name, array in sample.columns.items()
                    }
                    notes = {name: [] for name in sample.notes}
                (rows,) = {len(array) for array in sample.columns.values()}
                for name, column in columns.items():
                    column.add(sample.columns[name])
                for name, texts in notes.items():
                    texts.append(sample.notes[name])
                offsets.append(offsets[-1] + rows)
                labels.append(sample.label)
    finally:
        for column in columns.values():
            column.close()
    if not labels:
        raise UserError("; ".join([f"{key['name']}: there is no readable sample", *skipped[:1]]))
    np.save(folder / "offsets.npy", np.array(offsets, dtype=np.int64), allow_pickle=False)
    np.save(folder / "labels.npy", np.array(labels, dtype=np.int64), allow_pickle=False)
    (folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
    sums, sizes = {}, {}
    for file in sorted(folder.iterdir()):
        with file.open("rb") as opened:
            sums[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
            os.fsync(opened.fileno())
        sizes[file.name] = file.stat().st_size
    meta = key | {"columns": list(columns), "skipped": skipped, "sizes": sizes, "sha256": sums}
    with (folder / "meta.json").open("w", encoding="utf-8") as opened_meta:
        json.dump(meta, opened_meta)
        opened_meta.flush()
        os.fsync(opened_meta.fileno())
