"""The sizes that a count of memory or operations needs: of a network, its batch and its time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from synaptrace import build as networks
from synaptrace.layers import Conv
from synaptrace.network import Network
from synaptrace.rules import waves


@dataclass(frozen=True)
class Layer:
    """A hidden layer, in numbers for each sample."""

    inputs: int
    """I."""
    neurons: int
    """H, before pooling."""
    outputs: int
    """P, after it; H where nothing is pooled."""
    weights: int
    recurrent: int
    """H² or 0."""
    fan_in: int
    """Inputs of one neuron."""
    channels: int
    """Output units that have weights of their own."""
    pool: str
    """"none", "max", "avg" or "aavg"."""
    waves: int
    """d, the length of its output as `rules.waves` sees it."""
    scratch: int
    """Numbers of a gradient before it is added: of the weights, or 0 where it is added at once."""

    convolution: bool

    @property
    def pooled(self) -> int:
        """Numbers that pooling makes and the layer's output keeps."""
        return 0 if self.pool == "none" else self.outputs

    @property
    def indices(self) -> int:
        """Numbers that a maximum makes beside it: its places, of eight bytes."""
        return 2 * self.outputs if self.pool == "max" else 0

    @property
    def own(self) -> int:
        """Numbers of an error behind the pooling; without any it is the one in front of it."""
        return self.neurons if self.pooled else 0

    @property
    def pixels(self) -> int:
        """Places of the pooled map, 1 in a dense layer."""
        return self.outputs // self.channels


@dataclass(frozen=True)
class Case:
    """What a training's memory and operations depend on."""

    layers: tuple[Layer, ...]
    readout: int
    """Weights of the readout, O·P of the last layer."""
    classes: int
    """O."""
    batch: int
    """B."""
    steps: int
    """T."""
    standardised: bool
    hard: bool
    """The membrane is reset to zero."""

    @property
    def present(self) -> int:
        """C, the classes in a batch: as many as there can be."""
        return min(self.batch, self.classes)

    @property
    def weights(self) -> int:
        """All weights of the network."""
        return sum(layer.weights + layer.recurrent for layer in self.layers) + self.readout

    @property
    def widest(self) -> int:
        """Weights of the largest standardised matrix."""
        return max(self.readout, *(layer.weights for layer in self.layers))

    def with_(self, **changes: int) -> Case:
        """The same with another batch or number of steps."""
        return replace(self, **changes)  # type: ignore[arg-type]


def case(net: Network, batch: int, steps: int) -> Case:
    """The sizes of ``net``, which may live on the meta device.

    ``batch`` in samples, ``steps`` in time steps of one sequence.
    """
    standardised = net.readout.standardise
    below, layers = math.prod(net.in_shape), []
    for i, layer in enumerate(net.layers):
        weights = layer.weight.numel()
        made = isinstance(layer, Conv) or standardised
        layers.append(Layer(
            inputs=below, neurons=math.prod(layer.shape), outputs=math.prod(layer.out_shape),
            weights=weights, recurrent=0 if layer.recurrent is None else layer.recurrent.numel(),
            fan_in=weights // layer.weight.shape[0], channels=layer.channels,
            pool=layer.kind if isinstance(layer, Conv) else "none",
            waves=waves.length(net, i), scratch=weights if made else 0,
            convolution=isinstance(layer, Conv),
        ))  # fmt: skip
        below = layers[-1].outputs
    return Case(
        tuple(layers), net.readout.weight.numel(), net.classes, batch, steps, standardised,
        net.layers[0].neuron.reset == "hard",
    )  # fmt: skip


def bare(spec: dict[str, Any]) -> Network:
    """The network of ``spec`` (`Network.spec`) without numbers in it, however large it is."""
    with torch.device("meta"):
        return networks.build(spec)
