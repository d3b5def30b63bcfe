"""Weights in 16 or 8 bits, and everything else in whole numbers of 32.

Each layer has powers of two of its own: a weight w is stored as w 2^k, an input as x 2^kx, and the
membrane counts in 2^-q, so that x w is x_stored w_stored 2^(q - k - kx). Of the powers k that hold
a layer's weights, or cut off few, the one with the least mean square error is taken. kx comes from
inputs of the training set (`calibrate`), and q from the largest membrane that weights and inputs
can ever lead to: no sum overflows, whatever is put in.

Decays have 16 bits after the point. Averages of a pool are sums here: the weights above are divided
by the pool's size. Weights that learn (`learning_fixed`) may grow to `stored.ROOM` times the
largest, all of them, and still nothing overflows; so their inputs have fewer bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data.dataset import ArrayDataset, Batch, Dataset
from synaptrace.errors import UserError
from synaptrace.layers import Conv, Layer
from synaptrace.network import Network
from synaptrace.seeds import generator
from synaptrace.ship.c import source, tables
from synaptrace.ship.c.numbers import LayerNumbers, Numbers
from synaptrace.ship.c.plan import Plan
from synaptrace.ship.c.stored import BITS, POINT, Stored, store

Array = NDArray[Any]
ENTRY = 2**8 - 1
"""The largest input of weights that learn."""


@dataclass(frozen=True)
class Input:
    """How inputs are stored: as x 2^``power``, within ±``most``."""

    power: int
    most: int

    def store(self, x: Array) -> Array:
        """Inputs as model_input makes them (halves away from zero)."""
        scaled = x.astype(np.float32) * np.float32(2**self.power)
        rounded = np.trunc(scaled + np.where(scaled < 0, np.float32(-0.5), np.float32(0.5)))
        stored: Array = np.clip(rounded, -self.most, self.most).astype(np.int64)
        return stored

    def coarser(self) -> Input:
        """Within `ENTRY`, and no more than 10 bits after the point: what learning takes."""
        power = min(self.power, 10, math.floor(math.log2(ENTRY / self.most)) + self.power)
        return (
            self
            if self.power == 0
            else Input(power, round(self.most * 2.0 ** (power - self.power)))
        )


@dataclass(frozen=True)
class Fixed:
    """A network in whole numbers, for sequences of ``steps``."""

    net: Network
    steps: int
    input: Input
    layers: tuple[Stored, ...]
    readout: Stored

    def numbers(self, types: str) -> Numbers:
        """As C has them."""
        layers = [
            LayerNumbers(
                each.weight, each.recurrent, str(each.decay), str(each.threshold), str(each.gain),
                str(each.own_gain),
            )
            for each in self.layers
        ]  # fmt: skip
        top = self.readout
        return Numbers(
            tuple(layers), top.weight, str(top.decay), types, str(top.gain), fixed=True
        )  # fmt: skip


def types(fixed: Fixed, plan: Plan) -> str:
    """The typedefs of model.h."""
    entry = fixed.input
    return source.fill(
        "types_fixed.h",
        {"input_scale": f"R({2.0**entry.power!r})", "input_most": entry.most,
         "stored": f"{plan.precision}_t"},
    )  # fmt: skip


def calibrate(dataset: Dataset, least: int = 512) -> Input:
    """How inputs are stored, by ``least`` samples or more that a fixed seed draws from the training
    set: events as they are, other numbers with a quarter of room above the largest seen."""
    most, whole, seen = 0.0, True, 0
    for events, labels, _ in drawn(dataset, generator(0, "calibrate")):
        most = max(most, float(events.abs().max()))
        whole = whole and bool((events == events.round()).all())
        seen += len(labels)
        if seen >= least:
            break
    if whole:
        return Input(0, min(max(2 * int(most), 1), 2**15 - 1))
    room = 1.25 * most
    power = math.floor(math.log2((2**15 - 1) / room))
    return Input(power, round(room * 2.0**power))


def drawn(dataset: Dataset, draws: torch.Generator) -> Iterator[Batch]:
    """Training batches in a drawn order: as they are stored, where that can be asked for."""
    if not isinstance(dataset, ArrayDataset):
        return dataset.batches("train", draws)
    return (dataset.gather(rows) for rows in dataset.rows("train", draws))


def fix(net: Network, plan: Plan, entry: Input, steps: int, room: float = 1.0) -> Fixed:
    """``net`` with the precision of ``plan``; sequences of ``steps`` (or `LONGER` times as many),
    and sums up to ``room`` times as large as its weights can lead to.

    Raises:
        UserError: a pool whose places differ in size, a threshold that isn't positive, weights
            that are too large.
    """
    bits, made = BITS[plan.precision], []
    entry = entry.coarser() if 0 in plan.learns else entry
    power, most = entry.power, entry.most / 2.0**entry.power
    divide = 1.0
    for i, layer in enumerate(net.layers):
        if layer.neuron.threshold <= 0:
            raise UserError(
                f"--precision: {plan.precision} needs a positive neuron.threshold, not "
                f"{layer.neuron.threshold:g}"
            )
        weight = tables.by_input(layer).astype(np.float64) / divide
        own = tables.recurrent(layer)
        threshold = layer.neuron.threshold
        each = store(
            weight, None if own is None else own.astype(np.float64), bits, layer.neuron.beta,
            threshold, power, most, steps, f"layer {i + 1}", i in plan.learns, room,
        )  # fmt: skip
        made.append(each)
        divide = size_of_pool(layer)
        power, most = 0, divide
    readout = tables.by_input(net.readout).astype(np.float64) / divide
    if plan.readout_learns and divide != 1:
        raise UserError(
            "--learn: averages of a pool are sums in whole numbers, from which no readout learns; "
            "use --precision float32"
        )
    top = store(
        readout, None, bits, net.readout_decay, 0.0, 0, divide, steps, "the readout",
        plan.readout_learns, room,
    )  # fmt: skip
    return Fixed(net, steps, entry, tuple(made), top)


def size_of_pool(layer: Layer) -> float:
    """Spikes of which a layer's pool takes the average; 1 for another."""
    if not isinstance(layer, Conv) or layer.kind in ("none", "max"):
        return 1.0
    if layer.kind == "avg":
        return float(layer.size**2)
    _, height, width = layer.shape
    if height % layer.size or width % layer.size:
        raise UserError(
            f"--precision: a pool of {height}×{width} to {layer.size}×{layer.size} averages places "
            "of different sizes; use --precision float32"
        )
    return float(height * width // layer.size**2)


def run(fixed: Fixed, events: Array) -> tuple[Array, Array]:
    """Logits (B, classes) of events (T, B, …), and spikes of each layer (B, layers): infer.c in
    NumPy, the same numbers."""
    x0 = fixed.input.store(events).reshape(*events.shape[:2], -1)
    batch = x0.shape[1]
    membranes = [np.zeros((batch, math.prod(layer.shape)), np.int64) for layer in fixed.net.layers]
    spikes = [np.zeros_like(u) for u in membranes]
    logits = np.zeros((batch, fixed.net.classes), np.int64)
    counts = np.zeros((batch, len(membranes)), np.int64)
    for x in x0:
        for i, (layer, each) in enumerate(zip(fixed.net.layers, fixed.layers, strict=True)):
            v = leak(membranes[i], each.decay) + each.gain * drive(layer, x, each.weight)
            if each.recurrent is not None:
                v += each.own_gain * product(spikes[i], each.recurrent)
            fired = v >= each.threshold
            hard = layer.neuron.reset == "hard"
            membranes[i] = np.where(fired, 0 if hard else v - each.threshold, v)
            spikes[i] = fired.astype(np.int64)
            counts[:, i] += fired.sum(1)
            x = pooled(layer, spikes[i])
        top = fixed.readout
        logits = leak(logits, top.decay) + top.gain * product(x, top.weight)
    return logits, counts


def leak(u: Array, decay: int) -> Array:
    """model_leak."""
    return u if decay == 2**POINT else (u * decay + 2 ** (POINT - 1)) >> POINT


def product(x: Array, weight: Array) -> Array:
    """x W, exact in float64."""
    found: Array = (x.astype(np.float64) @ weight.astype(np.float64)).astype(np.int64)
    return found


def drive(layer: Layer, x: Array, weight: Array) -> Array:
    """The layer's input current, flat."""
    if not isinstance(layer, Conv):
        return product(x, weight)
    maps = torch.from_numpy(x).double().view(len(x), -1, *layer.shape[1:])
    kernel = torch.from_numpy(weight).double().permute(3, 0, 1, 2)
    return whole(F.conv2d(maps, kernel, padding=1))


def pooled(layer: Layer, spikes: Array) -> Array:
    """What the layer sends: spikes, or how many there are in each place of an average."""
    if not isinstance(layer, Conv) or layer.kind == "none":
        return spikes
    maps = torch.from_numpy(spikes).double().view(-1, *layer.shape)
    return whole(layer.pool(maps) * size_of_pool(layer))


def whole(maps: Tensor) -> Array:
    """Maps of whole numbers, flat."""
    found: Array = maps.round().long().flatten(1).numpy()
    return found
