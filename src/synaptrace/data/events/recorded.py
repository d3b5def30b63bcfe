"""Data sets that read a prepared cache while they train: events, or frames made beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaptrace.data.cache import Cache
from synaptrace.data.dataset import Augment, Batch, Meta, check_labels, group
from synaptrace.data.events.align import align as align_events
from synaptrace.data.events.augment import drop as drop_events
from synaptrace.data.events.augment import shift_events, warp_events
from synaptrace.data.events.frames import Events, Frames
from synaptrace.errors import UserError

Array = NDArray[Any]


class EventDataset:
    """Events in a cache, made into frames batch by batch.

    Args:
        cache: with columns t (microseconds) and x, and y and p where there are rows and
            polarities.
        frames: how they become frames.
        index: the samples of each split.
        align: samples are brought to one place, size and slant (`align.align`).
        shift: training samples move by up to so many pixels, either way.
        drop: share of the events that training samples lose.
        warp: training samples are turned, stretched and sheared so much (`augment.warp_events`).
        masked: samples of different duration say how long they are; else all of a batch last as
            long as its longest.
        test_split, split_hash, speakers: as in `Meta`.

    Raises:
        UserError: labels, index or options out of range.
    """

    ahead = True

    def __init__(
        self,
        cache: Cache,
        frames: Frames,
        *,
        name: str,
        classes: Sequence[str],
        index: Mapping[str, Sequence[int]],
        batch_size: int = 64,
        align: bool = False,
        shift: int = 0,
        drop: float = 0.0,
        warp: float = 0.0,
        masked: bool = True,
        test_split: str | None = None,
        split_hash: str = "",
        speakers: Sequence[str] = (),
    ) -> None:
        self.labels = torch.from_numpy(cache.labels)
        check_labels(self.labels, len(cache), len(classes), name)
        if not 0 <= shift < max(frames.sensor):
            raise UserError(f"data.shift: {shift} is not a number of pixels below the sensor's")
        if not 0 <= drop < 1:
            raise UserError(f"data.drop: {drop} is not a share from 0 to below 1")
        if not 0 <= warp < 1:
            raise UserError(f"data.warp: {warp} is not a number from 0 to below 1")
        if frames.sensor[0] == 1 and (warp or align):
            key, off = ("align", "false") if align else ("warp", "0")
            raise UserError(f"data.{key}: a line of channels can't be turned; set {off}")
        self.cache, self.frames = cache, frames
        self.batch_size = _batch_size(batch_size)
        self.align, self.masked = align, masked
        self.shift, self.drop, self.warp = shift, drop, warp
        self.dt = frames.dt
        self.columns = {k: np.asarray(column) for k, column in cache.columns.items()}
        self.first, self.last = self._ends()
        self.duration = frames.duration(self.last)
        self._afford()
        self.index = {k: np.array(v, dtype=np.int64) for k, v in index.items() if len(v)}
        _check_index(self.index, len(cache), name)
        same = len(set(self.duration.tolist())) == 1
        self.meta = Meta(
            name=name,
            classes=tuple(classes),
            shape=frames.shape,
            steps=int(self.duration[0]) if same else None,
            sizes={split: len(chosen) for split, chosen in self.index.items()},
            test_split=test_split if "test" in self.index else None,
            split_hash=split_hash,
            speakers=tuple(speakers),
        )

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of a split, as `Dataset.batches`; augmentation draws from the generator."""
        chosen = self.index.get(split, np.empty(0, dtype=np.int64))
        for rows in _groups(chosen, self.batch_size, generator):
            events = self._gather(rows)
            if self.align:
                events = align_events(events, self.frames.sensor, len(rows))
            if generator is not None and self.drop:
                events = drop_events(events, generator, self.drop)
            if generator is not None and self.warp:
                events = warp_events(events, generator, self.warp, self.frames.sensor, len(rows))
            if generator is not None and self.shift:
                events = shift_events(events, generator, self.shift, len(rows))
            rendered = self.frames.render(events, self.first[rows], self.last[rows])
            lengths = _lengths(self.duration[rows]) if self.masked else None
            yield rendered, self.labels[rows], lengths

    def _ends(self) -> tuple[Array, Array]:
        """The times of each sample's first and last event, microseconds."""
        start, end = self.cache.offsets[:-1], self.cache.offsets[1:]
        if (start == end).any():
            raise UserError(f"{self.cache.folder}: a sample has no event; prepare the data again")
        t = self.columns["t"]
        return t[start].astype(np.int64), t[end - 1].astype(np.int64)

    def _afford(self) -> None:
        """Raises UserError, naming the longest sample, if its batch would be out of proportion."""
        longest = int(self.duration.argmax())
        files = self.cache.notes.get("file", ())
        where = files[longest] if files else f"{self.cache.folder}: sample {longest}"
        batch = min(self.batch_size, len(self.cache))
        mean = int(self.cache.offsets[-1]) // len(self.cache)
        self.frames.afford(where, np.full(batch, self.last[longest]), mean * batch)

    def _gather(self, rows: Array) -> Events:
        """The events of samples, but for those that come too late to be seen."""
        t, until = self.columns["t"], self.frames.until
        starts, ends = self.cache.offsets[rows], self.cache.offsets[rows + 1]
        if until is not None:
            ends = [s + np.searchsorted(t[s:e], until) for s, e in zip(starts, ends, strict=True)]
        slices = [slice(s, e) for s, e in zip(starts, ends, strict=True)]
        sample = np.repeat(np.arange(len(rows)), np.subtract(ends, starts))
        t, x = self._column("t", slices), self._column("x", slices)
        y = self._column("y", slices) if "y" in self.columns else None
        p = self._column("p", slices) if "p" in self.columns else None
        return Events(t, x, y, p, sample)

    def _column(self, name: str, slices: list[slice]) -> Array:
        return np.concatenate([self.columns[name][s] for s in slices], dtype=np.int64)


