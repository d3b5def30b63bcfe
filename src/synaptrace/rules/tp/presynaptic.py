"""What a membrane error is multiplied with to give a weight's gradient: ∂W = gᵀ x̄, ∂R = gᵀ s̄.

    published      x̄^t = x^t                      s̄^t = s^{t−1}
    eligibility    x̄^t = β x̄^{t−1} + x^t          s̄^t = β s̄^{t−1} + s^{t−1}

x is the layer's input and s its own spikes, β the decay of the membrane that they enter. With
eligibility x̄ is ∂v^t/∂W along the membrane: u^{t−1} = v^{t−1} + a constant, so ∂v^t = β ∂v^{t−1} +
x^t, the reset and every other path being cut. A label projection that is trained takes its one-hot
label filtered likewise, one number for all rows. The state is one trace for each input of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from synaptrace.network import Network

State = dict[str, list[Tensor]]


@dataclass(frozen=True)
class Presynaptic:
    """Which of the two; ``eligibility`` keeps a trace of each input."""

    eligibility: bool = False


def start(presynaptic: Presynaptic, net: Network, samples: int, rows: int) -> State:
    """The state before the first step: in layer 1 of the samples alone, above of all ``rows``."""
    if not presynaptic.eligibility:
        return {}
    shapes = [net.in_shape, *(layer.out_shape for layer in net.layers)]
    state: State = {"input_trace": [], "recurrent_trace": []}
    for i, layer in enumerate(net.layers):
        count = rows if i else samples
        state["input_trace"].append(layer.zero_state(count, shapes[i]))
        own = 0 if layer.recurrent is None else count
        state["recurrent_trace"].append(layer.zero_state(own, layer.shape))
    return state


def factors(
    presynaptic: Presynaptic, state: State, i: int, beta: float, x: Tensor, spikes: Tensor,
    rows: slice = slice(None),
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """x̄ and s̄ of this step for some rows of layer i, from its input and its spikes of step t−1."""
    if not presynaptic.eligibility:
        return x, spikes
    x_bar, s_bar = state["input_trace"][i][rows], state["recurrent_trace"][i][rows]
    x_bar.mul_(beta).add_(x)
    if len(s_bar):
        s_bar.mul_(beta).add_(spikes)
    return x_bar, s_bar


def label_error(presynaptic: Presynaptic, beta: float, steps: int, g: Tensor) -> Tensor:
    """g ȳ / y after ``steps`` steps, by which ∂S = gᵀ ȳ: ȳ is Σ βᵏ y, or y."""
    if not presynaptic.eligibility:
        return g
    return g * (steps if beta == 1 else (1 - beta**steps) / (1 - beta))
