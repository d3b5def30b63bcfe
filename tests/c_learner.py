"""Learning in floating point in NumPy: learn.c with errors.c, in their order of sums, so that what
float32 and float64 give are the same bits."""

import ctypes
import ctypes.util
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synaptrace.network import Network
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import tables
from synaptrace.ship.c.plan import Plan
from synaptrace.ship.c.twin import add
from synaptrace.surrogate import ATan, FastSigmoid

Array = np.ndarray


@dataclass
class Block:
    """Weights (inputs, neurons), and what is kept of their gradients."""

    weight: Array
    gradient: Array = field(init=False)
    first: Array = field(init=False)
    second: Array = field(init=False)

    def __post_init__(self) -> None:
        self.gradient, self.first, self.second = (np.zeros_like(self.weight) for _ in range(3))

    def outer(self, x: Array, error: Array) -> None:
        self.gradient = self.gradient + x[:, None] * error


class Learner:
    """struct learner and struct model, of a dense network."""

    def __init__(self, net: Network, rule: TracesPropagation, plan: Plan, real: type) -> None:
        self.net, self.rule, self.plan, self.real = net, rule, plan, real
        self.inputs = [Block(tables.by_input(layer).astype(real)) for layer in net.layers]
        owns = [tables.recurrent(layer) for layer in net.layers]
        self.owns = [None if own is None else Block(own.astype(real)) for own in owns]
        self.readout = Block(tables.by_input(net.readout).astype(real))
        self.label = tables.by_input(rule.label).astype(real)
        own = tables.recurrent(rule.label)
        self.label_own = None if own is None else own.astype(real)
        self.power1 = self.power2 = real(1)
        # The C library's own: NumPy's may be the next number.
        library = ctypes.CDLL(ctypes.util.find_library("m"))
        self.exp = library.exp if real is np.float64 else library.expf
        kind = ctypes.c_double if real is np.float64 else ctypes.c_float
        self.exp.argtypes, self.exp.restype = [kind], kind

    @property
    def blocks(self) -> list[Block]:
        """What learns, in the order of the learner's arrays."""
        return self.plan.in_order(self.inputs, self.owns, self.readout)

    def flat(self, name: str) -> Array:
        return np.concatenate([getattr(block, name).ravel() for block in self.blocks])

    def update(self, rate: float) -> None:
        """learn_update, by Adam."""
        r = self.real
        one, decay1, decay2 = r(1), r(0.9), r(0.999)
        self.power1 *= decay1
        self.power2 *= decay2
        size, root = r(rate) / (one - self.power1), np.sqrt(one - self.power2)
        for b in self.blocks:
            b.first = b.first + (b.gradient - b.first) * (one - decay1)
            b.second = b.second * decay2 + (one - decay2) * b.gradient * b.gradient
            b.weight = b.weight - size * b.first / (np.sqrt(b.second) / root + r(1e-8))
            b.gradient = np.zeros_like(b.gradient)

    def softmax(self, x: Array) -> Array:
        powers = np.array([self.exp(each) for each in (x - x.max()).tolist()], self.real)
        return powers / total(powers)

    def slope(self, from_threshold: Array) -> Array:
        surrogate, r = self.net.layers[0].neuron.surrogate, self.real
        one, scale = r(1), r(surrogate.scale)
        if isinstance(surrogate, ATan):
            pi = r(math.pi)
            return scale / (one + pi * pi * from_threshold * from_threshold)
        if isinstance(surrogate, FastSigmoid):
            d = one + scale * np.abs(from_threshold)
            return one / (d * d)
        d = one - np.abs(from_threshold)
        return np.where(d > 0, scale * d, r(0))

    def temperature(self, rows: Array) -> Any:
        contrast, r = self.rule.contrast, self.real
        if contrast.temperature != "auto":
            return r(contrast.temperature)
        mean = np.add.accumulate(rows)[-1] / r(len(rows))
        d = (rows - mean).T.ravel()
        return max(total(d * d) / r(len(rows) - 1) / r(contrast.margin), r(1))

    def sequence(
        self, events: Array, label: int, update: Callable[[], None], every: int | None
    ) -> Array:  # fmt: skip
        """Logits after events (T, inputs); ``update`` follows ``every`` so many steps, and the
        last."""
        r, net, classes = self.real, self.net, self.plan.classes
        targets, sizes = self.plan.targets, [layer.neurons for layer in self.plan.layers]
        u, s, z = ([np.zeros(n, r) for n in sizes] for _ in range(3))
        uc, sc, y = ([np.zeros((classes, n), r) for n in sizes] for _ in range(3))
        x_traces = [np.zeros((1 + classes if i else 1, layer.inputs), r)
                    for i, layer in enumerate(self.plan.layers)]  # fmt: skip
        s_traces = [np.zeros((1 + classes if i else 1, n), r) for i, n in enumerate(sizes)]
        label_trace, logits = r(0), np.zeros(classes, r)
        for t, x in enumerate(events.astype(r), 1):
            label_trace = r(net.layers[0].neuron.lam) * label_trace + r(1)
            distance = np.full(classes, np.sqrt(r(2)) * label_trace)
            distance[label] = r(1e-9) * np.sqrt(r(classes))
            below = np.zeros((classes, 0), r)
            for i, layer in enumerate(net.layers):
                neuron, own = layer.neuron, self.owns[i]
                beta, lam, theta = r(neuron.beta), r(neuron.lam), r(neuron.threshold)
                kept = beta if self.rule.presynaptic.eligibility else r(0)
                v = add((u[i] * beta)[None], x[None], self.inputs[i].weight)
                v = (v if own is None else add(v, s[i][None], own.weight))[0]
                fired = (v >= theta).astype(r)
                z[i] = z[i] * lam + fired
                if i < targets:
                    x_traces[i] = x_traces[i] * kept + np.vstack([x, *(below if i else [])])
                    s_traces[i] = s_traces[i] * kept + np.vstack([s[i], *(sc[i] if i else [])])
                    at = theta if i else r(self.rule.label_threshold)
                    given = np.eye(classes, dtype=r) if i == 0 else below
                    vc = add(uc[i] * beta, given, self.inputs[i].weight if i else self.label)
                    back = self.label_own if i == 0 else None if own is None else own.weight
                    vc = vc if back is None else add(vc, sc[i], back)
                    fires = (vc >= at).astype(r)
                    y[i] = y[i] * lam + fires
                    if i in self.plan.learns:
                        self.learn(i, z[i], y[i], v - theta, vc - theta, distance,
                                   x_traces[i], s_traces[i])  # fmt: skip
                    hard = neuron.reset == "hard"
                    uc[i] = np.where(fires > 0, r(0) if hard else vc - at, vc)
                    sc[i] = below = fires
                    d = y[i][label] + r(1e-9) - y[i]
                    distance = np.sqrt(np.add.accumulate(d * d, 1)[:, -1])
                u[i] = np.where(fired > 0, r(0) if neuron.reset == "hard" else v - theta, v)
                s[i] = x = fired
            logits = add((logits * r(net.readout_decay))[None], x[None], self.readout.weight)[0]
            if self.plan.readout_learns:
                error = self.softmax(logits)
                error[label] -= r(1)
                self.readout.outer(z[-1], error)
            if t == len(events) or (every and t % every == 0):
                update()
        return logits

    def learn(self, i: int, z: Array, y: Array, above: Array, above_c: Array, distance: Array,
              xs: Array, ss: Array) -> None:  # fmt: skip
        """learn_layer: ``above`` and ``above_c`` are how far membranes are above the threshold."""
        tau = self.temperature(y)
        alike = np.add.accumulate(z * y, 1)[:, -1] / tau
        error = (self.softmax(alike) - self.softmax(-distance)) / tau
        local = np.zeros_like(z)
        for row, by in zip(y, error, strict=True):
            local = local + by * row
        own = self.owns[i]
        locals_ = [local * self.slope(above)]
        if i:
            locals_ += [by * z * self.slope(v) for by, v in zip(error, above_c, strict=True)]
        for row, each in enumerate(locals_):
            self.inputs[i].outer(xs[row], each)
            if own is not None:
                own.outer(ss[row], each)


def total(x: Array) -> Any:
    """The sum, one after the other."""
    return np.add.accumulate(x)[-1]
