"""False alarms and false rejections of a listening network, on streams put together from clips.

A stream is clips one after the other, in an order and with pauses that a seed draws, over a faint
hiss. Two kinds are heard:

    spoken     the network's own words: one that isn't reported as what it is, is a false rejection
    strange    what is none of them: whatever is reported there is a false alarm

Where nobody has recorded what is none of the words, each word in turn is heard as if the network
had never learned it: without its output and its utterances. Such strangers are near ones, but
said by voices that the network knows: how many alarms other speech makes is another matter, and on
a voice that it never heard they can be more.

Each decision is made as `listen` makes it, with nothing refused, so that one hearing tells of every
confidence: `Curve`. An alarm rate says no more than its hours allow: none in h hours is below
3/h an hour (95 %; the rule of three).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from synaptrace.data.audio.features import Features
from synaptrace.data.sets.outputs import SILENCE, UNKNOWN
from synaptrace.keyword.decide import Ear, Judge, Report, Settings, decide, likeliest, loudness
from synaptrace.keyword.listen import ready
from synaptrace.network import Network
from synaptrace.seeds import generator

PAUSE = (0.4, 1.2)
"""Seconds between clips, from and to."""
HISS = 10 ** (-75 / 20)
"""Deviation of the hiss under a stream: 75 dB below full scale."""
WIDTH = 16
"""Streams that are heard at once."""
NOT_WORDS = (UNKNOWN, SILENCE)
"""Classes whose report is no alarm, and whose clips are none of the network's words."""


class Clip(NamedTuple):
    """A piece of sound, and what is said in it."""

    samples: Tensor
    """(N,) from −1 to 1."""
    word: str | None
    """None: nothing that the network should report."""
    voice: str | None = None
    """Whose it is, where that is known."""


class Decision(NamedTuple):
    """What was decided of a clip, or where none was."""

    clip: int | None
    """Number of the clip that it overlaps; None: a pause."""
    label: str
    probability: float
    logits: Tensor
    """(classes,)"""
    counts: Tensor
    """(2, neurons), as a `Judge` takes them."""


class Kept:
    """A judge that remembers what it judged last, for a hearing of which more is to be known."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.logits, self.counts = torch.empty(0), torch.empty(0)

    def __call__(self, logits: Tensor, counts: Tensor) -> tuple[int, float]:
        """What the judge says."""
        self.logits, self.counts = logits, counts
        return self.judge(logits, counts)


@torch.no_grad()
def heard(
    net: Network, features: Features, classes: Sequence[str], clips: Sequence[Clip],
    settings: Settings, judge: Judge = likeliest, seed: int = 0,
) -> tuple[list[Decision], float]:  # fmt: skip
    """Every decision on streams of ``clips``, and how many hours the streams have.

    What `listen` reports with a confidence of 0; `WIDTH` streams go through the network at once.

    Args:
        net: a trained network; it stays as it is.
        features, classes, settings, judge: as `listen` takes them.
        seed: of order, pauses and hiss.
    """
    if not clips:
        return [], 0.0
    net, mel, kept = ready(net, features, settings), features.mel, Kept(judge)
    streams, said = together(clips, mel.rate, seed)
    settings = Settings(settings.decay, settings.silence, settings.hold, settings.longest, 0.0)
    found: list[Decision] = []
    levels = loudness(streams, mel.stride).T.tolist()
    events = features(torch.stack([mel.power(stream) for stream in streams], 1))
    ears, state = [Ear()] * len(streams), None
    step, last = mel.stride / mel.rate, net.layers[-1]
    for x, level in zip(events, levels, strict=True):
        logits, state = net.step(x, state)
        spikes = last.pool(state.spikes[-1]).flatten(1)
        for place, ear in enumerate(ears):
            reports, ears[place] = decide(
                step, classes, settings, ear, level[place], logits[place], spikes[place], kept
            )
            for each in reports:
                if each.label is not None and each.probability is not None:
                    clip = overlapping(each, said[place])
                    found.append(
                        Decision(clip, each.label, each.probability, kept.logits, kept.counts)
                    )
    return found, streams.numel() / mel.rate / 3600


Said = list[tuple[float, float, int]]
"""What is said in a stream: beginning and end in seconds, and the clip's number."""


