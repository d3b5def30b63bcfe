"""What training asks of a data set, how samples are grouped into batches, and data held in memory.

Events are time first, (T, B, *shape): T steps of B samples, each step a map (channels, rows,
columns) or a plain vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from synaptrace.errors import UserError

if TYPE_CHECKING:
    from synaptrace.data.cache import Cache

SPLITS = ("train", "validation", "test")

CHUNK = 1024
"""Samples at once where all are looked at."""

Batch = tuple[Tensor, Tensor, Tensor | None]
"""events (T, B, *shape) float32; labels (B,) int64; lengths (B,) int64 in steps, or None."""

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Changes a batch of training events or frames (T, B, *shape), drawing from the generator alone."""

Transform = Callable[[Tensor], Tensor]
"""Makes a batch of events (T, B, *shape) of frames (T, B, …), each sample by itself."""


@dataclass(frozen=True)
class Meta:
    """What a data set is: enough to build a network for it and to name it in a report."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    """Of one step of one sample: (N,), or (channels, rows, columns)."""
    steps: int | None
    """Steps of every sample; None where they differ."""
    sizes: dict[str, int]
    """Samples of each split; a split that doesn't exist has no key."""
    test_split: str | None
    """"official", "development" (cut from other data by a stored rule), or None without a test."""
    split_hash: str
    """sha256 of the stored split index (`splits.digest`); empty where there is none."""
    speakers: tuple[str, ...] = ()
    """Whose samples they are, where that is known."""
    features: dict[str, Any] | None = None
    """How sound became events (`audio.Features.spec`), so that a trained network can listen."""


class Dataset(Protocol):
    """Anything with ``meta`` and ``batches`` can be trained on.

    One that has an attribute ``ahead``, and it is true, is asked for its next batch in a thread of
    its own while the present one trains: nothing that `batches` uses may belong to one thread or be
    shared with what trains, such as PyTorch's default generator.
    """

    @property
    def meta(self) -> Meta:
        """What it says about itself."""

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """The batches of a split; none where the split doesn't exist.

        ``generator`` given: shuffled and augmented, every draw from it. None: the stored order,
        nothing changed.
        """
        ...


def group(indices: Tensor, batch_size: int) -> list[Tensor]:
    """Cut indices (n,) into batches; a last batch of one joins the one before.

    A batch of one has nothing to contrast with, and leaving it out would lose a sample. Where
    batches of one are asked for, they stay.
    """
    batches: list[Tensor] = list(torch.split(indices, batch_size)) if len(indices) else []
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


