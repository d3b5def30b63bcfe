"""Sound that is none of a network's words: pieces of noise."""

from __future__ import annotations

import torch
from torch import Tensor

from synaptrace.keyword.alarms import Clip
from synaptrace.seeds import generator


def noises(rate: int, count: int, seed: int = 0) -> list[Clip]:
    """``count`` pieces of noise at ``rate`` Hz."""
    draws = generator(seed, "noises")
    return [Clip(noise(rate, draws), None) for _ in range(count)]


def noise(rate: int, draws: torch.Generator) -> Tensor:
    """A piece of noise (N,): 0.1 to 1 s, from white to brown, at −50 to −15 dB, swelling."""
    length, colour, level, attack = torch.rand(4, generator=draws).tolist()
    size = round(rate * (0.1 + 0.9 * length))
    spectrum = torch.fft.rfft(torch.randn(size, generator=draws))
    spectrum = spectrum / torch.arange(1, len(spectrum) + 1) ** colour
    samples = torch.fft.irfft(spectrum, size)
    samples = samples * torch.linspace(0, 1 / max(attack, 0.01), size).clamp(max=1)
    wanted = 10 ** ((-50 + 35 * level) / 20)
    louder: Tensor = samples * (wanted / samples.square().mean().sqrt().clamp(min=1e-9))
    return louder.clamp(-1, 1)
