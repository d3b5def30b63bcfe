"""MNIST seen by a simulated camera, as N-MNIST's camera saw it: train simulated, test real.

The 60,000 training images go through the camera of `atis`, which is fitted to
N-MNIST's recordings 1 to 500. The first 1,000 images are left out: real recordings of them are
what the simulation was fitted to and may be tested on. With ``real``, a folder of N-MNIST, the
test is real: its official test set, or, where the copy has none, recordings 501 to 1,000 of the
training set, a development test.

Sources: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11):2278 (1998), MNIST; Orchard et al.,
Front. Neurosci. 9:437 (2015), N-MNIST.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synaptrace.data import cache, splits
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.columns import Array
from synaptrace.data.dataset import Batch
from synaptrace.data.events.frames import Frames
from synaptrace.data.events.recorded import EventDataset
from synaptrace.data.sets import nmnist
from synaptrace.data.simulate import atis, idx
from synaptrace.data.source import Download, Source
from synaptrace.errors import UserError
from synaptrace.meanings import said
from synaptrace.seeds import generator

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"

SOURCE = Source(
    name="nmnist-sim",
    title="MNIST seen by a simulated camera as N-MNIST by a real one, 34×34 pixels, 10 classes",
    licence="CC BY-SA 3.0",
    page="http://yann.lecun.com/exdb/mnist",
    layout=(IMAGES, LABELS),
    downloads=(
        Download(f"{MIRROR}/{IMAGES}", checksum="md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        Download(f"{MIRROR}/{LABELS}", checksum="md5:d53e105ee54ea40749a09fcbcd1e9432"),
    ),
    splits="simulated: a share of every class validates; test: real recordings, if given",
)

CLASSES = tuple(str(digit) for digit in range(10))

VERSION = 1
SEED = 0
"""Of the camera and of the split; the data don't change with a run's seed."""

FIRST = 1000
"""Images that are left out before the first that is simulated."""

FITTED = 500
"""Recordings that the camera is fitted to, the first ones: they are no test."""

CHUNK = 100
"""Images that one camera sees, with thresholds and timing of its own."""


class SimToReal:
    """Simulated digits to train and validate on, real recordings to test on.

    Args:
        simulated: with the splits train and validation.
        real: with the split test, its frames alike; None: there is no test.
    """

    ahead = True

    def __init__(self, simulated: EventDataset, real: EventDataset | None) -> None:
        self.simulated, self.real = simulated, real
        self.cache, self.dt, self.meta = simulated.cache, simulated.dt, simulated.meta
        if real is not None:
            sizes = simulated.meta.sizes | real.meta.sizes
            self.meta = replace(simulated.meta, sizes=sizes, test_split=real.meta.test_split)

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of a split, as `Dataset.batches`."""
        if split != "test":
            return self.simulated.batches(split, generator)
        return iter(()) if self.real is None else self.real.batches(split, generator)


def prepare(
    *, path: Path | None = None, skip_bad: bool = False, digits: int | None = None
) -> Cache:
    """The simulated recordings in the cache, that of image 1,001 first; ``digits`` as in `load`.

    Raises:
        UserError: no images there, damaged ones, or no more than 1,000; ``digits`` below 1.
    """
    if digits is not None and digits < 1:
        raise UserError(f"data.digits: {digits} is not a positive number")
    root = SOURCE.locate(path)
    images, labels = read(root)
    if len(images) <= FIRST:
        raise UserError(f"{root / IMAGES}: {len(images)} images; those after {FIRST} are simulated")
    end = len(images) if digits is None else min(FIRST + digits, len(images))
    settings: dict[str, Any] = {
        "files": cache.fingerprint(root, files(root)),
        "camera": [atis.SETTINGS, atis.ROWS, atis.COLUMNS, atis.JITTER],
    }
    if end < len(images):
        settings["end"] = end
    starts = range(FIRST, end, CHUNK)
    see = partial(_see, images[:end], labels[:end])
    return cache.prepare("nmnist-sim", VERSION, settings, starts, see, skip_bad=skip_bad)


