"""Learning in whole numbers in NumPy: learn.c with errors_fixed.c, the same numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.ship.c.fixed import Fixed, leak, product
from synaptrace.ship.c.learning_fixed import FRACTION, POWERS, UNIT, Learning
from synaptrace.ship.c.plan import Plan
from synaptrace.ship.c.stored import POINT

Array = NDArray[Any]
MOST = 2**31 - 1
MOMENTUM, LOG2_E, ROOT_2, PI_SQUARE = 58982, 94548, 92682, 40426


@dataclass
class Block:
    """Weights that learn, with their gradients; these and ``most`` stand for `scale` bits."""

    weight: Array
    scale: int
    most: int
    gradient: Array = field(init=False)

    def __post_init__(self) -> None:
        self.weight = self.weight.copy()
        self.initial = self.weight.copy()
        self.gradient = np.zeros_like(self.weight)

    def outer(self, x: Array, error: Array) -> None:
        """The gradient of one row."""
        grown = self.gradient + ((x + 32) >> 6)[:, None] * error
        self.gradient = within(grown)


@dataclass
class Learner:
    """struct learner, and what it learns for."""

    whole: Fixed
    plan: Plan
    has: Learning
    seed: int = 1

    def __post_init__(self) -> None:
        self.inputs: list[Block] = []
        self.owns: list[Block | None] = []
        for each in self.whole.layers:
            self.inputs.append(Block(each.weight, each.scale, each.most))
            own = each.recurrent
            self.owns.append(None if own is None else Block(own, each.own_scale, each.own_most))
        top = self.whole.readout
        self.readout = Block(top.weight, top.scale, top.most)

    @property
    def blocks(self) -> list[Block]:
        """What learns, in the order of the learner's arrays."""
        return self.plan.in_order(self.inputs, self.owns, self.readout)

    def flat(self, name: str) -> Array:
        """All weights, or gradients, end to end."""
        return np.concatenate([getattr(block, name).ravel() for block in self.blocks])

    def draw(self, shape: int | tuple[int, ...]) -> Array:
        """xorshift32."""
        drawn, seed = np.empty(shape, np.int64), self.seed
        for i in range(drawn.size):
            seed ^= seed << 13 & 0xFFFFFFFF
            seed ^= seed >> 17
            seed ^= seed << 5 & 0xFFFFFFFF
            drawn.flat[i] = seed
        self.seed = seed
        return drawn

    def update(self, rate: float) -> None:
        """learn_update(FRACTION(rate))."""
        by = fraction(rate)
        for block in self.blocks:
            drawn = self.draw(block.weight.shape)
            step = rounded(by * block.gradient >> (FRACTION - block.scale), drawn)
            block.weight = within(block.weight - step, block.most)
            block.gradient = rounded(block.gradient * MOMENTUM, drawn >> 16)

    def anchor(self, share: float) -> None:
        """learn_anchor(FRACTION(share)), a share below 1."""
        for block in self.blocks:
            step = fraction(share) * (block.initial - block.weight) >> 8
            block.weight = block.weight + rounded(step, self.draw(block.weight.shape))

    def sequence(
        self, events: Array, label: int, share: float = 1.0, rate: float = 0.0,
        every: int | None = None,
    ) -> Array:  # fmt: skip
        """Logits of events (T, inputs) as they are stored; gradients grow. An update of ``rate``
        follows ``every`` so many steps, but the last."""
        by, classes, targets = fraction(share), self.plan.classes, self.plan.targets
        layers, net = self.whole.layers, self.whole.net
        sizes = [layer.neurons for layer in self.plan.layers]
        u, s = ([np.zeros(n, np.int64) for n in sizes] for _ in range(2))
        uc, sc, yc = ([np.zeros((classes, n), np.int64) for n in sizes] for _ in range(3))
        z = [
            np.zeros(n, np.int64) for n in [*sizes[:targets], *sizes[-1:] * (targets < len(sizes))]
        ]
        pre = [Presynaptic(self, i) if i in self.plan.learns else None for i in range(targets)]
        label_trace, logits = np.zeros(1, np.int64), np.zeros(classes, np.int64)
        own: Array | None
        for t, x in enumerate(events, 1):
            label_trace = leak(label_trace, self.has.label_decay) + 2**UNIT
            distance = np.full(classes, min(int(label_trace[0]) * ROOT_2 >> 14, MOST))
            distance[label] = 0
            for i, (each, layer) in enumerate(zip(layers, net.layers, strict=True)):
                hard, block = layer.neuron.reset == "hard", self.owns[i]
                learns = pre[i] if i < targets else None
                v = leak(u[i], each.decay) + each.gain * product(x, self.inputs[i].weight)
                if block is not None:
                    v += each.own_gain * product(s[i], block.weight)
                if learns is not None:
                    learns.follow(0, x, s[i], self.has.input_unit if i == 0 else 2**UNIT)
                fired = v >= each.threshold
                if i < targets:
                    z[i] = leak(z[i], self.has.trace_decays[i]) + 2**UNIT * fired
                    at = each
                    if i == 0:
                        assert self.has.label is not None
                        at, own = self.has.label, self.has.label.recurrent
                        vc = leak(uc[0], each.decay) + at.gain * at.weight
                    else:
                        own = None if block is None else block.weight
                        below = product(sc[i - 1], self.inputs[i].weight)
                        vc = leak(uc[i], each.decay) + at.gain * below
                    if own is not None:
                        vc += at.own_gain * product(sc[i], own)
                    if i and learns is not None:
                        for c in range(classes):
                            learns.follow(1 + c, sc[i - 1][c], sc[i][c], 2**UNIT)
                    fires = vc >= at.threshold
                    sc[i] = fires.astype(np.int64)
                    yc[i] = leak(yc[i], self.has.trace_decays[i]) + 2**UNIT * fires
                    if learns is not None:
                        learns.learn(z[i], yc[i], v, vc, distance, by)
                    uc[i] = np.where(fires, 0 if hard else vc - at.threshold, vc)
                    distance = apart(yc[i], label)
                s[i] = x = fired.astype(np.int64)
                u[i] = np.where(fired, 0 if hard else v - each.threshold, v)
            logits = leak(logits, self.whole.readout.decay)
            logits = logits + self.whole.readout.gain * product(x, self.readout.weight)
            if self.plan.readout_learns:
                if targets < len(sizes):
                    z[-1] = leak(z[-1], self.has.readout_decay) + 2**UNIT * x
                error = softmax(in_twelve(logits, self.whole.readout.point))
                error[label] -= 2**POINT
                error = rounded(error * by >> 12, self.draw(classes))
                self.readout.outer(z[-1], error)
            if every and t % every == 0 and t < len(events):
                self.update(rate)
        return logits


