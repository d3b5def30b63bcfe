"""A cache being written: items are read ahead by threads, their samples go into flat files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import numpy as np

from synaptrace.data.ahead import ahead
from synaptrace.data.draft import JOURNAL, Draft
from synaptrace.data.draft import Array as Array
from synaptrace.data.draft import Sample as Sample
from synaptrace.data.inputs import reason
from synaptrace.errors import UserError

Item = TypeVar("Item")
Read = Callable[[Item], Iterable[Sample]]
Finish = Callable[[Sequence[Sample]], list[Sample]]


def samples_of(read: Read[Item], item: Item) -> list[Sample]:
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


def chunk_of(
    items: Sequence[Item], stop: Event, *, read: Read[Item], finish: Finish | None
) -> list[list[Sample] | UserError]:
    """Each item's samples, or why it is bad; no more items once it is to ``stop``."""
    found: list[list[Sample] | UserError] = []
    for item in items:
        if stop.is_set():
            return []
        try:
            found.append(samples_of(read, item))
        except UserError as error:
            found.append(error)
    if finish is None:
        return found
    made = iter(finish([sample for each in found if isinstance(each, list) for sample in each]))
    return [[next(made) for _ in each] if isinstance(each, list) else each for each in found]


def fill(
    folder: Path,
    key: dict[str, Any],
    items: Sequence[Item],
    read: Read[Item],
    skip_bad: bool,
    finish: Finish | None = None,
    chunk: int = 1,
    workers: int = 1,
) -> None:
    """Write the samples of all ``items`` into ``folder``, a file a column.

    What the folder holds already of them, as a killed process left it, is kept. The bytes don't
    depend on the number of ``workers``.

    Raises:
        UserError: an item that can't be read, unless ``skip_bad``; no sample at all.
    """
    from tqdm import tqdm

    draft = Draft(folder, skip_bad)
    parts = [items[start : start + chunk] for start in range(draft.items, len(items), chunk)]
    bar = tqdm(desc=f"prepare {key['name']}", total=len(items), initial=draft.items,
               disable=None, leave=False)  # fmt: skip
    work = partial(chunk_of, read=read, finish=finish)
    try:
        with closing(ahead(parts, work, workers)) as outcomes:
            for found in outcomes:
                for each in found:
                    if isinstance(each, list):
                        for sample in each:
                            draft.add(sample)
                    elif skip_bad:
                        draft.skipped.append(str(each))
                    else:
                        raise each
                draft.items += len(found)
                draft.vouch()
                bar.update(len(found))
        draft.vouch(now=True)
    finally:
        bar.close()
        draft.close()
    seal(folder, key, draft)


def seal(folder: Path, key: dict[str, Any], draft: Draft) -> None:
    """Write what else a cache has: places, labels, notes, and checksums of all its files.

    Raises:
        UserError: no sample at all.
    """
    if not draft.labels:
        raise UserError(
            "; ".join([f"{key['name']}: there is no readable sample", *draft.skipped[:1]])
        )
    np.save(folder / "offsets.npy", np.array(draft.offsets, dtype=np.int64), allow_pickle=False)
    np.save(folder / "labels.npy", np.array(draft.labels, dtype=np.int64), allow_pickle=False)
    (folder / "notes.json").write_text(json.dumps(draft.notes), encoding="utf-8")
    sums, sizes = {}, {}
    for name in sorted(
        [f"{n}.npy" for n in (*draft.columns, "offsets", "labels")] + ["notes.json"]
    ):
        file = folder / name
        with file.open("rb") as opened:
            sums[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
            os.fsync(opened.fileno())
        sizes[file.name] = file.stat().st_size
    names, skipped = list(draft.columns), draft.skipped
    meta = key | {"columns": names, "skipped": skipped, "sizes": sizes, "sha256": sums}
    with (folder / "meta.json").open("w", encoding="utf-8") as opened_meta:
        json.dump(meta, opened_meta)
        opened_meta.flush()
        os.fsync(opened_meta.fileno())
    (folder / JOURNAL).unlink()
