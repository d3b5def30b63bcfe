"""Features of sound: log-mel bands with their first and second differences, clip by clip or causal.

A clip becomes the power in mel bands, frame by frame, (T, bands); frame t ends where its hop ends,
and before the clip there is silence, so nothing looks ahead. A full-scale sine has a power of
about 1. From there four ways lead to the network:

    clip     L = log(1 + S / max S)   over the whole clip
             differences are central, and each channel is standardised over the clip
    causal   L = log(S + floor)
             differences are backward, and each channel is standardised by the mean and
             deviation that it has over the training set
    pcen     L = PCEN(S), each band by its own recent loudness (`pcen`)
             the rest as in causal
    relative L = log(S / G + floor), G the recent loudness of all bands (`level`)
             the rest as in causal, but that the frames before are seen by the present G

"clip" is the published form (arXiv 2509.13053, Speech Commands), in which the clip's peak, by
which samples are divided there, drops out; it needs the clip's end. The others need no future, so
a stream can be followed frame by frame with constant memory (`stream`). Before the first
frame they see silence, whose L is log floor or 0, so that in "pcen" and "relative" a gain changes
no difference either. In none does a clip's feature depend on the clips that share its batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from synaptrace.data.audio import encode
from synaptrace.data.audio.level import Follower
from synaptrace.data.audio.mel import Mel
from synaptrace.data.audio.pcen import Pcen
from synaptrace.errors import UserError

Form = Literal["clip", "causal", "pcen", "relative"]
"""Of the features."""

FLOOR = -60.0
"""dB of a full-scale sine, or of the level, added to the power before the logarithm."""

TINY = 1e-12
"""The least that power is divided by, so that silence stays silent."""

FLAT = 1e-8
"""A channel that deviates less than this is constant, and is not divided."""


@dataclass(frozen=True)
class Features:
    """What a network sees of a clip's power: the settings, and the training set's statistics.

    Called with power (T, …, bands) it gives the events (T, …, channels). ``spec`` is JSON-able,
    and `from_spec` makes the same features again.

    Args:
        mel: the bands.
        form: "clip", "causal", "pcen" or "relative", above.
        encoding: "features", the bands and their differences, 3 × bands channels; or
            the bands' spikes (`encode`), "delta", 2 × bands, or "lif", one channel a band.
        threshold: of the spikes, in standard deviations of a band.
        mean, deviation: of each of the 3 × bands channels over the training set, for the forms that
            stream; `measured` fills them in.
        pcen: the constants of "pcen".
        floor: dB of a full-scale sine, "causal", or of the level, "relative", that are added to the
            power before the logarithm.
        level: the constants of "relative".

    Raises:
        UserError: an unknown form or encoding, a threshold that is not positive, a floor that is
            no level.
    """

    mel: Mel
    form: Form = "clip"
    encoding: Literal["features", "delta", "lif"] = "features"
    threshold: float = 0.5
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    pcen: Pcen = field(default_factory=Pcen)
    floor: float = FLOOR
    level: Follower = field(default_factory=Follower)

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise UserError(f"data.form: {self.form!r} is none of {', '.join(get_args(Form))}")
        if self.encoding not in ("features", "delta", "lif"):
            raise UserError(
                f"data.encoding: {self.encoding!r} is none of 'features', 'delta' and 'lif'"
            )
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise UserError(f"data.threshold: {self.threshold} is not a positive number")
        if not -200 <= self.floor <= 0:
            raise UserError(f"data.floor: {self.floor} dB is not a level from -200 to 0")

    @property
    def least(self) -> float:
        """The floor as power."""
        return float(10 ** (self.floor / 10))

    @property
    def channels(self) -> int:
        """Inputs that a network sees at each step."""
        return self.mel.bands * {"features": 3, "delta": 2, "lif": 1}[self.encoding]

    @property
    def streams(self) -> bool:
        """Whether a stream can be followed: the form needs no end."""
        return self.form != "clip"

    @property
    def spec(self) -> dict[str, Any]:
        """The settings as JSON-able values; `from_spec` reads them back."""
        made = asdict(self) | {"mean": list(self.mean), "deviation": list(self.deviation)}
        for name, form in (("pcen", "pcen"), ("level", "relative")):
            if self.form != form:  # as they were before there was that form
                del made[name]
        if self.floor == FLOOR:  # nor one that could be set
            del made["floor"]
        return made

    @staticmethod
    def from_spec(spec: Mapping[str, Any]) -> Features:
        """Features from what `spec` gave. Raises UserError where it gave something else."""
        try:
            given = dict(spec) | {"mel": Mel(**spec["mel"]), "pcen": Pcen(**spec.get("pcen", {}))}
            given["level"] = Follower(**spec.get("level", {}))
            given |= {name: tuple(spec[name]) for name in ("mean", "deviation")}
            return Features(**given)
        except (KeyError, TypeError) as error:
            raise UserError(f"features: not those that a run keeps ({error})") from error

    def measured(self, powers: Iterable[Tensor]) -> Features:
        """With the statistics of the training set's power, given in pieces (T, B, bands)."""
        count = 0
        total, squares = torch.zeros(2, 3 * self.mel.bands, dtype=torch.float64)
        for power in powers:
            flat = self._raw(power).flatten(0, -2).double()
            count += len(flat)
            total += flat.sum(0)
            squares += flat.square().sum(0)
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
        statistics = {"mean": tuple(mean.tolist()), "deviation": tuple(deviation.tolist())}
        return Features(**(self.__dict__ | statistics))

    def __call__(self, power: Tensor) -> Tensor:
        """Events (T, …, channels) of clips' power (T, …, bands)."""
        if self.form == "clip":
            logs = torch.log1p(power / power.amax((0, -1), keepdim=True).clamp(min=TINY))
            return self.spikes(standardise(central(logs)), None)[0]
        return self.spikes(self.scaled(self._raw(power)), None)[0]

    @property
    def silence(self) -> float:
        """What `channels_of` keeps of a frame without power."""
        return math.log(self.least) if self.form == "causal" else 0.0

    def channels_of(
        self, power: Tensor, before: Tensor | None = None, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The channels (T, …, 3 × bands) of power (T, …, bands) before they are standardised, in
        the forms that stream, and what the next frames need.

        Args:
            before: of the two frames before (2, …, bands) L, or in "relative" the power; None at
                the start of the sound.
            state: of PCEN's smoother, or of the level's follower; None at the start.
        """
        if before is None:
            before = torch.full_like(power[:1], self.silence).repeat(2, *[1] * (power.dim() - 1))
        if self.form == "relative":
            level, state = self.level(power, self.mel.hop, state)
            frames = torch.cat([before, power])
            now, last, second = (
                torch.log(frames[k : len(power) + k] / level + self.least) for k in (2, 1, 0)
            )
            first = now - last
            return torch.cat([now, first, first - (last - second)], -1), frames[-2:], state
        if self.form == "pcen":
            levels, state = self.pcen(power, state)
        else:
            levels = torch.log(power + self.least)
        frames = torch.cat([before, levels])
        return differences(frames), frames[-2:], state

    def _raw(self, power: Tensor) -> Tensor:
        """`channels_of` whole sounds (T, …, bands)."""
        return self.channels_of(power)[0]

    def scaled(self, x: Tensor) -> Tensor:
        """Channels of x (T, …, 3 × bands) standardised by the training set's statistics."""
        if not self.mean:
            raise UserError(f"data.form: {self.form!r} needs the training set's statistics")
        deviation = torch.tensor(self.deviation, dtype=x.dtype)
        deviation = torch.where(deviation < FLAT, 1.0, deviation)
        return (x - torch.tensor(self.mean, dtype=x.dtype)) / deviation

    def spikes(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The standardised channels themselves, or the bands' spikes and what goes on from them."""
        if self.encoding == "features":
            return x, None
        encoder = encode.delta if self.encoding == "delta" else encode.lif
        return encoder(x[..., : self.mel.bands], self.threshold, state)


def differences(levels: Tensor) -> Tensor:
    """L (T + 2, …, bands) with first and second differences, without the first two frames."""
    first = levels.diff(dim=0)
    return torch.cat([levels[2:], first[1:], first.diff(dim=0)], -1)


def central(logs: Tensor) -> Tensor:
    """Logs (T, …, bands) with central first and second differences, the ends repeated."""
    longer = torch.cat([logs[:1], logs, logs[-1:]])
    first = (longer[2:] - longer[:-2]) / 2
    second = longer[2:] - 2 * logs + longer[:-2]
    return torch.cat([logs, first, second], -1)


def standardise(x: Tensor) -> Tensor:
    """Each channel of x (T, …, channels) with mean 0 and deviation 1 over time."""
    x = x - x.mean(0)
    deviation = x.square().mean(0).sqrt()
    return x / torch.where(deviation < FLAT, 1.0, deviation)
