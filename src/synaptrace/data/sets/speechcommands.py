"""Google Speech Commands v2: 35 words by 2,618 speakers, 16 kHz, one second each.

105,829 clips, `{word}/{speaker}_nohash_{number}.wav`, and six minutes of background noise.
P. Warden, "Speech Commands: a dataset for limited-vocabulary speech recognition", arXiv
1804.03209 (2018).

The classes are the words that are there, and "unknown" for all else: seconds cut from the
background noise, and words that are none of the 35; in the whole set these are 36. ``words`` picks
some (`outputs`). Validation and test are the data's own lists, which no two of the three share a
speaker; of each noise file the last tenth is test, the tenth before it validates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from synaptrace.data import splits
from synaptrace.data.audio import wav
from synaptrace.data.audio.augment import Augmentation, augmented
from synaptrace.data.audio.clips import Clips
from synaptrace.data.audio.clips import read_file as read_clip
from synaptrace.data.audio.features import Form
from synaptrace.data.audio.mel import Mel
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.lists import read as read_lists
from synaptrace.data.sets import fsdd, outputs, spoken, users
from synaptrace.data.source import Download, Source, find
from synaptrace.errors import UserError
from synaptrace.meanings import said

WORDS = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four",
    "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right",
    "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)  # fmt: skip
CLASSES = (*WORDS, outputs.UNKNOWN)
"""Of the whole set."""

LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
NOISE = "_background_noise_"

SOURCE = Source(
    name="speechcommands",
    title="Google Speech Commands v2: 35 words and all else, 16 kHz, up to 36 classes",
    licence="CC BY 4.0",
    page="https://arxiv.org/abs/1804.03209",
    layout=("<word>/<speaker>_nohash_<number>.wav", *LISTS.values()),
    downloads=(
        Download(
            "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            size=2428923189,
            checksum="sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
            unpack=".",
        ),
    ),
    splits="official validation and test, with speakers of their own",
)

RATE, SECONDS = 16000, 1.0
PUBLISHED = "c50f55b8"
"""The speaker to whom arXiv 2509.13053 fine-tuned."""
SEED = 0
"""Of the split of a copy without test files; the data don't change with a run's seed."""


def prepare(
    *,
    path: Path | None = None,
    skip_bad: bool = False,
    window: float = 30.0,
    hop: float = 10.0,
    bands: int = 40,
) -> Cache:
    """The clips in the cache, in the order of their names; options as in `load`.

    Raises:
        UserError: no clips or lists there; bad ones, unless ``skip_bad`` leaves them out.
    """
    root = SOURCE.locate(path)
    files = find(root, "*/*.wav")
    if not files:
        raise UserError(f"{root}: no Speech Commands here; clips lie in {SOURCE.layout[0]}")
    lists = [root / name for name in LISTS.values()]
    given = read_lists(root, LISTS)
    clips = Clips(Mel(RATE, window, hop, bands), SECONDS)

    def read(file: Path) -> Iterator[Sample]:
        samples, _ = wav.read(file, rate=RATE)
        word, name = file.parent.name, f"{file.parent.name}/{file.name}"
        if word != NOISE:
            label = CLASSES.index(word if word in WORDS else outputs.UNKNOWN)
            speaker, split = file.name.split("_")[0], given.get(name, "train")
            yield clips.sample(samples, label, speaker=speaker, split=split, file=name)
            return
        cuts = torch.split(samples, clips.length)[: max(len(samples) // clips.length, 1)]
        for place, cut in enumerate(cuts):
            share = (place + 0.5) / len(cuts)
            split = "train" if share < 0.8 else "validation" if share < 0.9 else "test"
            label = CLASSES.index(outputs.UNKNOWN)
            yield clips.sample(cut, label, speaker="", split=split, file=f"{name}#{place}")

    return clips.prepare("speechcommands", root, [*files, *lists], files, read, skip_bad)


@augmented
def load(
    *,
    path: Path | None = None,
    batch_size: int = 64,
    form: Form = "clip",
    encoding: Literal["features", "delta", "lif"] = "features",
    threshold: float = 0.5,
    floor: float = -60.0,
    window: float = 30.0,
    hop: float = 10.0,
    bands: int = 40,
    shift: int = 0,
    noise: float = 0.0,
    holdout_speaker: str | None = None,
    holdout_users: int | None = None,
    words: str | None = None,
    unknown: float | None = None,
    silence: float | None = None,
    leave_out: str | None = None,
    **augment: Any,
) -> ArrayDataset:
    """Speech Commands: events (100, B, 120), log-mel bands and their differences.

    Any part of the files will do, with the two lists; where the list of test clips is empty,
    whole speakers, a fifth each of the clips at least, are development test and validation.
    The classes are what is there: the words, or those asked for in their order, "unknown",
    "silence".

    Args:
        form, encoding, threshold, floor, window, hop, bands, shift, noise: as `fsdd.load` has
            them.
        holdout_speaker: all of this speaker is the test and in no other split. The official test
            without it is the split "general". Published: c50f55b8.
        holdout_users: who has so many training utterances of every word, and c50f55b8, is in the
            split "users" and in no other, so that one network can be fine-tuned to each of them.
        words: which are classes, as "yes,no,up"; the others become "unknown", and the noise
            "silence". None: all that are there; "all": all 35 and "unknown", there or not.
        unknown: how many samples of the other words, in those that one of ``words`` has on average
            in a split, drawn from each alike; 0: none. None: 1 with ``words``, else all.
        silence: how many seconds of noise, likewise, and no more than there are. None: 1 with
            ``words``, else they are "unknown", too.
        leave_out: a word that is in no split and no class, for a network that never heard it.
        augment: what else is done to training samples (`Augmentation`).

    Raises:
        UserError: no files there, bad files, no such speaker or word, an option out of range.
    """
    prepared = prepare(path=path, window=window, hop=hop, bands=bands)
    speakers, given = prepared.notes["speaker"], prepared.notes["split"]
    names = prepared.notes["file"]
    heard = [name.split("/")[0] for name in names]
    heard = [outputs.NOISE if word == NOISE else word for word in heard]
    if holdout_speaker is not None and holdout_users is not None:
        raise UserError("data.holdout_users: doesn't go with data.holdout_speaker; leave one out")
    if holdout_speaker is not None:
        spoken.check_speaker(holdout_speaker, [s for s in speakers if s], "speechcommands")
        index = spoken.collect(
            [
                "test" if speaker == holdout_speaker else "general" if split == "test" else split
                for speaker, split in zip(speakers, given, strict=True)
            ]
        )
        test_split = "development"
    else:
        theirs: set[str] = set()
        if holdout_users is not None:
            own = outputs.chosen(heard, WORDS, words)
            theirs = set(users.find(speakers, heard, given, own, holdout_users, PUBLISHED))
        rows = [row for row, speaker in enumerate(speakers) if speaker not in theirs]
        index, test_split = splits.complete(
            prepared.labels[rows].tolist(), [given[row] for row in rows], share=0.1,
            groups=[speakers[row] for row in rows], seed=SEED,
        )  # fmt: skip
        if theirs:
            held = [row for row, speaker in enumerate(speakers) if speaker in theirs]
            index = users.apart(index, rows, held)
    chosen = outputs.choose(
        heard, names, index, WORDS, words=words, unknown=unknown, silence=silence
    )
    return spoken.dataset(
        prepared,
        Clips(Mel(RATE, window, hop, bands), SECONDS),
        chosen.kept,
        name="speechcommands",
        classes=chosen.classes,
        labels=chosen.labels,
        batch_size=batch_size,
        form=form,
        encoding=encoding,
        threshold=threshold,
        floor=floor,
        augmentation=Augmentation(shift=shift, noise=noise, **augment),
        test_split=test_split,
        leave_out=leave_out,
    )


load.said = said(fsdd.load)  # type: ignore[attr-defined]


def recorded(settings: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The settings of a training that had ``classes``: always 36, before there was ``words``."""
    old = settings.get("words") is None and tuple(classes[: len(CLASSES)]) == CLASSES
    return {**settings, "words": outputs.ALL} if old else dict(settings)


def read_file(path: Path, features: dict[str, Any] | None) -> Tensor:
    """A clip as events (T, channels). Raises UserError as `audio.clips.read_file` does."""
    return read_clip(path, features, SECONDS)
