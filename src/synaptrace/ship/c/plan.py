"""What of a network becomes C: its layers in numbers, what learns, and where that lies.

Nothing here looks at a weight's value, so a network on the meta device has a plan too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from synaptrace.errors import UserError
from synaptrace.layers import Conv
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship import alike
from synaptrace.surrogate import SURROGATES

Each = TypeVar("Each")
PRECISIONS = ("float32", "int16", "int8")
MOST = 2**23
"""Weights that a compiler takes as a table, and places that 32 bits number with ease."""


@dataclass(frozen=True)
class Layer:
    """A hidden layer in numbers."""

    inputs: int
    neurons: int
    outputs: int
    """After pooling."""
    first: int
    """Its first neuron among those of all layers."""
    recurrent: bool
    weights: int
    """Of the input."""
    channels: int = 0
    """Of a convolution; 0 where it is dense."""
    height: int = 0
    width: int = 0
    pool: str = "none"
    size: int = 1
    out_height: int = 0
    out_width: int = 0


@dataclass(frozen=True)
class Learning:
    """Where what a layer learns lies in the learner's arrays; −1: it doesn't learn it."""

    weight: int = -1
    recurrent: int = -1
    input_trace: int = -1
    recurrent_trace: int = -1


@dataclass(frozen=True)
class Plan:
    """The program in numbers.

    Args:
        learns: the hidden layers that learn.
        readout_learns: whether the readout does.
        precision: of the weights, one of `PRECISIONS`.
        adam: Adam, else SGD with momentum, as always in whole numbers.
    """

    layers: tuple[Layer, ...]
    inputs: int
    classes: int
    learns: frozenset[int] = frozenset()
    readout_learns: bool = False
    precision: str = "float32"
    adam: bool = True

    @property
    def neurons(self) -> int:
        """Of all hidden layers."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def outputs(self) -> int:
        """What the readout sees."""
        return self.layers[-1].outputs

    @property
    def pooled(self) -> int:
        """Outputs of the largest layer that pools; 0 where none does."""
        return max((each.outputs for each in self.layers if each.pool != "none"), default=0)

    @property
    def place(self) -> int:
        """Bytes of a neuron's place in its layer."""
        most = max(max(layer.neurons, layer.outputs) for layer in self.layers)
        return 2 if most <= 2**16 else 4

    @property
    def learning(self) -> bool:
        """Whether anything learns."""
        return bool(self.learns) or self.readout_learns

    def in_order(
        self, inputs: Sequence[Each], owns: Sequence[Each | None], readout: Each
    ) -> list[Each]:
        """What learns, in the order of the learner's arrays.

        Args:
            inputs, owns: what each hidden layer has for its weights, and for its recurrent ones.
        """
        found: list[Each] = []
        for i in sorted(self.learns):
            own = owns[i]
            found += [inputs[i], *([] if own is None else [own])]
        return [*found, readout] if self.readout_learns else found

    @property
    def targets(self) -> int:
        """Hidden layers through which the target stream runs."""
        return max(self.learns, default=-1) + 1

    @property
    def target_neurons(self) -> int:
        """Of these."""
        return sum(layer.neurons for layer in self.layers[: self.targets])

    @property
    def traces(self) -> int:
        """Of the sample: of the target stream's layers, and what the readout learns from."""
        apart = self.readout_learns and self.targets < len(self.layers)
        return max(self.target_neurons + (self.outputs if apart else 0), 1)

    @cached_property
    def _placed(self) -> tuple[tuple[Learning, ...], int, int]:
        """Each layer's places, all weights that learn but the readout's, all presynaptic traces."""
        weights = traces = 0
        places = []
        for i, layer in enumerate(self.layers[: self.targets]):
            if i not in self.learns:
                places.append(Learning())
                continue
            rows = 1 + self.classes if i else 1
            own = layer.neurons if layer.recurrent else 0
            places.append(
                Learning(
                    weights,
                    weights + layer.weights if own else -1,
                    traces,
                    traces + rows * layer.inputs if own else -1,
                )
            )
            weights += layer.weights + own**2
            traces += rows * (layer.inputs + own)
        return tuple(places), weights, traces

    @property
    def places(self) -> tuple[Learning, ...]:
        """Of the target stream's layers."""
        return self._placed[0]

    @property
    def readout_at(self) -> int:
        """Where the readout's weights begin among those that learn; −1: they stay."""
        return self._placed[1] if self.readout_learns else -1

    @property
    def learned(self) -> int:
        """Weights that learn."""
        return self._placed[1] + (self.outputs * self.classes if self.readout_learns else 0)

    @property
    def presynaptic(self) -> int:
        """Traces of inputs and of own spikes."""
        return max(self._placed[2], 1)