def load(
    *,
    path: Path | None = None,
    batch_size: int = 64,
    real: Path | None = None,
    digits: int | None = None,
    saccades: int = 1,
    dt: float = 1.0,
    merge: bool = False,
    crop: int = 0,
    pool: int = 1,
    binary: bool = False,
    stack: bool = False,
    align: bool = False,
    shift: int = 1,
    drop: float = 0.0,
    warp: float = 0.0,
    validation: float = 0.05,
) -> SimToReal:
    """Simulated N-MNIST: events (T, B, 2, 34, 34), channel 0 OFF and 1 ON, as N-MNIST's.

    Args:
        path: the folder of MNIST's training images and labels.
        real: a folder of N-MNIST, or any part of it, for the test; None: there is no test.
        digits: how many images are simulated, the first ones after the 1,000; None: all.
        saccades, dt, merge, crop, pool, binary, stack, align, shift, drop, warp: as `nmnist.load`
            has them.
        validation: share of the simulated recordings that validate.

    Raises:
        UserError: no images, damaged ones, no real recordings, an option out of range.
    """
    frames = nmnist.view(saccades, dt, merge, crop, pool, binary, stack)
    tested = None if real is None else recordings(real, frames, batch_size, align)
    prepared = prepare(path=path, digits=digits)
    index = splits.make(
        prepared.labels.tolist(), {"train": 1 - validation, "validation": validation}, SEED
    )
    simulated = EventDataset(
        prepared,
        frames,
        name="nmnist-sim",
        classes=CLASSES,
        index=index,
        batch_size=batch_size,
        align=align,
        shift=shift,
        drop=drop,
        warp=warp,
        split_hash=splits.digest(index),
    )
    return SimToReal(simulated, tested)


load.said = said(nmnist.load)  # type: ignore[attr-defined]


def recordings(real: Path, frames: Frames, batch_size: int, align: bool) -> EventDataset:
    """The real recordings to test on: the official test set, or numbers 501 to 1,000 of Train.

    Raises:
        UserError: none of them are there.
    """
    prepared = nmnist.prepare(path=real)
    official = [i for i, split in enumerate(prepared.notes["split"]) if split == "test"]
    numbers = [int(Path(file).stem) for file in prepared.notes["file"]]
    chosen = official or [i for i, n in enumerate(numbers) if FITTED < n <= FIRST]
    if not chosen:
        raise UserError(
            f"{real}: neither test recordings nor numbers {FITTED + 1} to {FIRST} of Train; "
            "data.real is for testing"
        )
    return EventDataset(
        prepared,
        frames,
        name="nmnist-sim",
        classes=CLASSES,
        index={"test": chosen},
        batch_size=batch_size,
        align=align,
        test_split="official" if official else "development",
    )


def files(root: Path) -> list[Path]:
    """The files of images and labels, gzipped or not."""
    pairs = [(root / name, root / name.removesuffix(".gz")) for name in (IMAGES, LABELS)]
    return [plain if plain.is_file() else packed for packed, plain in pairs]


def read(root: Path) -> tuple[Array, Array]:
    """MNIST's training images (N, 28, 28) and labels (N,), uint8.

    Raises:
        UserError: a file is missing or damaged, they don't belong together, or a label is no digit.
    """
    pictures, names = files(root)
    images, labels = idx.read(pictures, 3), idx.read(names, 1)
    if len(images) != len(labels):
        raise UserError(f"{names}: {len(labels)} labels for the {len(images)} images beside them")
    if labels.max() > 9:
        raise UserError(f"{names}: label {labels.max()} is no digit")
    if max(images.shape[1:]) > min(nmnist.SENSOR):
        raise UserError(f"{pictures}: images of {images.shape[1:]} pixels don't fit the camera")
    return images, labels


def look(
    images: Tensor, draws: torch.Generator, jitter: Sequence[float] = atis.JITTER, **camera: Any
) -> Tensor:
    """Let one camera look at images (N, 28, 28), as bright as it sees them.

    Args:
        draws: makes thresholds, timing and memory.
        jitter, camera: as `atis` has them.

    Returns:
        Event counts (N, 315, 2, 34, 34) in steps of 1 ms, as `Camera.record` gives them.
    """
    late = torch.tensor(jitter) * torch.randn(3, generator=draws)
    return atis.camera(late.tolist(), **camera).record(images, draws)


def _see(images: Array, labels: Array, start: int) -> Iterator[Sample]:
    """Simulated recordings of a chunk of images: dark digits on a bright ground."""
    seen = torch.from_numpy(255 - images[start : start + CHUNK])
    recorded = look(seen, generator(SEED, "camera", start))
    for label, frames in zip(labels[start:], recorded, strict=False):
        # A refractory pixel sends one event a step, in the middle of which it is put.
        sent = frames.numpy().view(bool)
        step, p, y, x = np.unravel_index(np.flatnonzero(sent), sent.shape)
        yield Sample(nmnist.columns(step * 1000 + 500, x, y, p), int(label), {})
