"""A level follower: how loud a sound is of late, frame by frame, so that its gain drops out.

    Pᵗ = maxₖ Sₖᵗ
    Nᵗ = min(Pᵗ, rise · Nᵗ⁻¹)                               the noise, P⁰ at first
    Gᵗ = max(Pᵗ, fall · Gᵗ⁻¹, above · Nᵗ, least)            the level
    Lₖᵗ⁻ⁱ = log(Sₖᵗ⁻ⁱ / Gᵗ + floor),   i = 0, 1, 2
    x = (L, L − L', (L − L') − (L' − L''))

One level for all bands k, so that the spectrum's shape stays, as in `pcen` it doesn't. It rises at
once and falls slowly, so that within a word loudness still counts; from word to word, and from
microphone to microphone, it doesn't: a gain multiplies S, N and G alike, all but ``least``. L is
log(1 + floor) at most, and log floor of silence. The two frames before are seen by the present
level, so that the first loud frame stands out in the differences.

Without N, noise before the first word would be as loud as a word: a quiet speaker is no louder than
another's hiss. What is the lowest of late is taken for noise, and the level is ``above`` it at
least. Frames of less power than ``least`` are digital silence, and no noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synaptrace.errors import UserError


@dataclass(frozen=True)
class Follower:
    """The constants; a trained network keeps those that it was trained with.

    Args:
        fall: dB a second that the level loses where nothing is as loud.
        rise: dB a second that what counts as noise gains where nothing is as quiet.
        above: dB over the noise below which the level doesn't fall.
        least: dB of a full-scale sine below which there is digital silence: far below the rounding
            noise of 16 bits, as the first frame of a clip may hold the edge of its sound alone.

    Raises:
        UserError: a constant out of range.
    """

    fall: float = 20.0
    rise: float = 3.0
    above: float = 30.0
    least: float = -200.0

    def __post_init__(self) -> None:
        for name in ("fall", "rise", "above"):
            if not 0 <= getattr(self, name) <= 1000:
                raise UserError(f"level: {name} {getattr(self, name)} is not from 0 to 1000 dB")
        if not -200 <= self.least <= 0:
            raise UserError(f"level: least {self.least} dB is not a level from -200 to 0")

    def factors(self, hop: float) -> dict[str, float]:
        """``fall``, ``rise``, ``above`` and ``least`` as factors, a frame of ``hop`` ms."""
        decibels = {
            "fall": -self.fall * hop / 1000, "rise": self.rise * hop / 1000,
            "above": self.above, "least": self.least,
        }  # fmt: skip
        return {name: float(10 ** (value / 10)) for name, value in decibels.items()}

    def __call__(
        self, power: Tensor, hop: float, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """G (T, …, 1) of power (T, …, bands), and the state for the frames after.

        Frame by frame, for all clips at once: to the bit what a stream does.

        Args:
            state: G and N (2, …, 1) of the frame before; None at the start of the sound.
        """
        by, loudest = self.factors(hop), power.amax(-1, keepdim=True)
        level, noise = loudest.new_zeros(2, *loudest.shape[1:]) if state is None else state
        levels = []
        for now in loudest:
            lower = torch.where(noise > 0, torch.minimum(now, noise * by["rise"]), now)
            noise = torch.where(now > by["least"], lower, noise)
            level = torch.maximum(torch.maximum(now, level * by["fall"]), noise * by["above"])
            level = level.clamp(min=by["least"])
            levels.append(level)
        seen = torch.stack(levels) if levels else loudest
        return seen, torch.stack([level, noise])
