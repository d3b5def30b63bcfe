"""FSDD, the Free Spoken Digit Dataset: English digits by six speakers, 8 kHz.

3,000 recordings of 0.1 to 2.3 s, 50 of each digit and speaker, `{digit}_{speaker}_{number}.wav`.
Z. Jackson and others, github.com/Jakobovski/free-spoken-digit-dataset.

Its makers keep utterances 0 to 4 of every digit and speaker for the test; here 5 to 9 validate,
and the rest trains. In a copy without 0 to 4, 5 to 9 are a development test and 10 to 14
validate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from synaptrace.data.audio import wav
from synaptrace.data.audio.augment import Augmentation, augmented
from synaptrace.data.audio.clips import Clips
from synaptrace.data.audio.clips import read_file as read_clip
from synaptrace.data.audio.features import Form
from synaptrace.data.audio.mel import Mel
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.sets import spoken
from synaptrace.data.source import Download, Source, find
from synaptrace.data.splits import Index
from synaptrace.errors import UserError

SOURCE = Source(
    name="fsdd",
    title="Free Spoken Digit Dataset: spoken digits, 6 speakers, 8 kHz, 10 classes",
    licence="CC BY-SA 4.0",
    page="https://github.com/Jakobovski/free-spoken-digit-dataset",
    layout=("recordings/<digit>_<speaker>_<number>.wav",),
    downloads=(
        Download(
            "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
            unpack=".",
            holds=3000,  # GitHub packs a tag anew and gives no checksum: its content is counted
        ),
    ),
    splits="utterances 0-4 test, 5-9 validate; without 0-4: 5-9 development test, 10-14 validate",
)

RATE = 8000
NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")
FOLD = 5
"""Utterances of each digit and speaker in the test, and in the validation set."""


def prepare(
    *,
    path: Path | None = None,
    skip_bad: bool = False,
    window: float = 30.0,
    hop: float = 20.0,
    bands: int = 40,
    seconds: float = 1.0,
) -> Cache:
    """The recordings in the cache, in the order of their names; options as in `load`.

    Raises:
        UserError: no recordings there; bad ones, unless ``skip_bad`` leaves them out.
    """
    root = SOURCE.locate(path)
    files = [file for file in find(root, "**/*.wav") if NAME.fullmatch(file.name)]
    if not files:
        raise UserError(f"{root}: no FSDD here; recordings lie in {SOURCE.layout[0]}")
    clips = Clips(Mel(RATE, window, hop, bands), seconds)

    def read(file: Path) -> Iterator[Sample]:
        digit, speaker, number = _parts(file.name)
        samples, _ = wav.read(file, rate=RATE)
        yield clips.sample(samples, digit, speaker=speaker, number=number, file=file.name)

    return clips.prepare("fsdd", root, files, files, read, skip_bad)


@augmented
def load(
    *,
    path: Path | None = None,
    batch_size: int = 16,
    form: Form = "causal",
    encoding: Literal["features", "delta", "lif"] = "features",
    threshold: float = 0.5,
    floor: float = -60.0,
    window: float = 30.0,
    hop: float = 20.0,
    bands: int = 40,
    seconds: float = 1.0,
    shift: int = 4,
    noise: float = 0.4,
    holdout_speaker: str | None = None,
    holdout_validation: Literal["speaker", "utterances"] = "speaker",
    leave_out: int | str | None = None,
    **augment: Any,
) -> ArrayDataset:
    """FSDD: events (50, B, 120), log-mel bands and their differences. Any part of it will do.

    Args:
        form: of the features, "clip", "causal", "pcen" or "relative" (`audio.features`).
        encoding: "features", or the bands' spikes: "delta" or "lif" (`encode`).
        threshold: of the spikes, in standard deviations of a band.
        floor: dB of a full-scale sine, "causal", or of the level, "relative", below which there is
            silence.
        window, hop: milliseconds of a frame, and from one to the next, a step.
        bands: mel bands between 20 and 4,000 Hz.
        seconds: of every clip; longer ones lose both ends, shorter ones lie in the middle.
        shift: training samples move by up to so many frames, either way.
        noise: deviation of the Gaussian noise added to training features.
        holdout_speaker: all of this speaker is the test, the next one by name validates, and
            neither trains. What the others leave untrained is the split "general".
        holdout_validation: with a speaker held out, the next "speaker" validates, or the others'
            "utterances" that validate without, so that all five of them train.
        leave_out: a digit that is in no split and no class, for a network that never heard it.
        augment: what else is done to training samples (`Augmentation`).

    Raises:
        UserError: no files there, bad files, no such speaker, an option out of range.
    """
    prepared = prepare(path=path, window=window, hop=hop, bands=bands, seconds=seconds)
    speakers, numbers = prepared.notes["speaker"], [int(n) for n in prepared.notes["number"]]
    index, test_split = split(speakers, numbers, holdout_speaker, holdout_validation)
    return spoken.dataset(
        prepared,
        Clips(Mel(RATE, window, hop, bands), seconds),
        index,
        name="fsdd",
        classes=[str(digit) for digit in range(10)],
        batch_size=batch_size,
        form=form,
        encoding=encoding,
        threshold=threshold,
        floor=floor,
        augmentation=Augmentation(shift=shift, noise=noise, **augment),
        test_split=test_split,
        leave_out=None if leave_out is None else str(leave_out),
    )


def read_file(path: Path, features: dict[str, Any] | None, seconds: float = 1.0) -> Tensor:
    """A recording as events (T, channels). Raises UserError as `audio.clips.read_file` does."""
    return read_clip(path, features, seconds)


def split(
    speakers: Sequence[str],
    numbers: Sequence[int],
    holdout: str | None = None,
    validation: str = "speaker",
) -> tuple[Index, str]:
    """The index by utterance number, or by speaker, and "official" or "development".

    Args:
        holdout, validation: ``holdout_speaker`` and ``holdout_validation`` of `load`.

    Raises:
        UserError: no such speaker, or too few of them to hold any out.
    """
    first = 0 if min(numbers) < FOLD else FOLD
    folds = [(number - first) // FOLD for number in numbers]
    if holdout is None:
        names = ["test" if fold == 0 else "validation" if fold == 1 else "train" for fold in folds]
        return spoken.collect(names), "official" if first == 0 else "development"
    spoken.check_speaker(holdout, speakers, "fsdd")
    everyone = sorted(set(speakers))
    if validation == "utterances":
        names = [
            "test" if speaker == holdout
            else "general" if fold == 0 else "validation" if fold == 1 else "train"
            for speaker, fold in zip(speakers, folds, strict=True)
        ]  # fmt: skip
        return spoken.collect(names), "development"
    if len(everyone) < 3:
        raise UserError("data.holdout_speaker: needs three speakers, to train, validate and test")
    judge = everyone[(everyone.index(holdout) + 1) % len(everyone)]
    held = {holdout: "test", judge: "validation"}
    names = [
        held.get(speaker, "train" if fold else "general")
        for speaker, fold in zip(speakers, folds, strict=True)
    ]
    return spoken.collect(names), "development"


def _parts(name: str) -> tuple[int, str, str]:
    match = NAME.fullmatch(name)
    assert match is not None
    return int(match[1]), match[2], match[3]
