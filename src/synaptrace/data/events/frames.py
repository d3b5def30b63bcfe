"""From events to frames: bins of time, regions and groups of pixels, counts or bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data.events.formats import Recording
from synaptrace.data.inputs import afford
from synaptrace.errors import UserError

Array = NDArray[Any]

SPARSE = 40
"""Bytes that an event justifies, of those that `inputs.afford` multiplies: 1,000 empty pixels."""

LEAST = 1 << 18
"""Events that every batch is taken to have, however few there are: frames of 1 GiB."""


class Events(NamedTuple):
    """The events of a batch, arrays of equal length."""

    t: Array
    """Microseconds since the start of the recording."""
    x: Array
    """Columns, or the channel where the sensor has one row."""
    y: Array | None
    """Rows; None where there is one."""
    p: Array | None
    """0 OFF, 1 ON; None where there is one polarity."""
    sample: Array
    """Which of the batch's samples, from 0, in order."""

    def counts(self, batch: int) -> Array:
        """The number of events of each of ``batch`` samples."""
        return np.diff(np.searchsorted(self.sample, np.arange(batch + 1)))


@dataclass(frozen=True)
class Frames:
    """How events become frames.

    Args:
        sensor: its rows and columns of pixels; one row for a line of channels.
        dt: milliseconds a step; None: ``steps`` equal parts of each recording's own duration,
            from its first event to its last.
        steps: steps a sample; beyond them events aren't seen. None: as many as it lasts.
        polarities: channels of events, 2 (OFF, ON) or 1.
        merge: both polarities in one channel.
        crop: the rows and columns kept, in the middle of the sensor; 0: all.
        pool: the events of pool × pool pixels (on a line: of ``pool`` channels) come together.
        binary: 1 where there is any event, in place of how many.
        parts: a recording of ``parts`` times ``dt * steps`` milliseconds is seen in as many parts
            at once, each in polarities of its own, those of the first part first.

    Raises:
        UserError: an option out of range; ``crop`` or ``pool`` that doesn't fit the sensor.
        ValueError: ``parts`` below 1, of unknown duration, or of a line.
    """

    sensor: tuple[int, int]
    dt: float | None = 1.0
    steps: int | None = None
    polarities: int = 2
    merge: bool = False
    crop: int = 0
    pool: int = 1
    binary: bool = False
    parts: int = 1

    def __post_init__(self) -> None:
        rows, columns = self.sensor
        if self.dt is None and self.steps is None:
            raise UserError("data.dt: give milliseconds a step, or data.steps")
        if self.dt is not None and not 0 < self.dt < float("inf"):
            raise UserError(f"data.dt: {self.dt} is not a positive number of milliseconds")
        if self.steps is not None and self.steps < 1:
            raise UserError(f"data.steps: {self.steps} is not a positive number of steps")
        if self.parts != 1 and (self.until is None or rows == 1 or self.parts < 1):
            raise ValueError("only maps of given dt and steps can be seen in parts")
        if not 0 <= self.crop <= min(s for s in self.sensor if s > 1):
            raise UserError(f"data.crop: {self.crop} pixels don't fit into {columns}×{rows}")
        if self.pool < 1 or any(size % self.pool for size in self._kept if size > 1):
            kept = "×".join(str(size) for size in self._kept[::-1])
            raise UserError(f"data.pool: {self.pool} doesn't divide {kept} pixels")

    @property
    def _channels(self) -> int:
        return self.parts * (1 if self.merge else self.polarities)

    @property
    def _kept(self) -> tuple[int, int]:
        rows, columns = self.sensor
        return (min(self.crop or rows, rows), self.crop or columns)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one step: (channels, rows, columns), or (channels,) of a line."""
        rows, columns = self._kept
        if self.sensor[0] == 1:
            return (columns // self.pool,)
        return (self._channels, rows // self.pool, columns // self.pool)

    @property
    def until(self) -> int | None:
        """Microseconds after which no event is seen, where that is the same for all samples."""
        if self.dt is None or self.steps is None:
            return None
        return math.ceil(1000 * self.dt * self.steps * self.parts)

    def duration(self, last: Array) -> Array:
        """Steps of samples whose last events are at ``last`` (N,) microseconds."""
        if self.steps is not None:
            return np.full(len(last), self.steps)
        assert self.dt is not None
        return (last / (1000 * self.dt)).astype(np.int64) + 1

    def afford(self, where: object, last: Array, events: int) -> None:
        """Raises UserError, naming ``where``, if a batch asks for more than its events justify.

        Args:
            last: (B,) microseconds of each sample's last event.
            events: how many they have together.
        """
        steps, step = int(self.duration(last).max()), math.prod(self.shape)
        what = f"{steps} steps of {len(last)} recordings (mend it, or raise data.dt or data.pool),"
        afford(where, 4 * steps * step * len(last), SPARSE * (LEAST + events), what)

    def render(self, events: Events, first: Array, last: Array) -> Tensor:
        """The frames of a batch.

        Args:
            first, last: (B,) microseconds of each sample's first and last event.

        Returns:
            (T, B, *shape) float32, T steps of the longest sample.
        """
        total, batch = int(self.duration(last).max()), len(last)
        if self.dt is None:
            since, span = events.t - first[events.sample], (last - first + 1)[events.sample]
            step = since * total // span
        else:
            step = (events.t / (1000 * self.dt)).astype(np.int64)
        seen = step < total * self.parts
        cell, part = step, None
        if self.parts > 1:
            part, cell = np.divmod(step, total)
        cell *= batch
        cell += events.sample
        rows, columns = self._kept
        if len(self.shape) > 1:
            if part is not None:
                cell *= self.parts
                cell += part
            if events.p is not None and not self.merge:
                cell *= self.polarities
                cell += events.p
            y, seen = self._place(events.y, self.sensor[0], rows, seen)
            cell *= rows // self.pool
            cell += y
        x, seen = self._place(events.x, self.sensor[1], columns, seen)
        cell *= columns // self.pool
        cell += x
        if not seen.all():
            cell = cell[seen]
        # Memory from calloc stays untouched where no event falls, so few events make cheap frames.
        frames = np.zeros((total, batch, *self.shape), dtype=np.float32)
        if self.binary:
            frames.reshape(-1)[cell] = 1
        else:
            np.add.at(frames.reshape(-1), cell, np.float32(1))
        return torch.from_numpy(frames)

    def of(self, recording: Recording) -> Tensor:
        """The frames (T, *shape) of one recording."""
        events = alone(recording)
        return self.render(events, events.t[:1], events.t[-1:])[:, 0]

    def _place(self, at: Array | None, size: int, kept: int, seen: Array) -> tuple[Array, Array]:
        """Rows or columns of the frame, and which events lie on it."""
        assert at is not None
        if size > kept:
            at = at - (size - kept) // 2
        seen = seen & (at >= 0) & (at < kept)
        return at // self.pool if self.pool > 1 else at, seen


def alone(recording: Recording) -> Events:
    """A batch of one recording."""
    t, x, y, p = (column.astype(np.int64) for column in recording)
    return Events(t, x, y, p, np.zeros_like(t))


def check_size(size: int, sensor: tuple[int, int]) -> None:
    """Raises UserError where frames of ``sensor`` can't be resized to ``size``."""
    if not 1 <= size <= sensor[0]:
        raise UserError(f"data.size: {size} is not a number of pixels from 1 to {sensor[0]}")


def resize(frames: Tensor, size: int, antialias: bool) -> Tensor:
    """Frames (T, C, rows, columns) brought to size × size pixels, interpolating (bilinear).

    A pixel becomes a mean of those it covers where ``antialias``, else of its four neighbours, so
    that events in between are lost when the map shrinks to less than half.
    """
    return F.interpolate(
        frames, size=(size, size), mode="bilinear", align_corners=False, antialias=antialias
    )
