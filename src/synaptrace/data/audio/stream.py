"""Features of a stream of sound, frame by frame, with constant memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.data.audio.features import Features
from synaptrace.errors import UserError

NO_STREAM = "data.form: a stream needs 'causal', 'pcen' or 'relative' features"
"""What is said of features that wait for a clip's end."""


class Stream(NamedTuple):
    """What `causal_step` keeps between calls; its size doesn't grow."""

    samples: Tensor
    """The samples of which the next frame still needs something."""
    levels: Tensor
    """The last two frames' L (2, bands), or in "relative" their power."""
    spikes: Tensor | None
    """The encoder's state, where there is one."""
    smoother: Tensor | None = None
    """PCEN's, (bands,), or the level and the noise, (2, 1), once there was a frame."""


def causal_step(features: Features, state: Stream | None, samples: Tensor) -> tuple[Tensor, Stream]:
    """Go on with a stream: the events (t, channels) of the frames that ``samples`` complete.

    Together the calls give what `Features` gives for all the sound at once, however it is cut.

    Args:
        features: of a form that streams.
        state: what the last call returned; None at the beginning.
        samples: (n,), any number, none too.

    Raises:
        UserError: features of another form.
    """
    if not features.streams:
        raise UserError(f"{NO_STREAM}; {features.form!r} waits for the end")
    mel = features.mel
    if state is None:
        silence = samples.new_full((2, mel.bands), features.silence)
        state = Stream(samples.new_zeros(mel.size - mel.stride), silence, None)
    heard = torch.cat([state.samples, samples])
    power = mel.frames(heard)
    rest = heard[len(power) * mel.stride :].clone()
    if not len(power):
        return samples.new_empty(0, features.channels), state._replace(samples=rest)
    channels, levels, smoother = features.channels_of(power, state.levels, state.smoother)
    events, spikes = features.spikes(features.scaled(channels), state.spikes)
    return events, Stream(rest, levels.clone(), spikes, smoother)
