"""Clips of one length: from sound files to the cache, to one network's ears, and moved in time.

The cache holds each clip's power in mel bands; the form of the features, the statistics and what
augments them come later and cost no second preparation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from synaptrace.data import cache
from synaptrace.data.audio import resample, wav
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.mel import Mel, centre
from synaptrace.data.cache import Cache, Sample
from synaptrace.errors import UserError

Item = TypeVar("Item")

VERSION = 1
"""Of what the cache holds of a sound file."""

CHUNK, AT_ONCE = 64, 4
"""Items that a thread prepares before it hands them on, and clips whose power is taken at once:
more do not fit a processor's cache."""

PIECE = 1 << 16
"""Rows of a sound file that are read at once."""


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
        """A clip (n,) on its way to the cache, which keeps what `finish` makes of it."""
        return Sample({"sound": centre(samples, self.length).numpy()}, label, notes)

    def finish(self, samples: Sequence[Sample]) -> list[Sample]:
        """Clips as the cache keeps them: their power in mel bands (T, bands)."""
        made: list[Sample] = []
        for start in range(0, len(samples), AT_ONCE):
            some = samples[start : start + AT_ONCE]
            sound = torch.from_numpy(np.stack([sample.columns["sound"] for sample in some]))
            for sample, power in zip(some, self.mel.power(sound).numpy(), strict=True):
                made.append(Sample({"power": power}, sample.label, sample.notes))
        return made

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
        return cache.prepare(
            name, VERSION, key, items, read, skip_bad=skip_bad, finish=self.finish, chunk=CHUNK
        )


def read_file(path: Path, features: Mapping[str, Any] | None, seconds: float) -> Tensor:
    """A sound file as a network hears it: events (T, channels), prepared as training's clips were.

    One of another rate or of several channels is mixed down and resampled (`mono`).

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
    power = made.mel.power(centre(mono(path, made.mel.rate), clips.length))
    return made(power[:, None])[:, 0]


def mono(path: Path, rate: int) -> Tensor:
    """The samples (N,) of a sound file at ``rate`` Hz, to the bit those of `resample.convert`.

    A PCM file is mixed down and resampled as it is read, so that one of hours takes twice the
    memory of what is returned, whatever its rate and channels.

    Raises:
        UserError: as `wav.channels` does.
    """
    return torch.cat(list(resample.stream(wav.rows(path, PIECE), rate)))


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
