"""A simulated event camera that looks at still images while it moves in saccades.

A pixel's level is L = log(I + dark), I the intensity in [0, 1] that falls on it. It remembers the
level of its last event, M, and at each step sends

    ON events   n = ⌊(L − M) / θ_on⌋   where L rose,   M ← M + n θ_on
    OFF events  n = ⌊(M − L) / θ_off⌋  where L fell,   M ← M − n θ_off

which is a pixel that is reset at every event, when the light changes evenly within a step. The
thresholds differ from pixel to pixel and between ON and OFF, θ · exp(mismatch · ε), ε normal.
Spurious events come at a steady rate everywhere.

A pixel with a refractory period sends one event at a time: while the period lasts it sends none,
and its memory follows the light (M ← L), so that fast edges lose events. Charge leaks off the
memory of every pixel: M falls, and ON events come where nothing moves.

The image is interpolated between pixels (bilinear), or blurred by the lens: then a pixel sees the
image's squares smeared by a Gaussian. `saccades` makes straight moves between corners, each with
a bell-shaped speed; `atis` has the path that N-MNIST's camera really took.

Sources: Lichtsteiner, Posch, Delbruck, IEEE J. Solid-State Circuits 43(2):566 (2008), the pixel;
Nozaki, Delbruck, IEEE Trans. Electron Devices 64(8):3239 (2017), its leak; Orchard et al., Front.
Neurosci. 9:437 (2015), the saccades; Flash and Hogan, J. Neurosci. 5(7):1688 (1985), the speed of
least jerk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.errors import UserError

DARK = 0.2
"""Added to the intensity before the logarithm, if nothing else is said."""

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
        dark: the light that a black pixel still gets, in parts of a white one's.
        ground: the intensity around the image, 0 black to 1 white.
        blur: standard deviation of the lens's Gaussian, in pixels; 0: bilinear interpolation.
        refractory: milliseconds without an event after an event, in whole steps; 0: a pixel can
            send several events a step.
        leak: ON events per second of a pixel that sees no change.
        moved: pixels begin anywhere between their thresholds, as after earlier motion; else with
            the memory of what they see.
        dt: milliseconds a step.
        sensor: rows and columns of pixels.

    Raises:
        UserError: a path of no step, a setting out of range.
    """

    path: Sequence[tuple[float, float]]
    threshold: float = 0.25
    mismatch: float = 0.15
    noise: float = 0.0
    dark: float = DARK
    ground: float = 0.0
    blur: float = 0.0
    refractory: float = 0.0
    leak: float = 0.0
    moved: bool = False
    dt: float = 1.0
    sensor: tuple[int, int] = (34, 34)

    def __post_init__(self) -> None:
        if len(self.path) < 2:
            raise UserError("camera: a path needs a start and at least one step")
        if not (self.threshold > 0 and self.dt > 0 and min(self.sensor) > 0):
            raise UserError("camera: threshold, dt and the sensor's size must be positive")
        if not (self.dark > 0 and 0 <= self.ground <= 1):
            raise UserError("camera: dark must be positive, and ground from 0 to 1")
        rates = (self.mismatch, self.noise, self.blur, self.refractory, self.leak)
        if not all(rate >= 0 for rate in rates):
            raise UserError("camera: mismatch, noise, blur, refractory and leak can't be negative")

    @property
    def steps(self) -> int:
        """Steps of a recording."""
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

        Images may be uint8 too, 0 to 255. A call draws one camera's thresholds, then memory and
        noise chunk by chunk: the same generator, images and chunk give the same bits.
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
            frames = self._look(intensity, thresholds, generator)
            if self.noise:
                self._add_noise(frames, generator)
            yield frames

    def _look(self, images: Tensor, thresholds: Tensor, generator: torch.Generator) -> Tensor:
        off, on = thresholds
        frames = images.new_empty(len(images), self.steps, 2, *self.sensor, dtype=torch.uint8)
        memory = self._level(images, *self.path[0])
        if self.moved:
            place = torch.rand(memory.shape, generator=generator)
            memory.add_(off).addcmul_(place, on + off, value=-1)
        hold = round(self.refractory / self.dt)
        rest = torch.zeros(memory.shape, dtype=torch.int32)  # steps until a pixel can send again
        for step, position in enumerate(self.path[1:]):
            level = self._level(images, *position)
            if self.leak:
                memory.sub_(on, alpha=self.leak * self.dt / 1000)
            change = level - memory
            if hold:
                ready = rest == 0
                rises, falls = (change >= on) & ready, (change <= -off) & ready
                sent = rises | falls
                rest.sub_((~ready).int()).masked_fill_(sent, hold)
                memory = torch.where(ready & ~sent, memory, level)
            else:
                rises = change.div(on).clamp_(min=0).floor_()
                falls = change.div_(off).neg_().clamp_(min=0).floor_()
                memory.addcmul_(rises, on).addcmul_(falls, off, value=-1)
                rises.clamp_(max=255)
                falls.clamp_(max=255)
            frames[:, step, 0], frames[:, step, 1] = falls, rises
        return frames

    def _level(self, images: Tensor, row: float, column: float) -> Tensor:
        """L (N, H, W) with the images' corner at (row, column) of the sensor."""
        down = place(images.shape[1], self.sensor[0], row, self.blur)
        across = place(images.shape[2], self.sensor[1], column, self.blur)
        light = down @ (images - self.ground) @ across.t()
        return light.add_(self.ground + self.dark).log_()

    def _add_noise(self, frames: Tensor, generator: torch.Generator) -> None:
        """Throw a Poisson number of events evenly onto all cells: a Poisson process in each."""
        mean = self.noise / 2 * self.dt / 1000 * frames.numel()
        count = int(torch.poisson(torch.tensor(mean, dtype=torch.float64), generator=generator))
        places = torch.randint(frames.numel(), (count,), generator=generator)
        cells, extra = torch.unique(places, return_counts=True)
        flat = frames.view(-1)
        flat[cells] = (flat[cells] + extra).clamp(max=255).to(torch.uint8)


def place(size: int, room: int, offset: float | Tensor, blur: float | Tensor) -> Tensor:
    """The (room, size) matrix that lays a line of ``size`` pixels at ``offset``.

    Its entries are a pixel's share of each of the line's pixels: by distance where ``blur`` is 0,
    else what a Gaussian of that width, in pixels, leaves of a square. Differentiable.
    """
    pixels = torch.arange(max(room, size), dtype=torch.float32)
    distance = pixels[:room, None] - (pixels[:size] + offset)
    if not isinstance(blur, Tensor) and not blur:
        return F.relu(1 - distance.abs())
    edge = torch.erf((distance + 0.5) / (math.sqrt(2) * blur))
    return (edge - torch.erf((distance - 0.5) / (math.sqrt(2) * blur))) / 2
