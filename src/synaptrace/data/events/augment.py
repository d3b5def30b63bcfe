"""Seeded changes to training events; validation and test never see them.

`shift` and `flip` change frames; `shift_events`, `warp_events` and `drop` change events before
they become frames, which costs less where events are few.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data.events.frames import Events
from synaptrace.errors import UserError


def shift(events: Tensor, generator: torch.Generator, pixels: int) -> Tensor:
    """Move each sample as a whole by up to ``pixels`` rows and columns, either way.

    Args:
        events: (T, B, channels, rows, columns).
        generator: draws one whole number for each sample and direction, all equally likely.

    Returns:
        The same shape and dtype; what leaves the map is lost, and nothing comes in.
    """
    rows, columns = events.shape[-2:]
    padded = F.pad(events, (pixels, pixels, pixels, pixels))
    corners = torch.randint(2 * pixels + 1, (events.shape[1], 2), generator=generator)
    moved = [
        padded[:, sample, :, row : row + rows, column : column + columns]
        for sample, (row, column) in enumerate(corners.tolist())
    ]
    return torch.stack(moved, 1)


def check_shift(pixels: int, size: int) -> None:
    """Raises UserError where frames of ``size`` rows and columns can't be moved so far."""
    if not 0 <= pixels < size:
        raise UserError(f"data.shift: {pixels} is not a number of pixels from 0 to {size - 1}")


def flip(events: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each sample, left to right, with probability ½.

    Args:
        events: (T, B, channels, rows, columns).
        generator: draws one number for each sample.

    Returns:
        The same shape and dtype.
    """
    mirrored = torch.rand(events.shape[1], generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], events.flip(-1), events)


def shift_events(events: Events, generator: torch.Generator, pixels: int, batch: int) -> Events:
    """As `shift`, of ``batch`` samples: the same generator moves them to the same places.

    On a line of channels it moves along the line alone.
    """
    corners = torch.randint(2 * pixels + 1, (batch, 2), generator=generator).numpy()
    count = events.counts(batch)
    down, right = (np.repeat(pixels - corner, count) for corner in corners.T)
    y = None if events.y is None else np.add(events.y, down, out=down)
    return events._replace(x=np.add(events.x, right, out=right), y=y)


def warp_events(
    events: Events, generator: torch.Generator, strength: float, sensor: tuple[int, int], batch: int
) -> Events:
    """Turn, stretch and shear each of ``batch`` samples about the middle of the sensor.

    An event at r goes to (I + strength · N) r, N a 2×2 matrix of standard normal numbers for each
    sample. Within its pixel an event lies anywhere, so that no lines of empty pixels arise.

    Args:
        strength: 0.1 turns by about 4° and stretches each axis by about 10 %.
        sensor: its rows and columns; what leaves it lies beyond it.
    """
    rows, columns = sensor
    assert events.y is not None
    matrix = strength * torch.randn(batch, 2, 2, generator=generator).double().numpy() + np.eye(2)
    count = events.counts(batch)
    yy, yx, xy, xx = (np.repeat(part, count) for part in matrix.reshape(batch, 4).T)
    # In place from here on: what costs most is to be given fresh memory.
    y, x = torch.rand(2, len(events.t), generator=generator, dtype=torch.float64).numpy()
    y += events.y
    y -= rows / 2
    x += events.x
    x -= columns / 2
    for of_y, of_x, size in ((yy, yx, rows), (xy, xx, columns)):
        of_y *= y
        of_x *= x
        of_y += of_x
        of_y += size / 2
        np.floor(of_y, out=of_y)
    return events._replace(x=xy.astype(np.int64), y=yy.astype(np.int64))


def drop(events: Events, generator: torch.Generator, share: float) -> Events:
    """Lose each event with probability ``share``, independently of all others."""
    kept = np.flatnonzero(torch.rand(len(events.t), generator=generator).numpy() >= share)
    return Events(*(None if column is None else column.take(kept) for column in events))  # type: ignore[arg-type]