def together(clips: Sequence[Clip], rate: int, seed: int) -> tuple[Tensor, list[Said]]:
    """Streams (B, N) of all ``clips`` at ``rate`` Hz, and what is said in each."""
    draws = generator(seed, "streams")
    rows: list[list[Tensor]] = [[] for _ in range(min(WIDTH, len(clips)))]
    said: list[Said] = [[] for _ in rows]
    ends = [0] * len(rows)
    for number in torch.randperm(len(clips), generator=draws).tolist():
        place = min(range(len(rows)), key=ends.__getitem__)  # so that they end together
        low, high = PAUSE
        pause = round(rate * (low + (high - low) * float(torch.rand((), generator=draws))))
        samples = clips[number].samples
        start = ends[place] + pause
        ends[place] = start + len(samples)
        rows[place] += [torch.zeros(pause), samples]
        said[place].append((start / rate, ends[place] / rate, number))
    streams = HISS * torch.randn(len(rows), max(ends) + rate, generator=draws)
    for stream, parts in zip(streams, rows, strict=True):
        whole = torch.cat(parts)
        stream[: len(whole)] += whole
    return streams, said


def overlapping(report: Report, said: Said) -> int | None:
    """The clip that a decision overlaps most; None where it overlaps none."""
    assert report.start is not None
    shares = [(min(end, report.time) - max(start, report.start), number)
              for start, end, number in said]  # fmt: skip
    share, number = max(shares)
    return number if share > 0 else None


@dataclass(frozen=True)
class Curve:
    """False rejections over false alarms, at every confidence.

    JSON-able but for its methods: `as_dict`, and ``Curve(**as_dict)`` again.
    """

    words: list[float]
    """How sure the right report was of each word that was spoken; −1 where there was none."""
    alarms: list[float]
    """How sure each report was of what is none of the words."""
    hours: float
    """Of the streams on which the alarms were counted."""
    wrong: int = 0
    """Words of which the surest report was of another word."""

    def alarms_at(self, confidence: float) -> int:
        """How many alarms there are at a confidence."""
        return sum(sure >= confidence for sure in self.alarms)

    def rejected_at(self, confidence: float) -> float:
        """The share of words that aren't reported as what they are; 1 where none was spoken."""
        missed = sum(sure < confidence or sure < 0 for sure in self.words)
        return missed / len(self.words) if self.words else 1.0

    def confidence(self, rate: float) -> float:
        """The lowest confidence at which there are at most ``rate`` false alarms an hour."""
        return self._above(math.floor(rate * self.hours + 1e-9))

    def surely(self, rate: float) -> float:
        """The lowest confidence at which fewer than ``rate`` alarms an hour are 95 % sure.

        So few are then counted in these hours that at ``rate`` it happens one time in twenty, as
        Poisson's numbers say; where the hours are too few for that, it is the highest that tells.
        """
        expected, allowed = torch.tensor(rate * self.hours, dtype=torch.float64), 0
        while allowed < len(self.alarms):
            more = torch.tensor(allowed + 2.0, dtype=torch.float64)
            if torch.special.gammaincc(more, expected) > 0.05:
                break
            allowed += 1
        return self._above(allowed)

    def _above(self, allowed: int) -> float:
        """The lowest confidence at which there are at most so many alarms."""
        surest = sorted(self.alarms, reverse=True)
        if len(surest) <= allowed:
            return 0.0
        return min(round(surest[allowed] + STEP, 4), 1.0)

    def rows(self) -> list[tuple[float, float, float]]:
        """Confidence, false alarms an hour and share of false rejections, where either changes."""
        levels = sorted({0.0, *(round(s + STEP, 4) for s in [*self.alarms, *self.words] if s >= 0)})
        return [
            (c, self.alarms_at(c) / self.hours if self.hours else math.nan, self.rejected_at(c))
            for c in levels
        ]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return dict(self.__dict__)


STEP = 0.0001
"""The last digit of a probability that is reported."""


def said_rate(alarms: int, hours: float) -> str:
    """Alarms an hour in words, no finer than their hours allow (the rule of three)."""
    if not hours:
        return "unknown: no stream was heard"
    if not alarms:
        return f"below {3 / hours:.1f} an hour (none in {hours:.2f} h)"
    return f"{alarms / hours:.1f} an hour ({alarms} in {hours:.2f} h)"


def curve(
    spoken: Sequence[Clip], decided: Sequence[Decision], strange: Sequence[tuple[str, float]],
    hours: float,
) -> Curve:  # fmt: skip
    """The curve of what was decided on streams of words, and of reports of what is none.

    Args:
        strange: label and probability of each report.
    """
    words, surest = [-1.0] * len(spoken), [(-1.0, True)] * len(spoken)
    for each in decided:
        if each.clip is not None:
            fits = each.label == spoken[each.clip].word
            surest[each.clip] = max(surest[each.clip], (each.probability, fits))
            if fits:
                words[each.clip] = max(words[each.clip], each.probability)
    alarms = [sure for label, sure in strange if label not in NOT_WORDS]
    return Curve(words, alarms, hours, sum(not fits for _, fits in surest))
