"""Recognise words in a stream of sound, frame by frame, with constant memory.

Each hop of samples completes a frame of features that stream (`causal_step`), and the network
takes one step. Its readout leaks while listening: one that sums for ever would never forget a word.
Where a word is and which, `decide` says.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from synaptrace import network
from synaptrace.data.audio import resample, wav
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.stream import NO_STREAM, Stream, causal_step
from synaptrace.errors import UserError
from synaptrace.keyword.decide import Ear, Judge, Report, Settings, decide, level, likeliest
from synaptrace.network import Network


class Heard(NamedTuple):
    """All that is kept from block to block; its size doesn't grow."""

    samples: Tensor
    """Of a hop that isn't complete yet."""
    stream: Stream | None = None
    net: network.State | None = None
    ear: Ear = Ear()

    @property
    def frames(self) -> int:
        """How many there were."""
        return self.ear.frames


def begin() -> Heard:
    """The state before the first sample."""
    return Heard(torch.zeros(0))


def ready(net: Network, features: Features, settings: Settings) -> Network:
    """The network as it listens: its readout leaks; the weights are shared with ``net``.

    Raises:
        UserError: features that don't stream, or of another size than the network's input.
    """
    if not features.streams:
        raise UserError(f"{NO_STREAM}; train with --data.form causal, pcen or relative")
    if math.prod(net.in_shape) != features.channels:
        raise UserError(f"the network has {net.in_shape} inputs, not {features.channels} channels")
    listening = copy.copy(net)
    listening.readout_decay = settings.decay
    return listening


@torch.no_grad()
def hear(
    net: Network, features: Features, classes: Sequence[str], settings: Settings,
    state: Heard, samples: Tensor, judge: Judge = likeliest,
) -> tuple[list[Report], Heard]:  # fmt: skip
    """Hear the next ``samples`` (n,) of a stream, any number of them.

    Args:
        net: as `ready` gives it.
        features: those that the network was trained with; they say the samples' rate.
        classes: the words, in the order of the network's outputs.
        state: `begin`'s, or what the call before returned.
        judge: how sure decisions are; a calibrated network's is in its `calibrate.Calibration`.

    Returns:
        What there is to report, and the state for the next call; its ``net.logits`` (1, classes)
        are the readout.
    """
    stride, reports = features.mel.stride, []
    step, last = stride / features.mel.rate, net.layers[-1]
    waiting = torch.cat([state.samples, samples])
    for hop in waiting[: len(waiting) // stride * stride].view(-1, stride):
        events, stream = causal_step(features, state.stream, hop)
        logits, now = net.step(events, state.net)
        spikes = last.pool(now.spikes[-1]).flatten()
        found, ear = decide(
            step, classes, settings, state.ear, level(hop), logits[0], spikes, judge
        )
        state = state._replace(stream=stream, net=now, ear=ear)
        reports += found
    rest = waiting[len(waiting) // stride * stride :].clone()
    return reports, state._replace(samples=rest)


def sound(path: str | Path, rate: int, size: int) -> Iterator[Tensor]:
    """The samples of a file at ``rate`` Hz, from pieces of ``size`` read at a time.

    They are `resample.convert`'s, as of recordings that one fine-tunes to. A PCM file is read,
    mixed down and resampled as it goes, whatever its length; other formats are read whole.

    Raises:
        UserError: naming the file, where it can't be read.
    """
    yield from resample.stream(wav.rows(path, size), rate)


def listen(
    net: Network, features: Features, classes: Sequence[str], blocks: Iterable[Tensor],
    settings: Settings | None = None, judge: Judge = likeliest,
) -> Iterator[Report]:  # fmt: skip
    """What is heard in a stream, reported as it is known; after its end comes silence.

    Args:
        net: a trained network; it stays as it is.
        features: those that it was trained with, of a form that streams.
        classes: the words, in the order of the network's outputs.
        blocks: samples (n,) from −1 to 1 at ``features.mel.rate`` Hz, each of any length.
        settings: None: the defaults of `Settings`.
        judge: as `hear` takes it.

    Raises:
        UserError: features that don't stream, or of another size than the network's input.
    """
    settings = settings or Settings()
    net, state = ready(net, features, settings), begin()
    for samples in blocks:
        reports, state = hear(net, features, classes, settings, state, samples, judge)
        yield from reports
    if state.ear.began is not None:
        mel = features.mel
        silence = torch.zeros(math.ceil(settings.hold * mel.rate) + 2 * mel.stride)
        yield from hear(net, features, classes, settings, state, silence, judge)[0]


def as_dict(report: Report) -> dict[str, Any]:
    """JSON-able values, those that there are."""
    return {key: value for key, value in report._asdict().items() if value is not None}
