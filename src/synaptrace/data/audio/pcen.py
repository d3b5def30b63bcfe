"""Per-channel energy normalisation (PCEN): each band by its own recent loudness, frame by frame.

    Eᵗ = scale · power
    M⁰ = E⁰,   Mᵗ = (1 − s) Mᵗ⁻¹ + s Eᵗ
    PCENᵗ = (Eᵗ / (ε + Mᵗ)^α + δ)^r − δ^r

With α = 1 a gain g of the sound drops out, as Eᵗ and Mᵗ both carry it, until M comes down to ε;
with α below 1 a factor g^(1 − α) is left: 20 dB are 1.10 at α = 0.98, and change FSDD's features by
3.5 % of their norm. The root, with δ under it, compresses as the logarithm does but sends silence
to exactly 0; the smaller r is, the more it is the logarithm of 1 + E / (M^α δ) itself, and here r
is 0.05. The smoother is all that a stream keeps, one number a band.

Digital silence at the start makes M⁰ = 0, and the first sound after it is divided by s times
itself: Mᵗ ≥ s Eᵗ from frame 1 on and M⁰ = E⁰, so Eᵗ / Mᵗ never exceeds 1 / s, and what comes out
is bounded.

``scale`` matters because a full-scale sine has a power of 1 here, while the usual constants are
for samples that are whole numbers up to 2³¹ (librosa's) and have a power of 2⁶². It says which
power is E = 1, where M^(1 − α) is 1: at 2⁶² that factor is 2.0 for speech of 40 dB below full scale
and 1.6 for a room's noise at 90 dB, beside δ = 2. And it says how faint a sound has to be to count
as silence, which begins at ε / scale, 247 dB below full scale. So little is no waste: the edges of
clips in digital silence have frames that catch a few samples under the window's end, and where
silence began at 150 dB, 20 dB less would change FSDD's features by 18 % even with α = 1.

Source: Y. Wang, P. Getreuer, T. Hughes, R. F. Lyon, R. A. Saurous, "Trainable frontend for robust
and far-field keyword spotting", ICASSP 2017, arXiv 1607.05666, eq. 1 and 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from synaptrace.errors import UserError


@dataclass(frozen=True)
class Pcen:
    """The constants; a trained network keeps those that it was trained with.

    Called with power (T, …, bands) it gives PCEN of the same shape and the smoother's state.

    Args:
        smoothing: s, per frame.
        alpha: α, how much of the loudness is taken away.
        delta: δ.
        root: r.
        eps: ε, in units of E.
        scale: E of a full-scale sine.

    Raises:
        UserError: a constant out of range.
    """

    smoothing: float = 0.04
    alpha: float = 0.98
    delta: float = 2.0
    root: float = 0.05
    eps: float = 1e-6
    scale: float = 2.0**62

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"pcen: {name} {value} is not a positive number")
        for name in ("smoothing", "alpha", "root"):
            if getattr(self, name) > 1:
                raise UserError(f"pcen: {name} {getattr(self, name)} is above 1")

    def __call__(self, power: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """PCEN of power (T, …, bands), T ≥ 1, and the state (…, bands) for the frames after.

        Args:
            state: M of the frame before; None at the start of the sound.
        """
        energy = power * self.scale
        smooth = self.smoother(energy, state)
        relative = energy * (-self.alpha * (self.eps + smooth).log()).exp()
        # δ^r (exp(r log(1 + x / δ)) − 1): for a small r the difference of powers would cancel.
        grown = (self.root * (relative / self.delta).log1p()).expm1()
        return self.delta**self.root * grown, smooth[-1].clone()

    def smoother(self, energy: Tensor, state: Tensor | None = None) -> Tensor:
        """M (T, …, bands) of E, the frame before having had ``state``.

        An addition in place for each frame, for all clips and bands at once: faster than a
        product with the matrix of powers, and to the bit what a stream does.
        """
        keep = 1 - self.smoothing
        total = self.smoothing * energy
        if state is None:
            total[0] = energy[0]
        else:
            total[0].add_(state, alpha=keep)
        for before, now in pairwise(total):
            now.add_(before, alpha=keep)
        return total
