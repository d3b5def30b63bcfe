"""Features of sound: log-mel bands with their first and second differences, clip by clip or causal.

A clip becomes the power in mel bands, frame by frame, (T, bands); frame t ends where its hop ends,
and before the clip there is silence, so nothing looks ahead. A full-scale sine has a power of
about 1. From there three ways lead to the network:

    clip     L = log(1 + S / max S)   over the whole clip
             differences are central, and each channel is standardised over the clip
    causal   L = log(S + floor)
             differences are backward, and each channel is standardised by the mean and
             deviation that it has over the training set
    pcen     L = PCEN(S), each band by its own recent loudness (`pcen`)
             the rest as in causal

"clip" is the published form (arXiv 2509.13053, Speech Commands), in which the clip's peak, by
which samples are divided there, drops out; it needs the clip's end. The others need no future, so
a stream can be followed frame by frame with constant memory (`stream`). Before the first
frame they see silence, whose L is log floor or 0, so that in "pcen" a gain changes no difference
either. In none does a clip's feature depend on the clips that share its batch.

Mel bands are triangles between frequencies evenly spaced in 2595 log₁₀(1 + f/700) (O'Shaughnessy,
Speech Communication, 1987), each with its peak at 1, on the power spectrum under a Hann window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data.audio import encode
from synaptrace.data.audio.pcen import Pcen
from synaptrace.errors import UserError

Form = Literal["clip", "causal", "pcen"]
"""Of the features."""

FLOOR = -60.0
"""dB of a full-scale sine, added to the power before the causal form's logarithm."""

TINY = 1e-12
"""The least that power is divided by, so that silence stays silent."""

FLAT = 1e-8
"""A channel that deviates less than this is constant, and is not divided."""


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


@dataclass(frozen=True)
class Features:
    """What a network sees of a clip's power: the settings, and the training set's statistics.

    Called with power (T, …, bands) it gives the events (T, …, channels). ``spec`` is JSON-able,
    and `from_spec` makes the same features again.

    Args:
        mel: the bands.
        form: "clip", "causal" or "pcen", above.
        encoding: "features", the bands and their differences, 3 × bands channels; or
            the bands' spikes (`encode`), "delta", 2 × bands, or "lif", one channel a band.
        threshold: of the spikes, in standard deviations of a band.
        mean, deviation: of each of the 3 × bands channels over the training set, for the forms that
            stream; `measured` fills them in.
        pcen: the constants of "pcen".
        floor: of "causal": dB of a full-scale sine, added to the power before the logarithm.

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

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise UserError(f"data.form: {self.form!r} is none of 'clip', 'causal' and 'pcen'")
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
        if self.form != "pcen":  # as they were before there was that form
            del made["pcen"]
        if self.floor == FLOOR:  # nor one that could be set
            del made["floor"]
        return made

    @staticmethod
    def from_spec(spec: Mapping[str, Any]) -> Features:
        """Features from what `spec` gave. Raises UserError where it gave something else."""
        try:
            given = dict(spec) | {"mel": Mel(**spec["mel"]), "pcen": Pcen(**spec.get("pcen", {}))}
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
        """L of no power, in the forms that stream."""
        return 0.0 if self.form == "pcen" else math.log(self.least)

    def levels(self, power: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """L (T, …, bands) of power in the forms that stream, and what the next frames need."""
        return (
            self.pcen(power, state)
            if self.form == "pcen"
            else (torch.log(power + self.least), None)
        )

    def _raw(self, power: Tensor) -> Tensor:
        """The channels of whole sounds (T, …, 3 × bands) before they are standardised."""
        levels, _ = self.levels(power)
        before = torch.full_like(levels[:1], self.silence)
        return differences(torch.cat([before, before, levels]))

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
