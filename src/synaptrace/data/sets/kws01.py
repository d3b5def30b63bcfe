"""kws01: Speech Commands clips as the MLPerf Tiny benchmark feeds them to a network.

Each clip is 49 frames of 10 mel-frequency cepstral coefficients, one signed byte each, in row
order, `tst_<number>_<class>_<label>.bin`; ten words, silence, and words unknown. `y_labels.csv`
holds a line "file,classes,label" for each. C. Banbury and others, "MLPerf Tiny benchmark", arXiv
2106.07597 (2021); clips from P. Warden's Speech Commands v2, arXiv 1804.03209 (2018).

These are the benchmark's test clips alone, by unknown speakers. The stored index, by the files'
numbers, cuts 800 of them into 600 to train, 100 to validate and 100 to test, each class in
proportion; clips that it doesn't name train. A hundred test clips make it a small-data check: a
point of accuracy is one clip.
"""

from __future__ import annotations

import csv
import os.path
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from synaptrace.data import cache, splits
from synaptrace.data.audio.clips import check_jitter, jitter
from synaptrace.data.audio.features import central
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.columns import Array
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.inputs import read_bytes, reason
from synaptrace.data.sets import spoken
from synaptrace.data.source import Source
from synaptrace.errors import UserError

CLASSES = (
    "down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown",
)  # fmt: skip

LABELS = "y_labels.csv"

SOURCE = Source(
    name="kws01",
    title="MLPerf Tiny keyword spotting clips: 49 frames of 10 MFCC, 12 classes",
    licence="CC BY 4.0",
    page="https://github.com/eembc/energyrunner",
    layout=("tst_<number>_<class>_<label>.bin", LABELS),
    manual="copy the folder datasets/kws01 of the repository above",
    splits="stored development test and validation: a small-data check",
)

INDEX = Path(__file__).with_name("kws01_split.json")

VERSION = 1
FRAMES, COEFFICIENTS = 49, 10
HOP = 20.0
"""Milliseconds from one frame to the next."""

NAME = re.compile(r"tst_(\d{1,18})_[^/]{1,200}\.bin", re.ASCII)

KNOWN = {str(label): label for label in range(len(CLASSES))}
"""The labels as the list writes them."""


def prepare(*, path: Path | None = None, skip_bad: bool = False) -> Cache:
    """The clips in the cache, in the order of their list; of those listed any part will do.

    Raises:
        UserError: no list or clips there; bad ones, unless ``skip_bad`` leaves them out.
    """
    root = SOURCE.locate(path)
    labels = _labels(root / LABELS)
    files = [root / name for name in labels if os.path.exists(root / name)]
    if not files:
        raise UserError(f"{root}: no kws01 here; clips lie in {SOURCE.layout[0]}")

    def read(file: Path) -> Iterator[Sample]:
        mfcc = _read(file)
        match = NAME.fullmatch(file.name)
        assert match is not None
        yield Sample({"mfcc": mfcc}, labels[file.name], {"number": match[1], "file": file.name})

    settings = {"files": cache.fingerprint(root, [root / LABELS, *files])}
    return cache.prepare("kws01", VERSION, settings, files, read, skip_bad=skip_bad)


def load(
    *, path: Path | None = None, batch_size: int = 16, shift: int = 3, noise: float = 0.1
) -> ArrayDataset:
    """kws01: events (49, B, 30), 10 coefficients and their first and second central differences.

    Each channel is standardised by its mean and deviation over the training set.

    Args:
        shift: training samples move by up to so many frames, either way.
        noise: deviation of the Gaussian noise added to training features.

    Raises:
        UserError: no files there, bad files, an option out of range.
    """
    check_jitter(shift, noise, FRAMES)
    prepared = prepare(path=path)
    stored = splits.load(INDEX)
    split = {number: name for name, numbers in stored.items() for number in numbers}
    index = spoken.collect([split.get(int(n), "train") for n in prepared.notes["number"]])
    if not index.get("train"):
        raise UserError("kws01: there are no training samples")
    mfcc = spoken.mapped(prepared.columns["mfcc"]).view(-1, FRAMES, COEFFICIENTS)
    train = central(mfcc[index["train"]].transpose(0, 1).float()).flatten(0, 1)
    return ArrayDataset(
        mfcc,
        torch.from_numpy(prepared.labels),
        name="kws01",
        classes=CLASSES,
        index=index,
        batch_size=batch_size,
        transform=partial(_standardise, mean=train.mean(0), deviation=train.std(0)),
        augment=partial(jitter, frames=shift, noise=noise),
        cache=prepared,
        dt=HOP,
        test_split="development",
        split_hash=splits.digest(index),
    )


def read_file(path: Path, dataset: Callable[[], ArrayDataset]) -> Tensor:
    """A clip as events (49, 30), standardised by the training set that ``dataset`` gives.

    Raises:
        UserError: the file is no such clip, or the training set isn't there.
    """
    mfcc = torch.from_numpy(_read(path).copy())
    transform = dataset().transform
    assert transform is not None
    return transform(mfcc[:, None])[:, 0]


def _read(file: Path) -> Array:
    """The coefficients of a clip (49, 10). Raises UserError where it can't be read."""
    data = read_bytes(file)
    if len(data) != FRAMES * COEFFICIENTS:
        raise UserError(
            f"{file}: {len(data)} bytes, where {FRAMES}×{COEFFICIENTS} are expected; get it again"
        )
    return np.frombuffer(data, np.int8).reshape(FRAMES, COEFFICIENTS)


def _standardise(mfcc: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    return (central(mfcc.float()) - mean) / deviation.clamp(min=1e-6)


def _labels(path: Path) -> dict[str, int]:
    """The label of each clip that the list names, once."""
    if not path.is_file():
        raise UserError(f"{path}: can't be read; kws01 needs its list of labels")
    try:
        rows = list(csv.reader(read_bytes(path).decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: can't be read as a list of labels ({reason(error)})") from error
    labels: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        if len(row) != 3 or not NAME.fullmatch(row[0]) or row[2] not in KNOWN:
            raise UserError(f"{path}: line {number} is not 'tst_….bin,{len(CLASSES)},<label>'")
        if row[0] in labels:
            raise UserError(f"{path}: line {number} lists {row[0]} again; keep one of the two")
        labels[row[0]] = KNOWN[row[2]]
    return labels
