"""The forward pass of infer.c in NumPy, with its order of sums: float32 gives the same bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.layers import Conv, Layer
from synaptrace.network import Network
from synaptrace.ship.c import tables

Array = NDArray[Any]


def run(net: Network, events: Array, dtype: Any = np.float32) -> tuple[Array, Array]:
    """Logits (B, classes) of events (T, B, inputs), and spikes of each layer (B, layers)."""
    steps, batch = events.shape[:2]
    events = events.reshape(steps, batch, -1).astype(dtype)
    inputs = [tables.by_input(layer).astype(dtype) for layer in net.layers]
    owns = [tables.recurrent(layer) for layer in net.layers]
    readout = tables.by_input(net.readout).astype(dtype)
    membranes = [np.zeros((batch, math.prod(layer.shape)), dtype) for layer in net.layers]
    spikes = [np.zeros_like(u) for u in membranes]
    logits = np.zeros((batch, net.classes), dtype)
    counts = np.zeros((batch, len(membranes)), np.int64)
    for x in events:
        for i, layer in enumerate(net.layers):
            v = membranes[i] * dtype(layer.neuron.beta)
            v = (
                convolve(layer, v, x, inputs[i])
                if isinstance(layer, Conv)
                else add(v, x, inputs[i])
            )
            own = owns[i]
            if own is not None:
                v = add(v, spikes[i], own.astype(dtype))
            threshold = dtype(layer.neuron.threshold)
            fired = v >= threshold
            hard = layer.neuron.reset == "hard"
            membranes[i] = np.where(fired, dtype(0) if hard else v - threshold, v)
            spikes[i] = fired.astype(dtype)
            counts[:, i] += fired.sum(1)
            x = pool(layer, spikes[i]) if isinstance(layer, Conv) else spikes[i]
        logits = add(logits * dtype(net.readout_decay), x, readout)
    return logits, counts


def add(v: Array, x: Array, weight: Array) -> Array:
    """v + x W, input by input."""
    for j in np.flatnonzero(x.any(0)):
        v = v + x[:, j, None] * weight[j]
    return v


def convolve(layer: Conv, v: Array, x: Array, weight: Array) -> Array:
    """v + W * x: each neuron's inputs by channel, row and column."""
    channels, height, width = layer.shape
    x = x.reshape(len(x), -1, height, width)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    v = v.reshape(-1, channels, height, width)
    for c in range(x.shape[1]):
        for i in range(3):
            for j in range(3):
                seen = padded[:, c, None, i : i + height, j : j + width]
                v = v + seen * weight[c, i, j][:, None, None]
    return v.reshape(len(x), -1)


def pool(layer: Layer, spikes: Array) -> Array:
    """The layer's pool of spikes (B, neurons), flat."""
    assert isinstance(layer, Conv)
    if layer.kind == "none":
        return spikes
    maps = spikes.reshape(-1, *layer.shape)
    (_, height, width), (channels, rows, columns) = layer.shape, layer.out_shape
    out = np.zeros((len(maps), channels, rows, columns), spikes.dtype)
    for y in range(rows):
        for x in range(columns):
            down, right = extent(layer, y, height, rows), extent(layer, x, width, columns)
            part = maps[:, :, down, right]
            if layer.kind == "max":
                out[:, :, y, x] = part.max((2, 3))
            else:
                size = spikes.dtype.type(part.shape[2] * part.shape[3])
                out[:, :, y, x] = part.sum((2, 3)) / size
    return out.reshape(len(maps), -1)


def extent(layer: Conv, at: int, size: int, outs: int) -> slice:
    """The rows, or columns, of one pooled place."""
    if layer.kind == "aavg":
        return slice(at * size // outs, -(-(at + 1) * size // outs))
    return slice(at * layer.size, (at + 1) * layer.size)
