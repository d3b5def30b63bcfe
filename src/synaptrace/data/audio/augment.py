"""What training does to clips of sound so that there are more of them, every draw a clip's own.

    on the power in mel bands, before its form      on the features
      warp    another speaker's vocal tract           shift, noise   `clips.jitter`
      snr     noise, louder in some clips             mask_bands     bands that aren't heard
      channel another microphone and room             mask_steps     moments that aren't heard
      gain    nearer or farther, all of it

in this order. What is off draws nothing.

Sources: N. Jaitly, G. E. Hinton, "Vocal tract length perturbation (VTLP) improves speech
recognition", ICML workshop 2013, warp; D. S. Park and others, "SpecAugment", Interspeech 2019,
arXiv 1904.08779, masks, of which there is one of each kind here, and no warp of time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import Parameter, signature
from typing import Any, TypeVar

import torch
from torch import Tensor

from synaptrace.data.audio.clips import check_jitter, jitter
from synaptrace.data.audio.mel import Mel
from synaptrace.errors import UserError
from synaptrace.meanings import said

RANGE = 30.0
"""dB from the least to the best signal-to-noise ratio."""

TILTS = (-2.0, 1.0)
"""Exponents of the noise's power over frequency: from brown over pink and white to blue."""

KNEE = 0.8
"""Share of the highest frequency up to which it is warped by the factor itself."""

MOST_DB = 200.0
"""What gain and snr may be set to, either way."""

Loader = TypeVar("Loader", bound=Callable[..., Any])


