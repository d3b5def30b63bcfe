"""The sizes that a count of operations needs: of a network, its batch and its time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from synaptrace.network import Network


@dataclass(frozen=True)
class Layer:
    """A hidden layer, in numbers for each sample."""

    neurons: int
    """H, before pooling."""
    outputs: int
    """P, after it; H where nothing is pooled."""
    weights: int
    recurrent: int
    """H² or 0."""
    fan_in: int
    """Inputs of one neuron."""


@dataclass(frozen=True)
class Case:
    """What a training's operations depend on."""

    layers: tuple[Layer, ...]
    readout: int
    """Weights of the readout, O·P of the last layer."""
    classes: int
    """O."""
    batch: int
    """B."""
    steps: int
    """T."""

    @property
    def present(self) -> int:
        """C, the classes in a batch: as many as there can be."""
        return min(self.batch, self.classes)

    @property
    def weights(self) -> int:
        """All weights of the network."""
        return sum(layer.weights + layer.recurrent for layer in self.layers) + self.readout


def case(net: Network, batch: int, steps: int) -> Case:
    """The sizes of ``net``, which may live on the meta device.

    ``batch`` in samples, ``steps`` in time steps of one sequence.
    """
    layers = tuple(
        Layer(
            neurons=math.prod(layer.shape),
            outputs=math.prod(layer.out_shape),
            weights=layer.weight.numel(),
            recurrent=0 if layer.recurrent is None else layer.recurrent.numel(),
            fan_in=layer.weight.numel() // layer.weight.shape[0],
        )
        for layer in net.layers
    )
    return Case(layers, net.readout.weight.numel(), net.classes, batch, steps)