class FrameDataset:
    """Frames in a cache, a row of the column ``frames`` a step; a sample may be part of one.

    Args:
        cache: with a column of frames (steps, *shape).
        windows: for each split, (sample, first step, end) of each of its samples.
        dt: milliseconds a step, where all steps are alike.
        augment: applied to training batches, those asked for with a generator.
        split_hash and others: as in `Meta`.

    Raises:
        UserError: labels or windows out of range.
    """

    ahead = True

    def __init__(
        self,
        cache: Cache,
        *,
        name: str,
        classes: Sequence[str],
        windows: Mapping[str, Sequence[tuple[int, int, int]]],
        dt: float | None = None,
        batch_size: int = 64,
        augment: Augment | None = None,
        test_split: str | None = None,
        split_hash: str = "",
        speakers: Sequence[str] = (),
    ) -> None:
        labels = torch.from_numpy(cache.labels)
        check_labels(labels, len(cache), len(classes), name)
        self.cache, self.labels, self.augment, self.dt = cache, labels, augment, dt
        self.batch_size = _batch_size(batch_size)
        self.windows = {
            split: np.array(chosen, dtype=np.int64) for split, chosen in windows.items() if chosen
        }
        _check_index({k: w[:, 0] for k, w in self.windows.items()}, len(cache), name)
        every = np.concatenate(list(self.windows.values()))
        steps = np.diff(cache.offsets)[every[:, 0]]
        if not ((every[:, 1] >= 0) & (every[:, 1] < every[:, 2]) & (every[:, 2] <= steps)).all():
            raise UserError(f"{name}: a window lies beyond its sample's steps")
        lengths = set((every[:, 2] - every[:, 1]).tolist())
        self.meta = Meta(
            name=name,
            classes=tuple(classes),
            shape=cache.columns["frames"].shape[1:],
            steps=lengths.pop() if len(lengths) == 1 else None,
            sizes={split: len(chosen) for split, chosen in self.windows.items()},
            test_split=test_split if "test" in self.windows else None,
            split_hash=split_hash,
            speakers=tuple(speakers),
        )

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of a split, as `Dataset.batches`."""
        chosen = self.windows.get(split, np.empty((0, 3), dtype=np.int64))
        frames, offsets = np.asarray(self.cache.columns["frames"]), self.cache.offsets
        for rows in _groups(chosen, self.batch_size, generator):
            steps = rows[:, 2] - rows[:, 1]
            events = np.zeros((steps.max(), len(rows), *self.meta.shape), dtype=np.float32)
            for i, (sample, start, end) in enumerate(rows):
                events[: end - start, i] = frames[offsets[sample] + start : offsets[sample] + end]
            batch = torch.from_numpy(events)
            if generator is not None and self.augment is not None:
                batch = self.augment(batch, generator)
            yield batch, self.labels[rows[:, 0]], _lengths(steps)


def _groups(chosen: Array, size: int, generator: torch.Generator | None) -> Iterator[Array]:
    """The rows of ``chosen`` in batches, shuffled where there is a generator."""
    order = torch.arange(len(chosen))
    if generator is not None:
        order = torch.randperm(len(chosen), generator=generator)
    for rows in group(order, size):
        yield chosen[rows.numpy()]


def _lengths(steps: Array) -> Tensor | None:
    """Steps of a batch's samples, where they differ."""
    return torch.from_numpy(steps) if (steps != steps[0]).any() else None


def _batch_size(size: int) -> int:
    if size < 1:
        raise UserError(f"data.batch_size: {size} is not a positive number")
    return size


def _check_index(index: Mapping[str, Array], samples: int, name: str) -> None:
    for split, chosen in index.items():
        if chosen.min() < 0 or chosen.max() >= samples:
            raise UserError(f"{name}: the {split} split names samples beyond the {samples}")