@dataclass(frozen=True)
class Augmentation:
    """What is done to training clips; all of it is off by default.

    Args:
        shift: samples move by up to so many frames, either way.
        noise: deviation of the Gaussian noise added to the features.
        gain: a clip is up to so many dB louder or quieter.
        channel: a clip's bands are louder or quieter by a smooth curve of this deviation in dB.
        snr: noise is added to a clip's power, by so many dB weaker than the clip's mean, or up to
            `RANGE` weaker than that; None: none.
        warp: a clip's frequencies are multiplied by a factor from 1 − warp to 1 + warp.
        mask_bands, mask_steps: up to so many adjacent bands, and frames, are at their mean.
    """

    shift: int = 0
    noise: float = 0.0
    gain: float = 0.0
    channel: float = 0.0
    snr: float | None = None
    warp: float = 0.0
    mask_bands: int = 0
    mask_steps: int = 0

    def check(self, steps: int, bands: int) -> None:
        """Raises UserError where one is out of range for clips of ``steps`` frames."""
        check_jitter(self.shift, self.noise, steps)
        for name in ("gain", "channel"):
            if not 0 <= getattr(self, name) <= MOST_DB:
                value = getattr(self, name)
                raise UserError(f"data.{name}: {value} dB is not from 0 to {MOST_DB:g}")
        if self.snr is not None and not -MOST_DB <= self.snr <= MOST_DB:
            raise UserError(
                f"data.snr: {self.snr} dB is not from {-MOST_DB:g} to {MOST_DB:g}, or null"
            )
        if not 0 <= self.warp <= 0.5:
            raise UserError(f"data.warp: {self.warp} is not a share from 0 to 0.5")
        if self.warp and bands < 2:
            raise UserError("data.warp: a single band has nothing to warp; set 0")
        for name, most in (("mask_bands", bands), ("mask_steps", steps)):
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"data.{name}: {getattr(self, name)} is not from 0 to {most}")

    @property
    def changes_power(self) -> bool:
        """Whether `of_power` changes anything."""
        return bool(self.warp or self.snr is not None or self.channel or self.gain)

    @property
    def changes_events(self) -> bool:
        """Whether `of_events` changes anything."""
        return bool(self.shift or self.noise or self.mask_bands or self.mask_steps)

    def of_power(self, power: Tensor, generator: torch.Generator, mel: Mel) -> Tensor:
        """Power (T, B, bands) of training clips, warped, in noise and of another loudness."""
        clips = power.shape[1]
        if self.warp:
            power = warp(power, mel, 1 + self.warp * _either(clips, generator))
        if self.snr is not None:
            ratio = self.snr + RANGE * torch.rand(clips, generator=generator)
            power = power + disturb(power, mel, ratio, generator)
        if self.channel:
            power = power * 10 ** (self.channel / 10 * curves(clips, mel.bands, generator))
        if self.gain:
            power = power * 10 ** (self.gain / 10 * _either(clips, generator))[:, None]
        return power

    def of_events(
        self, events: Tensor, generator: torch.Generator, bands: int, edge: bool
    ) -> Tensor:
        """Features (T, B, channels) of training clips, moved, in noise and masked.

        Args:
            edge: as in `jitter`.
        """
        if self.shift or self.noise:
            events = jitter(events, generator, frames=self.shift, noise=self.noise, edge=edge)
        steps, clips, channels = events.shape
        if self.mask_bands:
            hidden = stretch(clips, bands, self.mask_bands, generator)
            events = events.masked_fill(hidden.repeat(1, channels // bands), 0.0)
        if self.mask_steps:
            hidden = stretch(clips, steps, self.mask_steps, generator)
            events = events.masked_fill(hidden.T[..., None], 0.0)
        return events


def augmented(load: Loader) -> Loader:
    """A loader whose ``**augment`` are the options of `Augmentation` that it doesn't name itself.

    Its signature says so, of which a run's settings are made.
    """
    *named, _ = signature(load, eval_str=True).parameters.values()
    known = {each.name for each in named}
    options = signature(Augmentation, eval_str=True).parameters.values()
    rest = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in options if each.name not in known]
    load.__signature__ = signature(load).replace(parameters=[*named, *rest])  # type: ignore[attr-defined]
    load.said = said(Augmentation)  # type: ignore[attr-defined]
    return load


def options_of(settings: dict[str, Any]) -> dict[str, Any]:
    """Those of a data set's settings that are options of `Augmentation`."""
    return {
        each.name: settings[each.name] for each in fields(Augmentation) if each.name in settings
    }


def warp(power: Tensor, mel: Mel, factor: Tensor) -> Tensor:
    """Power (T, B, bands) with each clip's frequencies multiplied by its ``factor`` (B,).

    What was at f comes to lie at f · factor; above `KNEE`, at what leaves the highest frequency
    where it is. Between the bands' centres power is interpolated.
    """
    top, factor = mel.high, factor.double()[:, None]
    to = KNEE * top * factor.clamp(max=1)  # where the knee comes to lie
    knee, centres = to / factor, mel.corners[1:-1]
    above = top - (top - knee) / (top - to) * (top - centres)
    source = torch.where(centres <= to, centres / factor, above)
    right = torch.searchsorted(centres, source.contiguous()).clamp(1, mel.bands - 1)
    left = centres[right - 1]
    share = ((source - left) / (centres[right] - left)).clamp(0, 1).to(power.dtype)
    right = right.expand(len(power), -1, -1)
    return torch.lerp(power.gather(-1, right - 1), power.gather(-1, right), share)


def curves(clips: int, bands: int, generator: torch.Generator) -> Tensor:
    """Smooth curves (clips, bands) over the bands, of mean 0 and deviation 1 over many clips.

    A line, a bow and a wave, each as large as a Gaussian number says.
    """
    place = torch.linspace(-1, 1, bands)
    shapes = torch.stack([place, place.square(), torch.cos(2 * torch.pi * place)])
    shapes = shapes - shapes.mean(1, keepdim=True)
    shapes = shapes / (3 * shapes.square().mean(1, keepdim=True).clamp(min=1e-12)).sqrt()
    return torch.randn(clips, 3, generator=generator) @ shapes


def disturb(power: Tensor, mel: Mel, ratio: Tensor, generator: torch.Generator) -> Tensor:
    """The power of noise (T, B, bands), ``ratio`` dB (B,) below the mean of each clip's power.

    Each clip's noise has a tilt of its own over frequency, from `TILTS`. Where n frequencies fall
    into a band its power is that of n complex Gaussian numbers: chi-squared with 2 n degrees of
    freedom, by the approximation of Wilson and Hilferty (1931).
    """
    tilt = torch.empty(power.shape[1], 1).uniform_(*TILTS, generator=generator)
    width = mel.matrix.sum(0)
    shape = width.float() * (mel.corners[1:-1] / mel.high).float() ** tilt
    degrees = 2 * (width.square() / mel.matrix.square().sum(0)).nan_to_num(1).float()
    spread = 2 / (9 * degrees.clamp(min=2))
    normal = torch.randn(power.shape, generator=generator)
    noise = shape * (1 - spread + spread.sqrt() * normal).clamp(min=0) ** 3
    level = power.mean((0, 2)) * 10 ** (-ratio / 10)
    return noise * (level / noise.mean((0, 2)))[:, None]


def stretch(clips: int, size: int, most: int, generator: torch.Generator) -> Tensor:
    """For each clip up to ``most`` adjacent places of ``size``: which they are, (clips, size)."""
    width = torch.randint(most + 1, (clips, 1), generator=generator)
    start = (torch.rand(clips, 1, generator=generator) * (size - width + 1)).floor()
    place = torch.arange(size)
    return (place >= start) & (place < start + width)


def _either(clips: int, generator: torch.Generator) -> Tensor:
    """A number from −1 to 1 for each clip, all equally likely."""
    return 2 * torch.rand(clips, generator=generator) - 1
