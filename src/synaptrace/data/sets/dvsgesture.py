"""DVS128 Gesture: 29 people make 11 gestures before an event camera, in changing light.

Amir et al., "A low power, fully event-based gesture recognition system", CVPR 2017. Two forms of
the files are read. The official one holds a person's trial in one AEDAT 3.1 file, with the times
of the gestures beside it; some make one gesture twice, 1,176 + 288 in all. The other, made for
the Tonic library, holds each gesture in a NumPy file, one of each kind a trial, 1,077 + 264 in
all; published experiments often used it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from synaptrace.data import cache, npy, splits
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.columns import Array
from synaptrace.data.events.augment import check_shift
from synaptrace.data.events.augment import shift as shift_frames
from synaptrace.data.events.formats import Recording, check, read_aedat3
from synaptrace.data.events.frames import Frames, check_size, resize
from synaptrace.data.events.recorded import FrameDataset
from synaptrace.data.inputs import read_bytes
from synaptrace.data.lists import read as read_lists
from synaptrace.data.source import Download, Source, find
from synaptrace.errors import UserError

SOURCE = Source(
    name="dvsgesture",
    title="DVS128 Gesture: hand and arm gestures, 128×128 pixels, 11 classes",
    licence="CC BY 4.0",
    page="https://research.ibm.com/dvsgesture",
    layout=(
        "ibmGestureTrain/<user>_<light>/<class>.npy",
        "ibmGestureTest/<user>_<light>/<class>.npy",
        "trials_to_train.txt",
    ),
    downloads=(
        Download(
            "https://figshare.com/ndownloader/files/38022171",
            checksum="md5:3a8f0d4120a166bac7591f77409cb105",
            unpack=".",
            name="ibmGestureTrain.tar.gz",
        ),
        Download(
            "https://figshare.com/ndownloader/files/38020584",
            checksum="md5:56070e45dadaa85fff82e0fbfbc06de5",
            unpack=".",
            name="ibmGestureTest.tar.gz",
        ),
    ),
    manual="the official files, DvsGesture.tar.gz, are linked from the page by hand; both are read",
    splits="official test, by subjects of its own; validation whole subjects of the training",
)

VERSION = 2
SEED = 0
"""Of the splits; the data don't change with a run's seed."""

SENSOR = (128, 128)

SLICE = 1575.0
"""Milliseconds of a training sample, as published: 21 steps of 75 ms."""

CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)


def prepare(
    *,
    path: Path | None = None,
    skip_bad: bool = False,
    dt: float = 75.0,
    size: int = 32,
    published: bool = False,
) -> Cache:
    """The frames of every gesture in the cache, for options as `load` has them.

    Raises:
        UserError: no recordings there; bad ones, unless ``skip_bad`` leaves them out.
    """
    check_size(size, SENSOR)
    frames = Frames(SENSOR, dt)
    root = SOURCE.locate(path)
    items = _official(root) or _separate(root)
    if not items:
        raise UserError(
            f"{root}: no DVS128 Gesture here; its files are trials_to_train.txt and the trials it "
            f"names, or lie in {SOURCE.layout[0]}"
        )
    tables = [_labels(file) for file, _ in items if file.suffix != ".npy"]
    settings = {
        "files": cache.fingerprint(root, [*(file for file, _ in items), *tables]),
        "dt": dt,
        "size": size,
        "published": published,
    }
    read = partial(_read, frames=frames, size=size, published=published)
    return cache.prepare("dvsgesture", VERSION, settings, items, read, skip_bad=skip_bad)


def load(
    *,
    path: Path | None = None,
    batch_size: int = 64,
    dt: float = 75.0,
    size: int = 32,
    shift: int = 4,
    validation: float = 0.1,
    published: bool = False,
) -> FrameDataset:
    """DVS128 Gesture: frames (T, B, 2, 32, 32), channel 0 OFF and 1 ON.

    Training samples are slices of 1.575 s, one after another, and what is left of a gesture is not
    used; validation and test samples are whole gestures. A last, incomplete frame is left out.

    Args:
        dt: milliseconds a step.
        size: rows and columns to which frames are resized.
        shift: training samples move by up to so many pixels, either way: a random crop after
            padding by as many.
        validation: share of the training gestures, at least, that validate: whole subjects.
            Published: 0.
        published: as in the published experiment, training frames are resized without
            antialiasing, test frames with it. Else all are alike, with antialiasing.

    Raises:
        UserError: no files there, bad files, an option out of range.
    """
    check_size(size, SENSOR)
    check_shift(shift, size)
    prepared = prepare(path=path, dt=dt, size=size, published=published)
    subjects = prepared.notes["subject"]
    index, test_split = splits.complete(
        prepared.labels.tolist(),
        prepared.notes["split"],
        share=validation,
        seed=SEED,
        groups=subjects,
    )
    whole = np.diff(prepared.offsets).tolist()
    windows = {split: [(i, 0, whole[i]) for i in chosen] for split, chosen in index.items()}
    length = max(round(SLICE / dt), 1)
    windows["train"] = [
        (i, start, min(start + length, whole[i]))
        for i in index["train"]
        for start in range(0, max(whole[i] - length, 0) + 1, length)
    ]
    return FrameDataset(
        prepared,
        name="dvsgesture",
        classes=CLASSES,
        windows=windows,
        dt=dt,
        batch_size=batch_size,
        augment=partial(shift_frames, pixels=shift) if shift else None,
        test_split=test_split,
        split_hash=splits.digest(index),
        speakers=sorted(set(subjects)),
    )


def _official(root: Path) -> list[tuple[Path, str]]:
    """The trials that the official lists name and that are there, and their splits."""
    root = root / "DvsGesture" if (root / "DvsGesture").is_dir() else root
    lists = {split: f"trials_to_{split}.txt" for split in ("train", "test")}
    there = {split: name for split, name in lists.items() if (root / name).is_file()}
    return [(root / name, split) for name, split in read_lists(root, there).items()]


def _separate(root: Path) -> list[tuple[Path, str]]:
    """The gestures in files of their own, and their splits."""
    return [
        (file, split.lower())
        for split in ("Train", "Test")
        for file in find(root, f"ibmGesture{split}/*_*/*.npy")
    ]


def _read(
    item: tuple[Path, str], *, frames: Frames, size: int, published: bool
) -> Iterator[Sample]:
    file, split = item
    if file.suffix == ".npy":
        trial, gestures = file.parent.name, [_read_array(file)]
    else:
        trial, gestures = file.stem, list(_read_trial(file))
    subject, _, light = trial.partition("_")
    for label, name, events in gestures:
        frames.afford(file, events.t[-1:], len(events.t))
        picture = _render(events, frames, size, not published or split == "test")
        notes = {"split": split, "subject": subject, "light": light, "file": f"{trial}/{name}"}
        yield Sample({"frames": picture}, label, notes)


def _read_array(file: Path) -> tuple[int, str, Recording]:
    """A gesture as rows of x, y, p and milliseconds: label, name and events.

    Their time is counted from the first one.
    """
    table = npy.read(file)
    if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise UserError(f"{file}: an array {table.shape}, not rows of x, y, p and milliseconds")
    label = {str(label): label for label in range(len(CLASSES))}.get(file.stem)
    if label is None:
        raise UserError(f"{file}: its name is no class from 0 to {len(CLASSES) - 1}")
    numbers = table.astype(np.float64)
    if not (np.abs(numbers) < 2**53 / 1000).all() or (numbers[:, :3] % 1).any():
        raise UserError(f"{file}: it holds fractions of pixels, or times that are none")
    x, y, p = numbers[:, :3].astype(np.int64).T
    events = Recording(np.rint(1000 * numbers[:, 3]).astype(np.int64), x, y, p)
    check(file, events, SENSOR)
    if x.min() < 0 or y.min() < 0 or p.min() < 0 or p.max() > 1:
        raise UserError(f"{file}: it holds negative pixels, or polarities that aren't 0 or 1")
    return label, file.name, events._replace(t=events.t - events.t[0])


def _labels(trial: Path) -> Path:
    return trial.with_name(f"{trial.stem}_labels.csv")


def _read_trial(file: Path) -> Iterator[tuple[int, str, Recording]]:
    """The gestures of a trial: label, name and events, their time counted from its start."""
    listed = _labels(file)
    content = read_bytes(listed)
    try:
        lines = content.decode("utf-8-sig").split("\n")
        if not any(lines[1:]):
            raise ValueError("no line after the first")
        table = np.loadtxt(
            lines, encoding="utf-8", dtype=np.int64, delimiter=",", skiprows=1, ndmin=2
        )
        label, start, end = table.T
    except (ValueError, OverflowError) as error:
        raise UserError(f"{listed}: not a table of class, startTime_usec, endTime_usec") from error
    if not len(label) or label.min() < 1 or label.max() > len(CLASSES):
        raise UserError(f"{listed}: classes beyond 1 to {len(CLASSES)}, or none")
    if start.min() < 0 or (start >= end).any():
        raise UserError(f"{listed}: a gesture's start is below 0, or its end before its start")
    events = read_aedat3(file, SENSOR)
    for number, (begin, stop) in enumerate(zip(start, end, strict=True)):
        first, last = np.searchsorted(events.t, (begin, stop))
        if first == last:
            raise UserError(f"{file}: no event in gesture {number} of {listed.name}")
        gesture = Recording(*(column[first:last] for column in events))
        yield int(label[number]) - 1, str(number), gesture._replace(t=gesture.t - begin)


def _render(events: Recording, frames: Frames, size: int, antialias: bool) -> Array:
    """The complete frames (T, 2, size, size) of a gesture, or its only one."""
    picture = frames.of(events)
    picture = picture[: max(len(picture) - 1, 1)]
    resized: torch.Tensor = resize(picture, size, antialias)
    return resized.numpy().astype(np.float16)
