"""A simulated event camera that looks at still images while it moves in saccades.

A pixel's level is L = log(I + 0.2), I the intensity in [0, 1] that falls on it. It remembers the
level of its last event, M, and at each step sends

    ON events   n = ⌊(L − M) / θ_on⌋   where L rose,   M ← M + n θ_on
    OFF events  n = ⌊(M − L) / θ_off⌋  where L fell,   M ← M − n θ_off

which is a pixel that is reset at every event, when the light changes evenly within a step. The
thresholds differ from pixel to pixel and between ON and OFF, θ · exp(mismatch · ε), ε normal.
Spurious events come at a steady rate everywhere.

Motion is that of the N-MNIST recordings: straight moves between corners, each with a bell-shaped
speed, the image interpolated between pixels (bilinear).

Sources: Lichtsteiner, Posch, Delbruck, IEEE J. Solid-State Circuits 43(2):566 (2008), the pixel;
Orchard et al., Front. Neurosci. 9:437 (2015), the saccades; Flash and Hogan, J. Neurosci.
5(7):1688 (1985), the speed of least jerk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.errors import UserError

DARK = 0.2
"""Added to the intensity before the logarithm: the light that a black pixel still gets."""

CHUNK = 128
"""Images at once: small enough for a step's tensors to stay in the processor's cache."""


def saccades(corners: Sequence[tuple[float, float]], steps: int) -> tuple[tuple[float, float], ...]:
    """A path from corner to corner, ``steps`` steps for each straight move.

    The share of a move that is done after a share s of its time is 10s³ − 15s⁴ + 6s⁵, whose speed
    is a bell. Returns (row, column) at the start and after each step, steps · (corners − 1) + 1.
    """
    path = [corners[0]]
    for (row, column), (to_row, to_column) in pairwise(corners):
        for step in range(1, steps + 1):
            s = step / steps
            done = s**3 * (10 - 15 * s + 6 * s**2)
            path.append((row + (to_row - row) * done, column + (to_column - column) * done))
    return tuple(path)


@dataclass(frozen=True)
class Camera:
    """An event camera's settings.

    Args:
        path: where the image's corner lies on the sensor, (row, column) in pixels, at the start
            and after each step; `saccades` makes one.
        threshold: θ, the change of log intensity that makes an event.
        mismatch: standard deviation of log θ between pixels.
        noise: spurious events per pixel and second, half of them ON.
        dt: milliseconds a step.
        sensor: rows and columns of pixels.

    Raises:
        UserError: a path of no step, a setting out of range.
    """

    path: Sequence[tuple[float, float]]
    threshold: float = 0.25
    mismatch: float = 0.15
    noise: float = 0.0
    dt: float = 1.0
    sensor: tuple[int, int] = (34, 34)

    def __post_init__(self) -> None:
        if len(self.path) < 2:
            raise UserError("camera: a path needs a start and at least one step")
        if not (self.threshold > 0 and self.dt > 0 and min(self.sensor) > 0):
            raise UserError("camera: threshold, dt and the sensor's size must be positive")
        if not (self.mismatch >= 0 and self.noise >= 0):
            raise UserError("camera: mismatch and noise can't be negative")

    @property
    def steps(self) -> int:
        return len(self.path) - 1

    def record(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Look at images (N, h, w) of intensities in [0, 1].

        Returns:
            Event counts (N, T, 2, H, W), uint8, at most 255: channel 0 OFF, 1 ON, as polarity
            bits are; T steps of ``dt`` milliseconds.

        Raises:
            UserError: no images, or intensities that aren't numbers from 0 to 1.
        """
        frames = torch.empty(len(images), self.steps, 2, *self.sensor, dtype=torch.uint8)
        start = 0
        for chunk in self.stream(images, generator):
            frames[start : start + len(chunk)] = chunk
            start += len(chunk)
        return frames

    @torch.no_grad()
    def stream(
        self, images: Tensor, generator: torch.Generator, chunk: int = CHUNK
    ) -> Iterator[Tensor]:
        """As `record`, ``chunk`` images at a time, for more than fits into memory.

        Images may be uint8 too, 0 to 255. A call draws one camera's thresholds, then noise chunk
        by chunk: the same generator, images and chunk give the same bits.
        """
        if images.dim() != 3 or not images.numel():
            raise UserError(f"camera: images must be (N, rows, columns), not {tuple(images.shape)}")
        spread = torch.randn(2, *self.sensor, generator=generator)
        thresholds = self.threshold * torch.exp(self.mismatch * spread)
        chunks: tuple[Tensor, ...] = torch.split(images, chunk)
        for some in chunks:
            intensity = some / 255 if some.dtype == torch.uint8 else some.float()
            if not (intensity.min() >= 0 and intensity.max() <= 1):  # NaN compares as neither
                raise UserError("camera: intensities must be numbers from 0 to 1")
            frames = self._look(intensity, thresholds)
            if self.noise:
                self._add_noise(frames, generator)
            yield frames

    def _look(self, images: Tensor, thresholds: Tensor) -> Tensor:
        off, on = thresholds
        frames = images.new_empty(len(images), self.steps, 2, *self.sensor, dtype=torch.uint8)
        memory = self._level(images, *self.path[0])
        for step, position in enumerate(self.path[1:]):
            change = self._level(images, *position).sub_(memory)
            rises = change.div(on).clamp_(min=0).floor_()
            falls = change.div_(off).neg_().clamp_(min=0).floor_()
            frames[:, step, 0] = falls.clamp(max=255)
            frames[:, step, 1] = rises.clamp(max=255)
            memory.addcmul_(rises, on).addcmul_(falls, off, value=-1)
        return frames

    def _level(self, images: Tensor, row: float, column: float) -> Tensor:
        """L (N, H, W) with the images' corner at (row, column) of the sensor, black around."""
        down = _place(images.shape[1], self.sensor[0], row)
        across = _place(images.shape[2], self.sensor[1], column)
        return (down @ images @ across.t()).add_(DARK).log_()

    def _add_noise(self, frames: Tensor, generator: torch.Generator) -> None:
        """Throw a Poisson number of events evenly onto all cells: a Poisson process in each."""
        mean = self.noise / 2 * self.dt / 1000 * frames.numel()
        count = int(torch.poisson(torch.tensor(mean, dtype=torch.float64), generator=generator))
        places = torch.randint(frames.numel(), (count,), generator=generator)
        cells, extra = torch.unique(places, return_counts=True)
        flat = frames.view(-1)
        flat[cells] = (flat[cells] + extra).clamp(max=255).to(torch.uint8)


def _place(size: int, room: int, offset: float) -> Tensor:
    """The (room, size) matrix that lays a line of ``size`` pixels at ``offset``, interpolating."""
    pixels = torch.arange(max(room, size), dtype=torch.float32)
    distance = pixels[:room, None] - (pixels[:size] + offset)
    return F.relu(1 - distance.abs())
