"""What of a network is written into C as numbers, whatever their type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from synaptrace.network import Network
from synaptrace.ship.c import tables
from synaptrace.ship.c.tables import number

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerNumbers:
    """Of one hidden layer; the last four as C has them."""

    weight: Array
    """With the input first."""
    recurrent: Array | None
    decay: str
    threshold: str
    gain: str = "R(1)"
    """What an input of 1 counts."""
    own_gain: str = "R(1)"
    """What an own spike counts."""


@dataclass(frozen=True)
class Numbers:
    """Of a network."""

    layers: tuple[LayerNumbers, ...]
    readout: Array
    readout_decay: str
    types: str
    """The typedefs of model.h."""
    readout_gain: str = "R(1)"
    fixed: bool = False


def floating(net: Network, types: str) -> Numbers:
    """Of float32 weights."""
    layers = [
        LayerNumbers(
            tables.by_input(layer), tables.recurrent(layer), f"R({number(layer.neuron.beta)})",
            f"R({number(layer.neuron.threshold)})",
        )
        for layer in net.layers
    ]  # fmt: skip
    decay = f"R({number(net.readout_decay)})"
    return Numbers(tuple(layers), tables.by_input(net.readout), decay, types)
