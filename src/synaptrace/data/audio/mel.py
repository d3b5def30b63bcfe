"""Power of sound in mel bands, frame by frame.

Mel bands are triangles between frequencies evenly spaced in 2595 log₁₀(1 + f/700) (O'Shaughnessy,
Speech Communication, 1987), each with its peak at 1, on the power spectrum under a Hann window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.errors import UserError


@dataclass(frozen=True)
class Mel:
    """Power in mel bands.

    Args:
        rate: of the sound, in Hz.
        window, hop: in milliseconds: how long a frame is, and how far apart frames are.
        bands: how many, from ``low`` to ``high`` Hz.

    Raises:
        UserError: a setting out of range.
    """

    rate: int = 16000
    window: float = 30.0
    hop: float = 10.0
    bands: int = 40
    low: float = 20.0
    high: float = 4000.0

    def __post_init__(self) -> None:
        if not (self.rate > 0 and 1 <= self.stride <= self.size):
            raise UserError(
                f"data.hop: {self.hop} ms must be positive and no longer than the window, "
                f"{self.window} ms"
            )
        if self.bands < 1 or not 0 <= self.low < self.high <= self.rate / 2:
            raise UserError(
                f"data.bands: {self.bands} bands from {self.low} to {self.high} Hz don't fit a "
                f"rate of {self.rate} Hz"
            )

    @property
    def size(self) -> int:
        """Samples of a frame."""
        return round(self.rate * self.window / 1000)

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return round(self.rate * self.hop / 1000)

    @cached_property
    def corners(self) -> Tensor:
        """Hz (bands + 2,), float64: where each band starts, the next peaks, the one before ends."""
        low, high = (2595 * math.log10(1 + f / 700) for f in (self.low, self.high))
        mels = torch.linspace(low, high, self.bands + 2, dtype=torch.float64)
        return 700 * (10 ** (mels / 2595) - 1)

    @cached_property
    def matrix(self) -> Tensor:
        """How much each frequency counts in each band, (size // 2 + 1, bands), float64."""
        frequency = torch.arange(self.size // 2 + 1, dtype=torch.float64) * self.rate / self.size
        corners = self.corners
        rise = (frequency[:, None] - corners[:-2]) / corners.diff()[:-1]
        fall = (corners[2:] - frequency[:, None]) / corners.diff()[1:]
        return torch.minimum(rise, fall).clamp(min=0)

    @cached_property
    def weights(self) -> Tensor:
        """How much the squares of a spectrum's real and imaginary parts count in each band, (2 K,
        bands), float64; no band has frequencies beyond the first K."""
        counted = int(self.matrix.any(1).nonzero().amax()) + 1 if self.matrix.any() else 1
        peak = torch.hann_window(self.size, dtype=torch.float64).sum() / 2
        return (self.matrix[:counted] / peak.square()).repeat_interleave(2, 0)

    def frames(self, samples: Tensor) -> Tensor:
        """Power (…, T, bands) of the whole frames in samples (…, N), T = (N − size) // stride + 1.

        Computed in float64, so that how a stream was cut, or how many clips come at once, shows in
        the last float32 bit at most.
        """
        if samples.shape[-1] < self.size:
            return samples.new_empty(*samples.shape[:-1], 0, self.bands)
        window = torch.hann_window(self.size, dtype=torch.float64)
        spectrum = torch.fft.rfft(samples.double().unfold(-1, self.size, self.stride) * window)
        parts = torch.view_as_real(spectrum[..., : len(self.weights) // 2]).flatten(-2)
        power: Tensor = parts.square_() @ self.weights
        return power.to(samples.dtype)

    def power(self, samples: Tensor) -> Tensor:
        """Power (…, T, bands) of clips (…, N) with silence before them, T = N // stride."""
        return self.frames(F.pad(samples, (self.size - self.stride, 0)))


def centre(samples: Tensor, length: int) -> Tensor:
    """A clip (N,) in the middle of ``length`` samples: zeros around it, or its ends cut off."""
    before = (length - len(samples)) // 2
    return F.pad(samples, (before, length - len(samples) - before))
