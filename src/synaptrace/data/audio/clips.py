"""What the data sets of spoken words share: from sound files to the cache, from there to events.

The cache holds each clip's power in mel bands, all clips of one length; the form of the features,
the statistics and what augments them come later and cost no second preparation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from synaptrace.data import cache, splits
from synaptrace.data.audio import wav
from synaptrace.data.audio.features import Features, Mel, centre
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError

Item = TypeVar("Item")

VERSION = 1
"""Of what the cache holds of a sound file."""

CHUNK = 1024
"""Clips at once where statistics are taken."""


@dataclass(frozen=True)
class Clips:
    """How sound files become clips in the cache.

    Args:
        mel: the bands.
        seconds: of every clip; longer ones lose both ends, shorter ones lie in the middle of
            silence.

    Raises:
        UserError: clips shorter than a frame's hop.
    """

    mel: Mel
    seconds: float

    def __post_init__(self) -> None:
        if not self.mel.hop / 1000 <= self.seconds < float("inf"):
            raise UserError(f"data.seconds: {self.seconds} s is no length that holds a frame")

    @property
    def length(self) -> int:
        """Samples of a clip."""
        return round(self.mel.rate * self.seconds)

    def sample(self, samples: Tensor, label: int, **notes: str) -> Sample:
        """A clip (n,) as the cache keeps it."""
        power = self.mel.power(centre(samples, self.length))
        return Sample({"power": power.numpy()}, label, notes)

    def prepare(
        self,
        name: str,
        root: Path,
        files: Sequence[Path],
        items: Sequence[Item],
        read: Callable[[Item], Iterable[Sample]],
        skip_bad: bool = False,
        **settings: Any,
    ) -> Cache:
        """The cache of what ``read`` makes of each item with `sample`.

        Args:
            files: below ``root``, what the samples are made of.
            settings: what else they depend on, JSON-able.
        """
        key = asdict(self) | settings | {"files": cache.fingerprint(root, files)}
        return cache.prepare(name, VERSION, key, items, read, skip_bad=skip_bad)


def read_file(path: Path, features: Mapping[str, Any] | None, seconds: float) -> Tensor:
    """A sound file as a network hears it: events (T, channels), prepared as training's clips were.

    One of another rate or of several channels is mixed down and resampled (`wav.convert`).

    Args:
        features: `Features.spec` of those that the network was trained with.
        seconds: of a clip.

    Raises:
        UserError: the file can't be read; a network that wasn't trained on sound.
    """
    if features is None:
        raise UserError(f"{path}: the network was not trained on sound; it takes .npy events")
    made = Features.from_spec(features)
    clips = Clips(made.mel, seconds)
    samples = wav.convert(*wav.channels(path), made.mel.rate)
    power = made.mel.power(centre(samples, clips.length))
    return made(power[:, None])[:, 0]


def dataset(
    prepared: Cache,
    clips: Clips,
    index: splits.Index,
    *,
    name: str,
    classes: Sequence[str],
    batch_size: int,
    form: str,
    encoding: str,
    threshold: float,
    shift: int,
    noise: float,
    test_split: str,
    leave_out: str | None = None,
) -> ArrayDataset:
    """The data set of a prepared cache; speakers are its notes "speaker", if it has any.

    Args:
        form, encoding, threshold: as in `Features`.
        shift: training samples move by up to so many frames, either way.
        noise: deviation of the Gaussian noise added to training features.
        leave_out: a class whose samples are in no split, and which isn't one any more.

    Raises:
        UserError: options out of range, no training samples.
    """
    labels = torch.from_numpy(prepared.labels)
    if leave_out is not None:
        index, classes, labels = without(leave_out, index, classes, labels)
    steps = clips.length // clips.mel.stride
    check_jitter(shift, noise, steps)
    if noise and encoding != "features":
        raise UserError(f"data.noise: {encoding!r} are counts of spikes; noise must be 0")
    power = mapped(prepared.columns["power"]).view(len(prepared), steps, clips.mel.bands)
    features = Features(clips.mel, form, encoding, threshold)  # type: ignore[arg-type]
    if not index.get("train"):
        raise UserError(f"{name}: there are no training samples")
    if form == "causal":
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
        augment=partial(jitter, frames=shift, noise=noise, edge=encoding == "features")
        if shift or noise
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


def mapped(column: cache.Array) -> Tensor:
    """A column of the cache as a tensor that stays in the file; nothing may write to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(np.asarray(column))


def jitter(
    events: Tensor, generator: torch.Generator, *, frames: int, noise: float, edge: bool = True
) -> Tensor:
    """Move each sample in time by up to ``frames`` frames, and add Gaussian noise.

    Args:
        events: (T, B, channels).
        generator: draws one whole number for each sample, all equally likely, then the noise.
        edge: what comes in is the first or last frame again; else it is zeros.
    """
    steps, batch = events.shape[:2]
    moves = torch.randint(-frames, frames + 1, (batch,), generator=generator)
    source = torch.arange(steps)[:, None] - moves
    moved = events[source.clamp(0, steps - 1), torch.arange(batch)]
    if not edge:
        moved = moved * ((source >= 0) & (source < steps))[..., None]
    if noise:
        moved = moved + noise * torch.randn(events.shape, generator=generator)
    return moved


def check_jitter(shift: int, noise: float, steps: int) -> None:
    """Raises UserError where ``shift`` or ``noise`` is out of range for samples of ``steps``."""
    if not 0 <= shift < steps:
        raise UserError(f"data.shift: {shift} is not a number of frames from 0 to {steps - 1}")
    if not 0 <= noise < float("inf"):
        raise UserError(f"data.noise: {noise} is not a deviation of 0 or more")


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
