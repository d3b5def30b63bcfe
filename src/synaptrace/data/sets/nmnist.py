"""N-MNIST: MNIST's digits, seen by an event camera that looks at them in three saccades.

60,000 + 10,000 recordings of 34×34 pixels, about 0.3 s each. Orchard, Jayawant, Cohen, Thakor,
"Converting static image datasets to spiking neuromorphic datasets using saccades", Front.
Neurosci. 9:437 (2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from synaptrace.data import cache, splits
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.columns import Array
from synaptrace.data.events.align import align as align_events
from synaptrace.data.events.formats import Recording, read_bin
from synaptrace.data.events.frames import Frames, alone
from synaptrace.data.events.recorded import EventDataset
from synaptrace.data.source import Download, Source, find
from synaptrace.errors import UserError

MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"

SOURCE = Source(
    name="nmnist",
    title="N-MNIST: handwritten digits seen in saccades, 34×34 pixels, 10 classes",
    licence="CC BY-SA 4.0",
    page="https://www.garrickorchard.com/datasets/n-mnist",
    layout=("Train/<label>/<id>.bin", "Test/<label>/<id>.bin"),
    downloads=(
        Download(
            f"{MENDELEY}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            checksum="md5:20959b8e626244a1b502305a9e6e2031",
            unpack=".",
            name="train.zip",
        ),
        Download(
            f"{MENDELEY}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
            checksum="md5:69ca8762b2fe404d9b9bad1103e97832",
            unpack=".",
            name="test.zip",
        ),
    ),
    splits="official test; validation a share of every class of Train",
)

VERSION = 1
SEED = 0
"""Of the splits; the data don't change with a run's seed."""

SENSOR = (34, 34)

SACCADES = (100.0, 210.0, 315.0)
"""Milliseconds by which one, two and three saccades are over."""

SACCADE = 105.0
"""Milliseconds from the start of one to that of the next."""


def prepare(*, path: Path | None = None, skip_bad: bool = False) -> Cache:
    """The recordings in the cache, those of Train before those of Test, by label, then by name.

    Raises:
        UserError: no recordings there; bad ones, unless ``skip_bad`` leaves them out.
    """
    root = SOURCE.locate(path)
    files = [f for split in ("Train", "Test") for f in find(root, f"{split}/[0-9]/*.bin")]
    if not files:
        raise UserError(f"{root}: no N-MNIST here; recordings lie in {SOURCE.layout[0]}")
    settings = {"files": cache.fingerprint(root, files)}
    return cache.prepare("nmnist", VERSION, settings, files, _read, skip_bad=skip_bad)


def load(
    *,
    path: Path | None = None,
    batch_size: int = 64,
    saccades: int = 1,
    dt: float = 1.0,
    merge: bool = False,
    crop: int = 0,
    pool: int = 1,
    binary: bool = False,
    stack: bool = False,
    align: bool = False,
    shift: int = 2,
    drop: float = 0.0,
    warp: float = 0.0,
    validation: float = 0.1,
) -> EventDataset:
    """N-MNIST: events (T, B, 2, 34, 34), channel 0 OFF and 1 ON. Any part of the files will do.

    Args:
        saccades: the first 1, 2 or all 3 of them: 100, 210 or 315 ms.
        dt: milliseconds a step.
        merge: both polarities in one channel.
        crop: the rows and columns kept, in the middle; 0: all.
        pool: the events of pool × pool pixels come together; it divides what is kept.
        binary: 1 where there is any event, in place of how many.
        stack: the saccades are seen at once, over 105 ms, each in channels of its own, those of
            the first one first. It needs a whole recording.
        align: digits are brought to one place, size and slant (`align.align`). It needs a whole
            recording.
        shift: training samples move by up to so many pixels, either way.
        drop: share of the events that training samples lose.
        warp: training samples are turned, stretched and sheared so much (`augment.warp_events`).
        validation: share of the training recordings that validate. Published: 0.

    Raises:
        UserError: no files there, bad files, an option out of range.
    """
    frames = view(saccades, dt, merge, crop, pool, binary, stack)
    prepared = prepare(path=path)
    index, test_split = splits.complete(
        prepared.labels.tolist(), prepared.notes["split"], share=validation, seed=SEED
    )
    return EventDataset(
        prepared,
        frames,
        name="nmnist",
        classes=[str(digit) for digit in range(10)],
        index=index,
        batch_size=batch_size,
        align=align,
        shift=shift,
        drop=drop,
        warp=warp,
        test_split=test_split,
        split_hash=splits.digest(index),
    )


def read_file(
    path: Path,
    saccades: int = 1,
    dt: float = 1.0,
    merge: bool = False,
    crop: int = 0,
    pool: int = 1,
    binary: bool = False,
    stack: bool = False,
    align: bool = False,
) -> Tensor:
    """One recording as events (T, 2, 34, 34), with options as `load` has them.

    Raises:
        UserError: the file is no such recording, an option out of range.
    """
    frames = view(saccades, dt, merge, crop, pool, binary, stack)
    recording = read_bin(path, SENSOR)
    seen = recording.t < frames.until
    events = alone(Recording(*(column[seen] for column in recording)))
    if align:
        events = align_events(events, SENSOR, 1)
    return frames.render(events, recording.t[:1], recording.t[-1:])[:, 0]


def view(
    saccades: int, dt: float, merge: bool, crop: int, pool: int, binary: bool, stack: bool
) -> Frames:
    """The frames that options of `load` stand for."""
    if saccades not in (1, 2, 3):
        raise UserError(f"data.saccades: {saccades} is not 1, 2 or 3")
    duration = SACCADE if stack else SACCADES[saccades - 1]
    steps = max(round(duration / dt), 1) if dt > 0 else 1
    parts = saccades if stack else 1
    return Frames(SENSOR, dt, steps, merge=merge, crop=crop, pool=pool, binary=binary, parts=parts)


def columns(t: Array, x: Array, y: Array, p: Array) -> dict[str, Array]:
    """A recording's events as the cache keeps them."""
    types = {"t": np.int32, "x": np.uint8, "y": np.uint8, "p": np.uint8}
    given = zip(types.items(), (t, x, y, p), strict=True)
    return {name: column.astype(kind) for (name, kind), column in given}


def _read(file: Path) -> Iterator[Sample]:
    t, x, y, p = read_bin(file, SENSOR)
    if t[-1] > np.iinfo(np.int32).max:
        raise UserError(f"{file}: its clock runs on to {t[-1]} µs, over half an hour")
    split, label = file.parts[-3].lower(), int(file.parent.name)
    yield Sample(columns(t, x, y, p), label, {"split": split, "file": "/".join(file.parts[-3:])})
