"""What the rules that run the sample stream alone share: its layers, its readout, its errors.

Where a rule doesn't say otherwise, its notation is that of this file. x is a layer's input, s its
spikes, ψ = σ'(v − θ) the surrogate, ′ the value of one step earlier, B the samples of the batch.

    readout    m ← α m + W_o s_L,  z ← α z + s_L,  e = (softmax(m) − y) / B,  ∂W_o = eᵀ z
    errors     δ_L = p*(W_oᵀ e),  g_l = δ_l ⊙ ψ_l,  δ_{l−1} = p*(W_lᵀ g_l)    (instant)
               or δ_l = p*(F_l e) with matrices F_l of their own               (direct)
    traces     q ← β q + x,  q_R ← β q_R + s′

p* is the transpose of the pooling. e is the exact gradient of the cross-entropy at this step, and
∂W_o that of the readout (through the standardisation, where weights are standardised). A sample
that has ended has rows of zeros in e, so its states may run on and nothing comes of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.layers import Dense, add_product
from synaptrace.native import maps, outer
from synaptrace.network import Network
from synaptrace.neuron import LIF, adapt, fire
from synaptrace.rules.base import Rule
from synaptrace.rules.compiled import Ahead

__all__ = [
    "Fired",
    "InputTraces",
    "Matrices",
    "SampleStream",
    "carry",
    "check_choice",
    "dense_only",
    "gaussian",
    "inputs",
]


class Fired(NamedTuple):
    """What one layer did in one step."""

    x: Tensor
    """Its input (B, …)."""
    previous: Tensor
    """s′, its spikes of the step before, (B, *shape)."""
    v: Tensor
    """Its membrane before the reset, (B, *shape); not that where the rule is `spikes_alone`."""
    psi: Tensor
    """ψ, (B, *shape)."""
    spikes: Tensor
    """s, before pooling, (B, *shape)."""
    out: Tensor
    """p(s), (B, *out_shape)."""
    native: bool = False
    """Whether the native engine did it, and so can read all of it."""


class SampleStream(Rule):
    """A rule on the sample stream. A subclass writes `_step` from the pieces below, or `_layer`,
    where a layer learns from what it has at hand before the next one fires."""

    spikes_alone: ClassVar[bool] = False
    """Whether it reads no `Fired.v`, so that the native engine may do the neurons' step on maps;
    not inherited, as a subclass may read it."""
    overwrites: bool = False
    """Whether ψ takes the place of v on maps."""
    fused: bool = False
    """Whether the native engine does that step."""
    weighs: bool = False
    """Whether `sample_weight` is one of its own, which the native engine doesn't know."""

    def __init__(self, net: Network, *, generator: torch.Generator | None = None) -> None:
        super().__init__(net, generator=generator)
        self.ahead = Ahead()

    def _start(self, labels: Tensor) -> None:
        net = self.net
        self.ahead.start()
        self.overwrites = vars(type(self)).get("spikes_alone", False) and not net.adaptive
        self.fused = self.overwrites and maps.obstacle(net) is None
        last = math.prod(net.layers[-1].out_shape)
        self.state |= {
            "membrane": self._zeros(layer.shape for layer in net.layers),
            "spikes": self._zeros(layer.shape for layer in net.layers),
            "readout_trace": self._zeros([(last,)]),
        }
        if net.adaptive:
            self.state["adaptation"] = self._zeros(layer.shape for layer in net.layers)

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        for i in range(len(self.net.layers)):
            x = self._layer(i, x, running)
        return self._readout(x, running)[0]

    def _layer(self, i: int, x: Tensor, running: Tensor | None) -> Tensor:
        """One step of layer i on its input, its gradients added; returns its output."""
        raise NotImplementedError

    def _zeros(self, shapes: Iterable[Sequence[int]]) -> list[Tensor]:
        """Zeros (B, *shape) for each shape: the states at rest."""
        like = self.net.readout.weight
        return [like.new_zeros(self.batch, *shape) for shape in shapes]

    def _forward(self, x: Tensor, running: Tensor | None) -> list[Fired]:
        """One step of all hidden layers, from the bottom up."""
        fired: list[Fired] = []
        for i in range(len(self.net.layers)):
            fired.append(self._fire(i, fired[-1].out if i else x, running))
        return fired

    def _fire(self, i: int, x: Tensor, running: Tensor | None) -> Fired:
        """One step of hidden layer i on input x; its state moves on, its rate is recorded."""
        layer, state, ahead = self.net.layers[i], self.state, self.ahead
        u, previous = state["membrane"][i], state["spikes"][i]
        if not i:
            ahead.look(self, x)
        if ahead.s:
            s = ahead.s[i]
            state["membrane"][i], state["spikes"][i] = ahead.u[i], s
            if not ahead.rated:
                self._record(i, None, s, running)
            return Fired(x, previous, ahead.v[i], ahead.psi[i], s, s, True)
        v, a = layer.current(x, previous, self.forward_weights[i]), None
        if self.net.adaptive:
            state["adaptation"][i] = a = adapt(layer.neuron, state["adaptation"][i], previous)
        if self.fused:
            u, s, psi = maps.fire(layer.neuron, v, u, len(u), layer.neuron.threshold)
        elif self.overwrites and len(layer.shape) == 3:  # as much memory as the native step
            u, s, psi = fire(layer.neuron, v, u)
            v = psi
        else:
            u, s, psi = fire(layer.neuron, v, u, a=a, keep=True)
        state["membrane"][i], state["spikes"][i] = u, s
        self._record(i, None, s, running)
        return Fired(x, previous, v, psi, s, layer.pool(s))

    def _accumulate(self, i: int, g: Tensor, step: Fired) -> None:
        """Add ∂W = gᵀ x and ∂R = gᵀ s′ of layer i, g (B, *shape), from the inputs themselves."""
        layer = self.net.layers[i]
        if not (step.native and isinstance(layer, Dense)):
            return layer.accumulate(g, step.x, step.previous)
        for weight, right in ((layer.weight, step.x.flatten(1)), (layer.recurrent, step.previous)):
            if weight is None or not weight.requires_grad:
                continue
            if weight.grad is None or not outer.add(weight.grad, g, right):
                add_product(weight, g, right, weight.dtype)
        return None

    def _readout(self, out: Tensor, running: Tensor | None) -> tuple[Tensor, Tensor]:
        """The readout's step on the last layer's output: its gradient is added, its loss recorded.

        Returns:
            logits (B, classes), an ended sample's as they were; and the error e (B, classes).
        """
        state, net, ahead, out = self.state, self.net, self.ahead, out.flatten(1)
        z = state["readout_trace"][0].mul_(net.readout_decay).add_(out)
        if ahead.logits is not None and ahead.error is not None:
            logits, e = ahead.logits, ahead.error
            ahead.forget()
            net.readout.accumulate(e, z, z)
            return logits, e
        (labels,), (before,), weight = state["labels"], state["logits"], self.sample_weight(running)
        ahead.forget()
        drive = net.readout.current(out, out, self.forward_weights[-1])
        logits = drive.add_(before, alpha=net.readout_decay)
        log_softmax = logits.log_softmax(1)
        self._record(-1, -(log_softmax.gather(1, labels[:, None]) * weight).sum(), None, running)
        e = self._off(log_softmax.exp()).mul_(weight)
        net.readout.accumulate(e, z, z)
        return logits if running is None else logits.where(running[:, None], before), e

    def _off(self, answer: Tensor) -> Tensor:
        """answer − y, (B, classes), in the place of the answer."""
        return answer.scatter_(1, self.state["labels"][0][:, None], -1.0, reduce="add")

    def _one_hot(self) -> Tensor:
        """y, (B, classes)."""
        y = torch.zeros_like(self.state["logits"][0])
        return y.scatter_(1, self.state["labels"][0][:, None], 1.0)

    def _instant(
        self, e: Tensor, fired: Sequence[Fired], weights: Sequence[Tensor] | None = None
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Instant back-propagation: (i, δ_i, g_i) from the top hidden layer down, (B, *shape).

        ``weights``, for each hidden layer and the readout, stand in for the weights.
        """
        net, weights = self.net, self.forward_weights if weights is None else weights
        delta = net.readout.back(e, weights[-1])
        for i in reversed(range(len(fired))):
            layer, step = net.layers[i], fired[i]
            delta = layer.unpool(delta.reshape(-1, *layer.out_shape), step.spikes)
            g = delta * step.psi
            yield i, delta, g
            if i:
                delta = layer.back(g, weights[i])

    def _direct(
        self, e: Tensor, fired: Sequence[Fired], feedback: Matrices | nn.ParameterList
    ) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Direct feedback of ``e`` (B, classes) to each layer: (i, δ_i, g_i), (B, *shape)."""
        for i, (layer, step) in enumerate(zip(self.net.layers, fired, strict=True)):
            delta = layer.unpool((e @ feedback[i]).view(-1, *layer.out_shape), step.spikes)
            yield i, delta, delta * step.psi


class InputTraces(SampleStream):
    """A rule that also keeps q of each layer's input and, if recurrent, q_R of its spikes."""

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.state |= {
            "input_trace": self._zeros(inputs(self.net)),
            "recurrent_trace": self._zeros(
                layer.shape for layer in self.net.layers if layer.recurrent is not None
            ),
        }

    def _trace(self, i: int, step: Fired, decay: float | None = None) -> tuple[Tensor, Tensor]:
        """q and q_R of layer i, moved on by this step with ``decay`` (β by default).

        Without recurrent weights the second is s′, which nobody reads.
        """
        decay = self.net.layers[i].neuron.beta if decay is None else decay
        q = self.state["input_trace"][i].mul_(decay).add_(step.x)
        layers = self.net.layers
        if layers[i].recurrent is None or not self.state.get("recurrent_trace"):
            return q, step.previous
        place = sum(layer.recurrent is not None for layer in layers[:i])  # recurrent ones have one
        return q, self.state["recurrent_trace"][place].mul_(decay).add_(step.previous)


class Matrices(nn.Module):
    """Fixed matrices, one a layer: saved and moved with the rule, trained by nobody."""

    def __init__(self, matrices: Iterable[Tensor]) -> None:
        super().__init__()
        for i, matrix in enumerate(matrices):
            self.register_buffer(str(i), matrix)

    def __getitem__(self, i: int) -> Tensor:
        matrix: Tensor = getattr(self, str(i))
        return matrix


def gaussian(net: Network, generator: torch.Generator | None) -> list[Tensor]:
    """A matrix (classes, outputs) for each hidden layer, its entries standard normal."""
    like = net.readout.weight
    return [
        torch.randn(net.classes, math.prod(layer.out_shape), generator=generator).to(like)
        for layer in net.layers
    ]


def inputs(net: Network) -> list[tuple[int, ...]]:
    """The shape of each hidden layer's input."""
    return [net.in_shape, *(layer.out_shape for layer in net.layers[:-1])]


def carry(neuron: LIF, v: Tensor, s: Tensor, psi: Tensor) -> Tensor:
    """D = ∂v/∂v′ of the next step, through the membrane and its reset, recurrence apart.

    Soft reset: β − βθψ; hard: β (1 − s) − βvψ, all of this step.
    """
    if neuron.reset == "hard":
        return neuron.beta * (1 - s - v * psi)
    return (psi * (-neuron.beta * neuron.threshold)).add_(neuron.beta)


def dense_only(net: Network, rule: str) -> list[Dense]:
    """The hidden layers. Raises UserError where one is convolutional: ``rule`` keeps a trace for
    each synapse."""
    layers = [layer for layer in net.layers if isinstance(layer, Dense)]
    if len(layers) < len(net.layers):
        raise UserError(
            f"rule.name: {rule} keeps a trace for each synapse, which a convolution shares among "
            "its places; use a dense network, or another rule"
        )
    return layers


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raises UserError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise UserError(f"rule.{option}: {value!r} is none of {', '.join(choices)}")
