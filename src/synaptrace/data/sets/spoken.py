"""What data sets of spoken words share: from the cache of their clips to events."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from synaptrace.data import splits
from synaptrace.data.audio.augment import MOST_DB, Augmentation
from synaptrace.data.audio.clips import Clips
from synaptrace.data.audio.features import Features, Form
from synaptrace.data.cache import Cache
from synaptrace.data.columns import Array
from synaptrace.data.dataset import ArrayDataset, Dataset
from synaptrace.errors import UserError

CHUNK = 1024
"""Clips at once where statistics are taken."""


def dataset(
    prepared: Cache,
    clips: Clips,
    index: splits.Index,
    *,
    name: str,
    classes: Sequence[str],
    batch_size: int,
    form: Form,
    encoding: str,
    threshold: float,
    floor: float,
    augmentation: Augmentation,
    test_split: str,
    leave_out: str | None = None,
    labels: Tensor | None = None,
) -> ArrayDataset:
    """The data set of a prepared cache; speakers are its notes "speaker", if it has any.

    Args:
        form, encoding, threshold, floor: as in `Features`.
        augmentation: of training samples.
        leave_out: a class whose samples are in no split, and which isn't one any more.
        labels: of the samples (N,), where they aren't the cache's.

    Raises:
        UserError: options out of range, no training samples.
    """
    labels = torch.from_numpy(prepared.labels) if labels is None else labels
    if leave_out is not None:
        index, classes, labels = without(leave_out, index, classes, labels)
    steps = clips.length // clips.mel.stride
    augmentation.check(steps, clips.mel.bands)
    if augmentation.noise and encoding != "features":
        raise UserError(f"data.noise: {encoding!r} are counts of spikes; noise must be 0")
    power = mapped(prepared.columns["power"]).view(len(prepared), steps, clips.mel.bands)
    features = Features(clips.mel, form, encoding, threshold, floor=floor)  # type: ignore[arg-type]
    if not index.get("train"):
        raise UserError(f"{name}: there are no training samples")
    if features.streams:
        pieces: tuple[Tensor, ...] = torch.split(torch.tensor(index["train"]), CHUNK)
        features = features.measured(power[rows].transpose(0, 1) for rows in pieces)
    whose = prepared.notes.get("speaker", [])
    speakers = sorted(set(whose) - {""})
    number = {name: i for i, name in enumerate(speakers)}
    return ArrayDataset(
        power,
        labels,
        name=name,
        classes=classes,
        index=index,
        batch_size=batch_size,
        transform=features,
        augment=partial(augmentation.of_events, bands=clips.mel.bands, edge=encoding == "features")
        if augmentation.changes_events
        else None,
        augment_frames=partial(augmentation.of_power, mel=clips.mel)
        if augmentation.changes_power
        else None,
        cache=prepared,
        dt=clips.mel.hop,
        speaker=torch.tensor([number.get(name, -1) for name in whose]) if whose else None,
        test_split=test_split,
        split_hash=splits.digest(index),
        speakers=speakers,
        features=features.spec,
    )


def without(
    word: str, index: splits.Index, classes: Sequence[str], labels: Tensor
) -> tuple[splits.Index, list[str], Tensor]:
    """Index, classes and labels (N,) without ``word``; its samples keep a label nobody reads.

    Raises:
        UserError: no such class.
    """
    if word not in classes:
        raise UserError(f"data.leave_out: {word!r} is none of {', '.join(classes)}")
    number = list(classes).index(word)
    kept = {k: [i for i in rows if labels[i] != number] for k, rows in index.items()}
    rest = [name for name in classes if name != word]
    return kept, rest, (labels - (labels > number).long()).clamp(max=len(rest) - 1)


def louder(data: Dataset, decibels: float) -> ArrayDataset:
    """The same clips as if they had been recorded ``decibels`` louder.

    Raises:
        UserError: data that aren't the power of sound, a gain that is no number.
    """
    if not isinstance(data, ArrayDataset) or not isinstance(data.transform, Features):
        raise UserError(f"--gain: {data.meta.name} is not sound")
    if not abs(decibels) <= MOST_DB:
        raise UserError(f"--gain: {decibels} dB is not from {-MOST_DB:g} to {MOST_DB:g}")
    made, features, factor = copy.copy(data), data.transform, 10 ** (decibels / 10)
    made.transform = lambda power: features(power * factor)
    return made


def mapped(column: Array) -> Tensor:
    """A column of the cache as a tensor that stays in the file; nothing may write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(column))


def collect(names: Sequence[str]) -> splits.Index:
    """An index of the name of each sample's split."""
    index: splits.Index = {}
    for sample, name in enumerate(names):
        index.setdefault(name, []).append(sample)
    return index


def check_speaker(name: str, speakers: Iterable[str], data: str) -> None:
    """Raises UserError where ``data`` has no speaker ``name``."""
    known = sorted(set(speakers))
    if name not in known:
        some = ", ".join(known[:8]) + (" …" if len(known) > 8 else "")
        raise UserError(f"data.holdout_speaker: {data} has no speaker {name!r}; it has {some}")
