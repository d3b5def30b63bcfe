"""DVS-CIFAR10 (CIFAR10-DVS): images of CIFAR-10 that move on a screen before an event camera.

10,000 recordings of 128×128 pixels, about 1.3 s each. Li, Liu, Ji, Li, Shi, "CIFAR10-DVS: an
event-stream dataset for object classification", Front. Neurosci. 11:309 (2017). Its makers gave
no split: the last tenth of each class by number is the test, as in the published experiment, and
the tenth before it validates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synaptrace.data import cache, splits
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.events import augment
from synaptrace.data.events.formats import read_aedat2
from synaptrace.data.events.frames import Frames, check_size, resize
from synaptrace.data.events.recorded import FrameDataset
from synaptrace.data.source import Download, Source, find
from synaptrace.errors import UserError
from synaptrace.seeds import derive

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

ARCHIVES = {
    "airplane": (7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
    "automobile": (7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
    "bird": (7712794, "a9c207c91c55b9dc2002dc21c684d785"),
    "cat": (7712812, "52c63c677c2b15fa5146a8daf4d56687"),
    "deer": (7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    "dog": (7712818, "f379ebdf6703d16e0a690782e62639c3"),
    "frog": (7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
    "horse": (7712851, "e7cbbf77bec584ffbf913f00e682782a"),
    "ship": (7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
    "truck": (7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
}
"""Of each class: number on figshare, MD5."""

SOURCE = Source(
    name="dvscifar10",
    title="CIFAR10-DVS: images moved before an event camera, 128×128 pixels, 10 classes",
    licence="CC BY 4.0",
    page="https://doi.org/10.6084/m9.figshare.4724671",
    layout=("<class>/cifar10_<class>_<number>.aedat",),
    downloads=tuple(
        Download(
            f"https://ndownloader.figshare.com/files/{number}",
            checksum=f"md5:{md5}",
            unpack=".",
            name=f"{name}.zip",
        )
        for name, (number, md5) in ARCHIVES.items()
    ),
    splits="stored: of each class, numbers 0-799 train, 800-899 validate, 900-999 test",
)

VERSION = 1
SEED = 0
"""Of the splits; the data don't change with a run's seed."""

INDEX = Path(__file__).with_name("dvscifar10_split.json")
"""The stored split; recording n of class c is sample 1000 c + n."""

SENSOR = (128, 128)

PUBLISHED_TEST = 960
"""How many of the 1,000 test recordings the published experiment drew."""


def prepare(
    *, path: Path | None = None, skip_bad: bool = False, steps: int = 10, size: int = 48
) -> Cache:
    """The frames of every recording in the cache, for options as `load` has them.

    Raises:
        UserError: no recordings there; bad ones, unless ``skip_bad`` leaves them out.
    """
    check_size(size, SENSOR)
    frames = Frames(SENSOR, None, steps)
    root = SOURCE.locate(path)
    files = sorted(file for name in CLASSES for file in find(root, f"{name}/*.aedat"))
    if not files:
        raise UserError(f"{root}: no DVS-CIFAR10 here; recordings lie in {SOURCE.layout[0]}")
    settings = {"files": cache.fingerprint(root, files), "steps": steps, "size": size}
    read = partial(_read, frames=frames, size=size)
    return cache.prepare("dvscifar10", VERSION, settings, files, read, skip_bad=skip_bad)


def load(
    *,
    path: Path | None = None,
    batch_size: int = 64,
    steps: int = 10,
    size: int = 48,
    shift: int = 4,
    flip: bool = True,
    validation: bool = True,
    published: bool = False,
) -> FrameDataset:
    """DVS-CIFAR10: frames (10, B, 2, 48, 48), channel 0 OFF and 1 ON.

    A step is an equal part of a recording; frames are resized by bilinear interpolation.

    Args:
        steps: into which each recording is cut.
        size: rows and columns to which frames are resized.
        shift: training samples move by up to so many pixels, either way: a random crop after
            padding by as many.
        flip: every other training sample, at random, is mirrored.
        validation: the stored validation recordings validate; else they train. Published: no.
        published: test a random 960 of the 1,000 test recordings. The published experiment drew
            others after every epoch, here they stay the same. Else test them all.

    Raises:
        UserError: no files there, bad files, an option out of range.
    """
    check_size(size, SENSOR)
    augment.check_shift(shift, size)
    prepared = prepare(path=path, steps=steps, size=size)
    index = _index([int(number) for number in prepared.notes["number"]], prepared.labels.tolist())
    if not validation:
        index["train"] = sorted(index["train"] + index.pop("validation", []))
    if published:
        drawn = sorted(index["test"], key=lambda sample: derive(SEED, "published", sample))
        index["test"] = sorted(drawn[: round(len(drawn) * PUBLISHED_TEST / 1000)])
    return FrameDataset(
        prepared,
        name="dvscifar10",
        classes=CLASSES,
        windows={split: [(i, 0, steps) for i in chosen] for split, chosen in index.items()},
        batch_size=batch_size,
        augment=partial(_augment, shift=shift, flip=flip),
        test_split="development",
        split_hash=splits.digest(index),
    )


def read_file(path: Path, steps: int = 10, size: int = 48) -> Tensor:
    """One recording as frames (10, 2, 48, 48), with options as `load` has them.

    Raises:
        UserError: the file is no such recording, an option out of range.
    """
    return resize(Frames(SENSOR, None, steps).of(read_aedat2(path)), size, antialias=False)


def _index(numbers: list[int], labels: list[int]) -> splits.Index:
    """The stored split of those recordings that are there; a fifth each, if it leaves one empty."""
    samples = (1000 * label + number for number, label in zip(numbers, labels, strict=True))
    places = {sample: i for i, sample in enumerate(samples)}
    stored = splits.load(INDEX, samples=1000 * len(CLASSES))
    index = {
        split: sorted(places[sample] for sample in chosen if sample in places)
        for split, chosen in stored.items()
    }
    if not all(index.values()):
        return splits.make(labels, {"train": 0.6, "validation": 0.2, "test": 0.2}, SEED)
    return index


def _augment(events: Tensor, generator: torch.Generator, shift: int, flip: bool) -> Tensor:
    if shift:
        events = augment.shift(events, generator, shift)
    return augment.flip(events, generator) if flip else events


def _read(file: Path, *, frames: Frames, size: int) -> Iterator[Sample]:
    number = re.fullmatch(r"cifar10_[a-z]+_(\d{1,3})", file.stem)
    if number is None:
        raise UserError(f"{file}: its name isn't as in {SOURCE.layout[0]}, number below 1000")
    resized = resize(frames.of(read_aedat2(file)), size, antialias=False)
    label, place = CLASSES.index(file.parent.name), f"{file.parent.name}/{file.name}"
    yield Sample(
        {"frames": resized.numpy().astype(np.float16)}, label, {"number": number[1], "file": place}
    )
