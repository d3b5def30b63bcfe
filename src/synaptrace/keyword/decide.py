"""Where a word is, and which: the decision of a stream, a frame at a time, in constant memory.

The level of each hop of sound decides in which of two states a stream is:

    silence    no hop has been louder than the silence level for ``hold`` seconds
    sound      from the first hop that is louder

Where sound ends, or has lasted for ``longest`` seconds, there is a decision: the likeliest word if
it is sure enough for ``confidence``, otherwise none ("undecided"). How sure it is a `Judge` says.
Clicks of less than `CLICK` seconds are passed over.

The silence level is `ABOVE` dB over the floor of the noise, the lowest level of a hop in the last
`SPAN` seconds (minimum statistics: R. Martin, IEEE Trans. Speech Audio Process. 9(5):504, 2001),
and never below `LOWEST`; or it is fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from synaptrace.errors import UserError

MOST = 60.0
"""The most seconds that ``hold`` and ``longest`` may be set to."""
CLICK = 0.06
"""Seconds; what is shorter is no word."""
ABOVE = 12.0
"""dB over the floor of the noise from which there is sound."""
LOWEST = -62.0
"""dB of full scale: the lowest silence level, so that the hiss of a quiet room is no sound."""
EARLY = 0.09
"""Seconds in which a spike counts for less by a factor e, where a word's beginning is counted."""
SPAN, PIECES = 4.0, 4
"""Seconds over which the floor is the lowest level, and pieces in which they are forgotten."""


@dataclass(frozen=True)
class Settings:
    """How to decide.

    Args:
        decay: α of the readout while listening, per frame.
        silence: level in dB of full scale below which a hop is silent; None: it follows the noise.
        hold: seconds of silence that end a word.
        longest: seconds of sound after which there is a decision anyway.
        confidence: the probability that a word needs; 0 decides always.

    Raises:
        UserError: a value out of range.
    """

    decay: float = 0.95
    silence: float | None = None
    hold: float = 0.2
    longest: float = 1.5
    confidence: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise UserError(f"--decay: {self.decay} is not a decay from 0 to below 1")
        if not 0 <= self.confidence <= 1:
            raise UserError(f"--confidence: {self.confidence} is not a probability")
        if self.silence is not None and not self.silence < 0:
            raise UserError(f"--silence: {self.silence} dB is not below full scale, 0 dB")
        for name, seconds in (("hold", self.hold), ("longest", self.longest)):
            if not 0 < seconds <= MOST:
                raise UserError(f"--{name}: {seconds} is not within 0 and {MOST} seconds")


class Report(NamedTuple):
    """What was heard; times in seconds from the beginning of the stream."""

    time: float
    """When it was known."""
    state: str
    """"silence" or "sound" begins, "word", or "undecided"."""
    start: float | None = None
    """When the word began."""
    label: str | None = None
    """The word; the likeliest one where undecided."""
    probability: float | None = None


class Judge(Protocol):
    """How sure a decision is."""

    def __call__(self, logits: Tensor, counts: Tensor) -> tuple[int, float]:
        """The likeliest class, and how sure it is, from 0 to 1.

        Args:
            logits: (classes,) at the word's end.
            counts: (2, neurons) spikes of the last layer's neurons since the word began: all of
                them, and those of its beginning (`EARLY`).
        """


def likeliest(logits: Tensor, counts: Tensor) -> tuple[int, float]:
    """The `Judge` of a network that isn't calibrated: the softmax of its logits."""
    chances = logits.softmax(0)
    best = int(chances.argmax())
    return best, float(chances[best])


class Ear(NamedTuple):
    """What deciding keeps from frame to frame; its size doesn't grow."""

    frames: int = 0
    """How many there were."""
    quiet: int = 0
    """Silent frames in a row."""
    began: int | None = None
    """The frame in which the sound began; None in silence."""
    lows: tuple[float, ...] = (LOWEST - ABOVE,) * PIECES
    """The lowest level in each of the last pieces of `SPAN`, the present one last."""
    counts: Tensor | None = None
    """(2, neurons) spikes since the sound began, as a `Judge` takes them; None before."""


def decide(
    step: float, classes: Sequence[str], settings: Settings, ear: Ear, loudness: float,
    logits: Tensor, spikes: Tensor, judge: Judge = likeliest,
) -> tuple[list[Report], Ear]:  # fmt: skip
    """The reports of the next frame.

    Args:
        step: seconds of a frame.
        loudness: of its hop, in dB of full scale.
        logits: (classes,) after it.
        spikes: (neurons,) of the last layer in it.
    """
    reports, frames = [], ear.frames + 1
    time = round(frames * step, 4)
    lows = follow(ear.lows, loudness, frames, max(round(SPAN / PIECES / step), 1))
    silent = loudness < (threshold(lows) if settings.silence is None else settings.silence)
    quiet = ear.quiet + 1 if silent else 0
    ear = ear._replace(frames=frames, quiet=quiet, lows=lows)
    if frames == 1 and silent:
        reports.append(Report(time, "silence"))
    none = spikes.new_zeros(2, len(spikes))
    began, counts = ear.began, none if ear.counts is None else ear.counts
    if began is None:
        if silent:
            return reports, ear._replace(counts=none)
        reports.append(Report(time, "sound"))
        began = frames - 1
        ear = ear._replace(began=began)
    early = math.exp((began + 1 - frames) * step / EARLY)
    counts = counts + torch.stack([spikes, spikes * early])
    over = quiet * step >= settings.hold
    lasted = (frames - began) * step
    if not over and lasted < settings.longest:
        return reports, ear._replace(counts=counts)
    if lasted - quiet * step >= CLICK:
        best, sure = judge(logits, counts)
        kind = "word" if sure >= settings.confidence else "undecided"
        start = round(began * step, 4)
        reports.append(Report(time, kind, start, classes[best], round(sure, 4)))
    if over:
        reports.append(Report(time, "silence"))
    return reports, ear._replace(began=None if over else frames, counts=none)


def follow(lows: tuple[float, ...], loudness: float, frames: int, piece: int) -> tuple[float, ...]:
    """The lowest levels after a hop of ``loudness`` dB, the ``frames``-th."""
    if frames % piece == 0:
        return *lows[1:], loudness
    return *lows[:-1], min(lows[-1], loudness)


def threshold(lows: tuple[float, ...]) -> float:
    """The silence level in dB of full scale, from the lowest levels of late."""
    return max(min(lows) + ABOVE, LOWEST)


def level(samples: Tensor) -> float:
    """Mean power of samples (n,) in dB of full scale: a square wave from −1 to 1 has 0."""
    return 10 * math.log10(float(samples.square().mean()) + 1e-12)


def loudness(samples: Tensor, stride: int) -> Tensor:
    """`level` of each whole hop of ``stride`` samples (…, n), (…, hops)."""
    whole = samples.shape[-1] // stride
    hops = samples[..., : whole * stride].reshape(*samples.shape[:-1], whole, stride)
    return 10 * torch.log10(hops.square().mean(-1) + 1e-12)
