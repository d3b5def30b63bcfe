"""The leaky integrate-and-fire neuron: settings and pure functions.

With input current I at step t (discrete time, the reset comes before the decay, no biases):

    v^t = β u^{t-1} + I^t          membrane before the reset
    s^t = 1 if v^t ≥ θ else 0      spike
    u^t = v^t − θ s^t   (soft)   or   v^t (1 − s^t)   (hard)
    z^t = λ z^{t-1} + s^t          trace (of the pooled spikes where a layer pools)

With an adaptive threshold (b > 0) it is v^t − b a^t that is compared with θ:

    a^t = ρ a^{t-1} + s^{t-1}      adaptation, by which each spike raises the threshold for a while

Decays are per time step, without unit; membranes and thresholds share one arbitrary unit.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.own import known
from synaptrace.surrogate import SURROGATES, ATan, Derivative, FastSigmoid, Surrogate, Triangle


@dataclass(frozen=True)
class LIF:
    """Settings of a leaky integrate-and-fire neuron.

    Args:
        threshold: θ, spikes at v ≥ θ.
        decay: β, the membrane's factor per step; a sequence gives one for each hidden layer.
        trace_decay: λ, the trace's factor per step; a sequence likewise.
        reset: "soft" subtracts θ, "hard" sets the membrane to zero.
        adaptation: b, how far a spike raises the threshold; 0 keeps the threshold fixed.
        adaptation_decay: ρ, the raise's factor per step.
        surrogate: the derivative that stands for the spike's, a function of v − θ.

    Raises:
        UserError: a decay outside [0, 1], a negative adaptation, an unknown reset.
    """

    threshold: float = 1.0
    decay: float | tuple[float, ...] = 0.9
    trace_decay: float | tuple[float, ...] = 0.9
    reset: Literal["soft", "hard"] = "soft"
    surrogate: ATan | FastSigmoid | Triangle | Surrogate = ATan()  # noqa: RUF009  (frozen)
    adaptation: float = 0.0
    adaptation_decay: float = 0.99

    def __post_init__(self) -> None:
        for name in ("decay", "trace_decay"):
            value = getattr(self, name)
            values = (value,) if isinstance(value, int | float) else tuple(value)
            if not values or not all(0 <= each <= 1 for each in values):
                raise UserError(f"neuron.{name}: {value} is not within 0 and 1")
            if not isinstance(value, int | float):
                object.__setattr__(self, name, values)
        if not math.isfinite(self.threshold):
            raise UserError(f"neuron.threshold: {self.threshold} is not a finite number")
        if not (math.isfinite(self.adaptation) and self.adaptation >= 0):
            raise UserError(f"neuron.adaptation: {self.adaptation} is not 0 or a positive number")
        if not 0 <= self.adaptation_decay <= 1:
            raise UserError(
                f"neuron.adaptation_decay: {self.adaptation_decay} is not within 0 and 1"
            )
        if isinstance(self.surrogate, str | type) or not callable(self.surrogate):
            raise UserError(
                f"neuron.surrogate: {self.surrogate!r} is not a function of v − θ; "
                "give st.ATan(1.0), st.FastSigmoid(1.0) or st.Triangle(1.0)"
            )
        if self.reset not in ("soft", "hard"):
            raise UserError(f"neuron.reset: {self.reset!r} is neither 'soft' nor 'hard'")

    def layer(self, index: int, layers: int) -> LIF:
        """The settings of hidden layer ``index`` of ``layers``: each decay a single number."""
        chosen: dict[str, float] = {}
        for name in ("decay", "trace_decay"):
            value = getattr(self, name)
            if isinstance(value, tuple):
                if len(value) != layers:
                    raise UserError(
                        f"neuron.{name}: {len(value)} numbers for {layers} hidden layers; "
                        "give one number, or one for each layer"
                    )
                value = value[index]
            chosen[name] = float(value)
        return replace(self, **chosen)  # type: ignore[arg-type]

    @property
    def beta(self) -> float:
        """The membrane decay of one layer. Raises UserError where it still is a list."""
        return _single("decay", self.decay)

    @property
    def lam(self) -> float:
        """The trace decay of one layer. Raises UserError where it still is a list."""
        return _single("trace_decay", self.trace_decay)

    @property
    def spec(self) -> dict[str, Any]:
        """The settings as JSON-able values; `from_spec` reads them back."""
        kind = type(self.surrogate)
        names = {each: name for name, each in (known(Surrogate) | SURROGATES).items()}
        if kind not in names or not isinstance(getattr(self.surrogate, "scale", None), int | float):
            raise UserError(
                f"neuron.surrogate: {self.surrogate!r} can't be named in a run; use ATan, "
                "FastSigmoid or Triangle, or derive from st.Surrogate, with a name and a scale"
            )
        settings = asdict(replace(self, surrogate=ATan()))
        return settings | {"surrogate": names[kind], "scale": float(self.surrogate.scale)}

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> LIF:
        """LIF settings from JSON-able values, the surrogate by its name and scale."""
        settings = dict(spec)
        name, scale = str(settings.pop("surrogate")), settings.pop("scale")
        kind = (known(Surrogate) | SURROGATES).get(name)
        if kind is None:
            raise UserError(
                f"neuron.surrogate: no surrogate {name!r}; there are {', '.join(SURROGATES)}; one "
                "of your own is given as --rule.file FILE.py"
            )
        return LIF(**settings, surrogate=kind(scale))


def _single(name: str, value: float | tuple[float, ...]) -> float:
    if isinstance(value, tuple):
        raise UserError(f"neuron.{name}: a list, where one layer's number is needed")
    return value


class _Spike(torch.autograd.Function):
    """The step function with the surrogate for its derivative."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: float | Tensor, surrogate: Derivative) -> Tensor:
        ctx.save_for_backward(v)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return (v >= threshold).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (v,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate(v - ctx.threshold), None, None


def advance(
    neuron: LIF, current: Tensor, u: Tensor, a: Tensor | None = None, *, detach_reset: bool = False
) -> tuple[Tensor, Tensor]:
    """One step of the neurons, differentiable where autograd is on.

    Args:
        current, u: I of this step and u of the one before, of one shape.
        a: the adaptation of this step (`adapt`), of the same shape; None: a fixed threshold.
        detach_reset: the reset carries no gradient.

    Returns:
        u after the reset, and s.
    """
    v = current + neuron.beta * u
    s = spike(neuron, v if a is None else v - neuron.adaptation * a)
    return reset(neuron, v, s.detach() if detach_reset else s), s


def fire(
    neuron: LIF, current: Tensor, u: Tensor, threshold: float | Tensor | None = None,
    a: Tensor | None = None, *, keep: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """`advance` without a graph, in fewer passes over memory and with one rounding less, and the
    surrogate derivative.

    Args:
        current, u, a: as in `advance`.
        threshold: the rows' own, a number or (rows, 1, …), in the place of θ.
        keep: leave v in ``current``, which else is used up; needed with ``a``.

    Returns:
        u after the reset, s, and σ'(v − θ).
    """
    threshold = neuron.threshold if threshold is None else threshold
    v = integrate(neuron, current, u)
    if not keep:
        s = spike(neuron, v, threshold)
        return reset(neuron, v, s, threshold), s, neuron.surrogate(v.sub_(threshold))
    distance = v - threshold
    if a is not None:
        distance.sub_(a, alpha=neuron.adaptation)
    s = (distance >= 0).to(v.dtype)
    return reset(neuron, v, s, threshold), s, neuron.surrogate(distance)


def integrate(neuron: LIF, current: Tensor, u: Tensor, out: Tensor | None = None) -> Tensor:
    """v = β u + I without a graph, in the place of ``current`` or in ``out``."""
    return torch.add(current, u, alpha=neuron.beta, out=current if out is None else out)


def adapt(neuron: LIF, a: Tensor, previous: Tensor) -> Tensor:
    """a of this step from that of the step before and the spikes of the step before."""
    return neuron.adaptation_decay * a + previous


def spike(neuron: LIF, v: Tensor, threshold: float | Tensor | None = None) -> Tensor:
    """s = [v ≥ θ] with v's shape and dtype; differentiable by the surrogate under autograd.
    ``threshold`` overrides θ where rows have one of their own."""
    threshold = neuron.threshold if threshold is None else threshold
    if torch.is_grad_enabled() and v.requires_grad:
        out: Tensor = _Spike.apply(v, threshold, neuron.surrogate)  # type: ignore[no-untyped-call]
        return out
    return (v >= threshold).to(v.dtype)


def reset(neuron: LIF, v: Tensor, s: Tensor, threshold: float | Tensor | None = None) -> Tensor:
    """The membrane after the spike; ``threshold`` overrides θ where rows have one of their own."""
    if neuron.reset == "hard":
        return v * (1 - s)
    if isinstance(threshold, Tensor):
        return torch.addcmul(v, s, threshold, value=-1)
    return torch.sub(v, s, alpha=neuron.threshold if threshold is None else threshold)