class ArrayDataset:
    """A data set whose frames lie in memory, one byte a value where they are event counts.

    Args:
        frames: (N, T, *shape), usually uint8; floating numbers are served too.
        labels: (N,) whole numbers, indices into ``classes``.
        index: the samples of each split, as `splits.make` gives them.
        lengths: (N,) steps of each sample where they differ; what lies beyond is padding.
        transform: what makes events of the frames, batch by batch; None: they are the events.
        augment: applied to training batches, those asked for with a generator, after that.
        augment_frames: applied to them before that, to the frames (T, B, *shape).
        cache: where frames and labels were prepared, if they were.
        dt: milliseconds a step, where that is known.
        speaker: (N,) whole numbers, indices into ``speakers``: whose each sample is; −1: nobody's.
        test_split, split_hash, speakers, features: as in `Meta`.

    Raises:
        UserError: no samples, NaN or infinite values, labels or lengths out of range, shapes
            that don't fit, an index beyond the samples, a batch size below one.
    """

    ahead = True

    def __init__(
        self,
        frames: Tensor,
        labels: Tensor,
        *,
        name: str,
        classes: Sequence[str],
        index: Mapping[str, Sequence[int]],
        lengths: Tensor | None = None,
        batch_size: int = 64,
        transform: Transform | None = None,
        augment: Augment | None = None,
        augment_frames: Augment | None = None,
        cache: Cache | None = None,
        dt: float | None = None,
        speaker: Tensor | None = None,
        test_split: str | None = None,
        split_hash: str = "",
        speakers: Sequence[str] = (),
        features: dict[str, Any] | None = None,
    ) -> None:
        check_frames(frames, name)
        samples, steps = frames.shape[:2]
        check_labels(labels, samples, len(classes), name)
        if lengths is not None and (
            lengths.shape != (samples,) or lengths.min() < 1 or lengths.max() > steps
        ):
            raise UserError(f"{name}: lengths must be one for each sample, from 1 to {steps} steps")
        if batch_size < 1:
            raise UserError(f"data.batch_size: {batch_size} is not a positive number")
        self.frames, self.labels, self.lengths = frames, labels.long(), lengths
        self.batch_size, self.transform, self.augment = batch_size, transform, augment
        self.augment_frames = augment_frames
        self.cache, self.dt, self.speaker = cache, dt, speaker
        self.index = {k: torch.tensor(v, dtype=torch.int64) for k, v in index.items() if len(v)}
        for split, chosen in self.index.items():
            if chosen.min() < 0 or chosen.max() >= samples:
                raise UserError(f"{name}: the {split} split names samples beyond the {samples}")
        self.meta = Meta(
            name=name,
            classes=tuple(classes),
            shape=tuple(self._events(torch.tensor([0])).shape[2:]),
            steps=steps if lengths is None else None,
            sizes={split: len(chosen) for split, chosen in self.index.items()},
            test_split=test_split if "test" in self.index else None,
            split_hash=split_hash,
            speakers=tuple(speakers),
            features=features,
        )

    def _events(
        self, rows: Tensor, steps: int | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Events (T, B, *shape) of the samples ``rows``, of augmented frames by a generator."""
        frames = self.frames[rows, :steps].transpose(0, 1)
        if generator is not None and self.augment_frames is not None:
            frames = self.augment_frames(frames, generator)
        return frames if self.transform is None else self.transform(frames)

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of a split, as `Dataset.batches`; padding beyond the batch's longest is cut."""
        for rows in self.rows(split, generator):
            yield self.gather(rows, generator)

    @property
    def augmented(self) -> bool:
        """Whether training samples are changed by draws."""
        return self.augment is not None or self.augment_frames is not None

    def rows(self, split: str, generator: torch.Generator | None = None) -> list[Tensor]:
        """The samples (B,) of each batch, shuffled by the ``generator`` where there is one."""
        chosen = self.index.get(split, torch.empty(0, dtype=torch.int64))
        if generator is not None:
            chosen = chosen[torch.randperm(len(chosen), generator=generator)]
        return group(chosen, self.batch_size)

    def gather(
        self, rows: Tensor, generator: torch.Generator | None = None, steps: int | None = None
    ) -> Batch:
        """The samples ``rows`` (B,) as a batch; ``generator`` given: augmented, drawing from it.

        ``steps``: of the batch, where it is a longer one of which these are a part.
        """
        lengths = None if self.lengths is None else self.lengths[rows].long()
        if steps is None:
            steps = self.frames.shape[1] if lengths is None else int(lengths.max())
        events = self._events(rows, steps, generator)
        if generator is not None and self.augment is not None:
            events = self.augment(events, generator)
        return events.to(torch.float32).contiguous(), self.labels[rows], lengths


def check_frames(frames: Tensor, name: str) -> None:
    """Raises UserError for frames (N, T, *shape) that are empty, misshapen, NaN or infinite."""
    if frames.dim() < 3 or not frames.numel():
        shape = tuple(frames.shape)
        raise UserError(
            f"{name}: frames must be (samples, steps, …) and not empty, but are {shape}"
        )
    if frames.is_floating_point():
        parts: tuple[Tensor, ...] = torch.split(frames, CHUNK)  # as all may not fit into memory
        for number, part in enumerate(parts):
            good = part.isfinite().flatten(1).all(1)
            if not good.all():
                bad = number * CHUNK + int((~good).nonzero()[0])
                raise UserError(f"{name}: sample {bad} holds NaN or infinite numbers; mend it")


def check_labels(labels: Tensor, samples: int, classes: int, name: str) -> None:
    """Raises UserError for labels that aren't (samples,) whole numbers from 0 to classes − 1."""
    if labels.shape != (samples,):
        raise UserError(f"{name}: {samples} samples, but labels of shape {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UserError(f"{name}: labels must be whole numbers, not {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        bad = low if low < 0 else high
        raise UserError(f"{name}: label {bad} is out of range; there are {classes} classes, from 0")