def plan(
    net: Network, rule: Rule | None = None, learn: str | None = None, precision: str = "float32"
) -> Plan:
    """The plan of ``net``, and of what ``learn`` asks for under ``rule``.

    Raises:
        UserError: what has no form in C.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision: {precision!r} is none of {', '.join(PRECISIONS)}")
    if net.adaptive:
        raise UserError("--to c: neurons with adaptive thresholds (neuron.adaptation) aren't there")
    alike.check(net, "c")
    layers: list[Layer] = []
    inputs, first = math.prod(net.in_shape), 0
    for layer in net.layers:
        neurons, outputs = math.prod(layer.shape), math.prod(layer.out_shape)
        own, weights = layer.recurrent is not None, layer.weight.numel()
        made = Layer(
            layers[-1].outputs if layers else inputs, neurons, outputs, first, own, weights
        )
        if isinstance(layer, Conv):
            (channels, height, width), (_, rows, columns) = layer.shape, layer.out_shape
            made = replace(
                made, channels=channels, height=height, width=width, pool=layer.kind,
                size=layer.size, out_height=rows, out_width=columns,
            )  # fmt: skip
        layers.append(made)
        first += neurons
    weights = sum(weight.numel() for weight in net.parameters())
    if weights > MOST:
        raise UserError(f"--to c: {weights} weights are more than {MOST}, and than a device has")
    learns, readout = chosen(net, rule, learn, precision)
    adam = precision == "float32"
    return Plan(tuple(layers), inputs, net.classes, learns, readout, precision, adam)


def chosen(
    net: Network, rule: Rule | None, learn: str | None, precision: str
) -> tuple[frozenset[int], bool]:
    """The layers that learn, and whether the readout does. Raises UserError as `plan` does."""
    if learn is None:
        return frozenset(), False
    if not isinstance(rule, TracesPropagation):
        name = "no rule" if rule is None else rule.name
        raise UserError(f"--learn: {name} has no form in C; tp has, by which the run must learn")
    if rule.train_label:
        raise UserError(
            "--learn: rule.train_label has no form in C; the label's weights stay there"
        )
    if type(surrogate := net.layers[0].neuron.surrogate) not in SURROGATES.values():
        raise UserError(f"--learn: the surrogate {type(surrogate).__name__} has no form in C")
    if precision == "int8":
        raise UserError("--learn: weights of int8 don't learn; use --precision int16 or float32")
    if net.spec["standardise"]:
        raise UserError("--learn: standardised weights (model.standardise) don't learn in C")
    every = frozenset(range(len(net.layers)))
    layers: frozenset[int] = frozenset()
    readout = False
    for part in learn.split(","):
        number = re.fullmatch(r"layers\.(\d+)", part)
        if part == "all":
            layers, readout = every, True
        elif part == "readout":
            readout = True
        elif number is not None and int(number[1]) in every:
            layers |= {int(number[1])}
        else:
            names = ", ".join(f"layers.{i}" for i in sorted(every))
            raise UserError(f"--learn: {part!r} is none of all, readout, {names}")
    if layers and any(isinstance(layer, Conv) for layer in net.layers):
        raise UserError("--learn: convolutions don't learn in C; --learn readout does")
    return layers, readout
