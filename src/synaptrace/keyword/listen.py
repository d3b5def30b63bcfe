"""Recognise words in a stream of sound, frame by frame, with constant memory.

Each hop of samples completes a frame of features that stream (`causal_step`), and the network
takes one step. Its readout leaks while listening: one that sums for ever would never forget a word.
The level of each hop decides in which of two states the stream is:

    silence    no hop has been louder than ``silence`` dB for ``hold`` seconds
    sound      from the first hop that is louder

Where sound ends, or has lasted for ``longest`` seconds, there is a decision: the likeliest word if
its probability reaches ``confidence``, otherwise none ("undecided"). Clicks of less than `CLICK`
seconds are passed over.
"""

from __future__ import annotations

import copy
import math
import wave
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from synaptrace import network
from synaptrace.data.audio import wav
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.stream import NO_STREAM, Stream, causal_step
from synaptrace.errors import UserError
from synaptrace.network import Network

MOST = 60.0
"""The most seconds that ``hold`` and ``longest`` may be set to."""
CLICK = 0.06
"""Seconds; what is shorter is no word."""


@dataclass(frozen=True)
class Settings:
    """How to decide.

    Args:
        decay: α of the readout while listening, per frame.
        silence: level in dB of full scale below which a hop is silent.
        hold: seconds of silence that end a word.
        longest: seconds of sound after which there is a decision anyway.
        confidence: the probability that a word needs; 0 decides always.

    Raises:
        UserError: a value out of range.
    """

    decay: float = 0.95
    silence: float = -50.0
    hold: float = 0.2
    longest: float = 1.5
    confidence: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise UserError(f"--decay: {self.decay} is not a decay from 0 to below 1")
        if not 0 <= self.confidence <= 1:
            raise UserError(f"--confidence: {self.confidence} is not a probability")
        if not self.silence < 0:
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


class Heard(NamedTuple):
    """All that is kept from block to block; its size doesn't grow."""

    samples: Tensor
    """Of a hop that isn't complete yet."""
    stream: Stream | None = None
    net: network.State | None = None
    frames: int = 0
    """How many there were."""
    quiet: int = 0
    """Silent frames in a row."""
    began: int | None = None
    """The frame in which the sound began; None in silence."""


def begin() -> Heard:
    """The state before the first sample."""
    return Heard(torch.zeros(0))


def ready(net: Network, features: Features, settings: Settings) -> Network:
    """The network as it listens: its readout leaks; the weights are shared with ``net``.

    Raises:
        UserError: features that don't stream, or of another size than the network's input.
    """
    if not features.streams:
        raise UserError(f"{NO_STREAM}; train with --data.form causal or pcen")
    if math.prod(net.in_shape) != features.channels:
        raise UserError(f"the network has {net.in_shape} inputs, not {features.channels} channels")
    listening = copy.copy(net)
    listening.readout_decay = settings.decay
    return listening


@torch.no_grad()
def hear(
    net: Network, features: Features, classes: Sequence[str], settings: Settings,
    state: Heard, samples: Tensor,
) -> tuple[list[Report], Heard]:  # fmt: skip
    """Hear the next ``samples`` (n,) of a stream, any number of them.

    Args:
        net: as `ready` gives it.
        features: those that the network was trained with; they say the samples' rate.
        classes: the words, in the order of the network's outputs.
        state: `begin`'s, or what the call before returned.

    Returns:
        What there is to report, and the state for the next call; its ``net.logits`` (1, classes)
        are the readout.
    """
    stride, reports = features.mel.stride, []
    waiting = torch.cat([state.samples, samples])
    for hop in waiting[: len(waiting) // stride * stride].view(-1, stride):
        events, stream = causal_step(features, state.stream, hop)
        _, now = net.step(events, state.net)
        state = state._replace(stream=stream, net=now, frames=state.frames + 1)
        step = stride / features.mel.rate
        found, state = decide(step, classes, settings, state, level(hop))
        reports += found
    rest = waiting[len(waiting) // stride * stride :].clone()
    return reports, state._replace(samples=rest)


def decide(
    step: float, classes: Sequence[str], settings: Settings, state: Heard, loudness: float
) -> tuple[list[Report], Heard]:
    """The reports of a frame of ``step`` seconds, whose hop had ``loudness`` dB."""
    reports, time = [], round(state.frames * step, 4)
    silent = loudness < settings.silence
    quiet = state.quiet + 1 if silent else 0
    if state.frames == 1 and silent:
        reports.append(Report(time, "silence"))
    state = state._replace(quiet=quiet)
    if state.began is None:
        if not silent:
            reports.append(Report(time, "sound"))
            state = state._replace(began=state.frames - 1)
        return reports, state
    over = quiet * step >= settings.hold
    lasted = (state.frames - state.began) * step
    if not over and lasted < settings.longest:
        return reports, state
    if lasted - quiet * step >= CLICK and state.net is not None:
        chances = state.net.logits[0].softmax(0)
        best = int(chances.argmax())
        probability = float(chances[best])
        kind = "word" if probability >= settings.confidence else "undecided"
        start = round(state.began * step, 4)
        reports.append(Report(time, kind, start, classes[best], round(probability, 4)))
    if over:
        reports.append(Report(time, "silence"))
    return reports, state._replace(began=None if over else state.frames)


def level(samples: Tensor) -> float:
    """Mean power of samples (n,) in dB of full scale: a square wave from −1 to 1 has 0."""
    return 10 * math.log10(float(samples.square().mean()) + 1e-12)


def sound(path: str | Path, rate: int, size: int) -> Iterator[Tensor]:
    """The samples of a file at ``rate`` Hz, ``size`` at a time.

    A mono PCM file of that rate is read as it goes, whatever its length. Any other is read whole,
    mixed down and resampled (`wav.convert`), as recordings that one fine-tunes to are.

    Raises:
        UserError: naming the file, where it can't be read.
    """
    try:
        with wave.open(str(path), "rb") as file:
            fits = (file.getnchannels(), file.getframerate()) == (1, rate)
    except (OSError, EOFError, wave.Error):
        fits = False  # the reader of whole files knows more formats, or what is wrong
    if fits:
        yield from wav.blocks(path, rate, size)
    else:
        yield from torch.split(wav.convert(*wav.channels(path), rate), size)


def listen(
    net: Network, features: Features, classes: Sequence[str], blocks: Iterable[Tensor],
    settings: Settings | None = None,
) -> Iterator[Report]:  # fmt: skip
    """What is heard in a stream, reported as it is known; after its end comes silence.

    Args:
        net: a trained network; it stays as it is.
        features: those that it was trained with, of a form that streams.
        classes: the words, in the order of the network's outputs.
        blocks: samples (n,) from −1 to 1 at ``features.mel.rate`` Hz, each of any length.
        settings: None: the defaults of `Settings`.

    Raises:
        UserError: features that don't stream, or of another size than the network's input.
    """
    settings = settings or Settings()
    net, state = ready(net, features, settings), begin()
    for samples in blocks:
        reports, state = hear(net, features, classes, settings, state, samples)
        yield from reports
    if state.began is not None:
        mel = features.mel
        silence = torch.zeros(math.ceil(settings.hold * mel.rate) + 2 * mel.stride)
        yield from hear(net, features, classes, settings, state, silence)[0]


def as_dict(report: Report) -> dict[str, Any]:
    """JSON-able values, those that there are."""
    return {key: value for key, value in report._asdict().items() if value is not None}