class Presynaptic:
    """A layer that learns: the traces of its rows' inputs, and their errors."""

    def __init__(self, learner: Learner, i: int) -> None:
        layer, rows = learner.plan.layers[i], 1 + learner.plan.classes if i else 1
        self.learner, self.i = learner, i
        self.decay = learner.has.presynaptic_decays[i]
        self.input = np.zeros((rows, layer.inputs), np.int64)
        self.own = np.zeros((rows, layer.neurons), np.int64)

    def follow(self, row: int, x: Array, own: Array, unit: int) -> None:
        """One row's inputs and own spikes of the step before."""
        self.input[row] = leak(self.input[row], self.decay) + unit * x
        self.own[row] = leak(self.own[row], self.decay) + 2**UNIT * own

    def accumulate(self, row: int, error: Array) -> None:
        """One row's gradients."""
        self.learner.inputs[self.i].outer(self.input[row], error)
        own = self.learner.owns[self.i]
        if own is not None:
            own.outer(self.own[row], error)

    def learn(self, z: Array, y: Array, v: Array, vc: Array, distance: Array, share: int) -> None:
        """learn_layer."""
        learner, each = self.learner, self.learner.whole.layers[self.i]
        inverse = inverse_temperature(learner.has, y)
        error = softmax(within(((y @ z) >> 8) * inverse >> 16)) - softmax(-distance)
        factor = inverse * share >> FRACTION
        sloped = slope(learner.has, v - each.threshold, each.point)
        self.accumulate(0, local(learner, error @ y, factor, sloped))
        for c in range(len(y) if self.i else 0):
            sloped = slope(learner.has, vc[c] - each.threshold, each.point)
            self.accumulate(1 + c, local(learner, error[c] * z, factor, sloped))


def fraction(value: float) -> int:
    """FRACTION(x)."""
    return int(value * 2**FRACTION + 0.5)


def within(value: Array, most: int = MOST) -> Array:
    """Cut off at ±``most``."""
    return np.clip(value, -most, most)


def rounded(value: Array, drawn: Array) -> Array:
    """16 bits less, up or down by chance."""
    found: Array = (value + (drawn & 0xFFFF)) >> 16
    return found


def in_twelve(value: Array, point: int) -> Array:
    """12 bits after the point."""
    return within(value >> (point - 12) if point > 12 else value << (12 - point))


def softmax(x: Array) -> Array:
    """Of 12 bits, into 16."""
    below = (x.max() - x) * LOG2_E >> 12
    part, whole = below & 0xFFFF, np.minimum(below >> 16, 63)
    k = part >> 10
    power = POWERS[k] - ((POWERS[k] - POWERS[k + 1]) * (part & 1023) >> 10)
    power = np.where(whole > 15, 0, power >> whole)
    found: Array = (power << 16) // power.sum()
    return found


def slope(has: Learning, from_threshold: Array, point: int) -> Array:
    """The surrogate, in 16 bits."""
    d = np.abs(in_twelve(from_threshold, point))
    found: Array
    if has.surrogate == 1:
        d = np.minimum(d, 2**19)
        found = (has.scale << 12) // (4096 + ((d * d >> 12) * PI_SQUARE >> 12))
    elif has.surrogate == 2:
        d = np.minimum(4096 + (d * has.scale >> 16), 2**21)
        found = 2**28 // (d * d >> 12)
    else:
        found = np.where(d < 4096, (4096 - d) * has.scale >> 12, 0)
    return found


def inverse_temperature(has: Learning, y: Array) -> int:
    """1 / τ in 16 bits."""
    if has.inverse_temperature:
        return has.inverse_temperature
    spread = int((len(y) * (y * y).sum(0) - y.sum(0) ** 2).sum())
    tau = spread // has.pairs_margin
    return 2**32 // tau if tau > 2**POINT else 2**POINT


def local(learner: Learner, value: Array, factor: int, sloped: Array) -> Array:
    """A membrane's error, in 12 bits."""
    whole = within((value >> 10) * factor >> 8)
    return rounded(whole * sloped >> 12, learner.draw(len(value)))


def apart(y: Array, label: int) -> Array:
    """How far the label's row is from every row, in 12 bits."""
    squares = (((y[label] - y) ** 2).sum(1) << 4).tolist()
    return np.array([min(math.isqrt(square), MOST) for square in squares])
