"""The walk along the nodes of a NIR graph, which has to be a chain of our layers.

    input → [flatten →] weight → lif [⇄ recurrent] [→ pool] → … → weight [→ li] → output

Weights are Linear, Affine without bias, or 3×3 Conv2d; neurons LIF, IF, or CubaLIF whose synapse
keeps nothing; pools AvgPool2d or SumPool2d. Anything else is refused, naming the node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.errors import UserError, short
from synaptrace.layers import NO_POOL, Pool
from synaptrace.ship.dialects import Dialect
from synaptrace.ship.nir_file import Graph

Array = NDArray[Any]
LARGEST = 2**24
"""Numbers of an input's step: a shape is only stated, and costs a file nothing."""


@dataclass
class Layer:
    """A hidden layer, as it is read."""

    weight: Array
    beta: float
    theta: float
    recurrent: Array | None = None
    pool: Pool = NO_POOL


@dataclass
class Chain:
    """What the walk along the graph has found."""

    in_shape: tuple[int, ...] = ()
    layers: list[Layer] = field(default_factory=list)
    readout: Array | None = None
    readout_decay: float = 1.0


def chain(path: Path, graph: Graph, speech: Dialect) -> Chain:
    """Everything that the graph says, read as ``speech`` means it.

    Raises:
        UserError: naming the file, and the node that can't be.
    """
    return _Walk(path, graph, speech).chain()


class _Walk:
    """The way from the input to the output, a node at a time."""

    def __init__(self, path: Path, graph: Graph, speech: Dialect) -> None:
        self.path, self.graph, self.speech = path, graph, speech
        self.found = Chain()
        self.shape: tuple[int, ...] = ()
        self.weight: Array | None = None
        self.scale = 1.0  # of the next weights, after a sum

    def no(self, name: str, why: str) -> UserError:
        kind = self.graph.nodes[name]["type"]
        return UserError(f"{self.path}: node {short(name)} ({short(kind)}): {why}")

    def chain(self) -> Chain:
        starts = [n for n, node in self.graph.nodes.items()
                  if node["type"] == "Input" and not self.graph.before(n)]  # fmt: skip
        if len(starts) != 1:
            raise UserError(f"{self.path}: {len(starts)} nodes Input, where one is needed")
        name, seen = starts[0], set[str]()
        self.shape = self.found.in_shape = self.sizes(name, "shape")
        if math.prod(self.shape) > LARGEST:
            raise self.no(name, f"its shape {self.shape} has more than {LARGEST} numbers")
        while True:
            seen.add(name)
            following = [n for n in self.graph.after(name) if not self.comes_back(name, n)]
            if not following and self.graph.nodes[name]["type"] == "Output":
                self.nothing_else(seen)
                return self.ended(name)
            if len(following) != 1:
                raise self.no(name, f"leads to {len(following)} nodes; a chain is needed")
            name = following[0]
            if name in seen:
                raise self.no(name, "is in a loop that is no recurrent layer")
            self.take(name)

    def comes_back(self, name: str, other: str) -> bool:
        """Whether ``other`` is the recurrent weight of the neurons ``name``."""
        return self.graph.after(other) == [name] == self.graph.before(other)

    def nothing_else(self, seen: set[str]) -> None:
        """Raises UserError where a node beside the way leads onto it."""
        for other, name in self.graph.edges:
            if name in seen and other not in seen and not self.comes_back(name, other):
                raise self.no(other, "leads into the chain, and the input doesn't lead to it")

    def take(self, name: str) -> None:
        kind = self.graph.nodes[name]["type"]
        if kind in ("Linear", "Affine", "Conv2d"):
            self.weights(name)
        elif kind in ("LIF", "CubaLIF", "IF"):
            self.neurons(name)
        elif kind in ("AvgPool2d", "SumPool2d"):
            self.pool(name)
        elif kind == "LI":
            self.readout(name)
        elif kind == "Flatten":
            if self.weight is not None:
                raise self.no(name, "stands between weights and their neurons")
            self.shape = (math.prod(self.shape),)
        elif kind not in ("Input", "Output"):  # those of graphs within
            raise self.no(name, "is unknown here")

    def ended(self, name: str) -> Chain:
        if self.weight is None or self.weight.ndim != 2:
            raise self.no(name, "needs dense weights before it, the readout's, which never spikes")
        if not self.found.layers:
            raise self.no(name, "comes after no neurons")
        self.found.readout = self.weight
        return self.found

    def weights(self, name: str) -> None:
        if self.weight is not None:
            raise self.no(name, "weights upon weights")
        node, found = self.graph.nodes[name], self.array(name, "weight")
        if "bias" in node and np.any(self.array(name, "bias")):
            raise self.no(name, "has a bias, and our layers have none")
        if node["type"] == "Conv2d":
            fits = self.plain_convolution(name, found)
        else:
            first = not self.found.layers
            if first and len(self.shape) > 1 and found.ndim == 2:  # a dense network flattens maps
                self.shape = (math.prod(self.shape),)
            fits = found.ndim == 2 and self.shape == (found.shape[1],)
        if not fits or not found.size:
            raise self.no(name, f"weights {found.shape} don't fit their input {self.shape}")
        self.weight, self.scale = self.times(found, self.scale), 1.0
        self.shape = (len(found), *self.shape[1:])

    def plain_convolution(self, name: str, found: Array) -> bool:
        """Whether weights fit. Raises UserError where it is no 3×3 convolution with padding 1."""
        node = self.graph.nodes[name]
        keys = ["stride", "dilation", "groups"]
        if str(node.get("padding")) != "same":
            keys.append("padding")
        one = [self.sizes(name, key) for key in keys]
        if found.ndim != 4 or found.shape[2:] != (3, 3) or any(set(each) != {1} for each in one):
            raise self.no(name, "is no 3×3 convolution with stride 1 and padding 1")
        if self.found.layers and self.found.layers[0].weight.ndim != 4:
            raise self.no(name, "a convolution after dense neurons")
        return len(self.shape) == 3 and self.shape[0] == found.shape[1]

    def neurons(self, name: str) -> None:
        if self.weight is None:
            raise self.no(name, "has no weights before it")
        if self.found.layers and self.found.layers[0].weight.ndim != self.weight.ndim:
            raise self.no(name, "dense neurons after convolutions; only the readout is dense")
        for key in ("v_leak", "v_reset"):
            if key in self.graph.nodes[name] and np.any(self.array(name, key)):
                raise self.no(name, f"{key} is not 0")
        beta, gain = self.dynamics(name)
        layer = Layer(self.times(self.weight, gain), beta, self.speech.theta(
            self.number(name, "v_threshold")))  # fmt: skip
        back = [n for n in self.graph.after(name) if self.comes_back(name, n)]
        if len(back) > 1 or len(self.graph.before(name)) != 1 + len(back):
            raise self.no(name, "more than one way leads to it")
        if back:
            if self.graph.nodes[back[0]]["type"] not in ("Linear", "Affine"):
                raise self.no(back[0], "is no dense recurrent weight")
            if np.any(self.graph.nodes[back[0]].get("bias", 0)):
                raise self.no(back[0], "has a bias, and our layers have none")
            recurrent = self.array(back[0], "weight")
            if self.weight.ndim != 2 or recurrent.shape != (len(self.weight),) * 2:
                raise self.no(back[0], f"weights {recurrent.shape} don't fit its neurons")
            layer.recurrent = self.times(recurrent, gain)
        self.found.layers.append(layer)
        self.weight = None

    def dynamics(self, name: str) -> tuple[float, float]:
        """β of the neurons, and what their input is multiplied by."""
        node, speech = self.graph.nodes[name], self.speech
        if node["type"] == "IF":
            gain = 1.0 if speech.exponential else self.number(name, "r") * speech.dt
            return 1.0, 1.0 if math.isclose(gain, 1.0, rel_tol=1e-6) else gain
        gain = 1.0
        tau = self.number(name, "tau_mem" if node["type"] == "CubaLIF" else "tau")
        if node["type"] == "CubaLIF":
            synapse = self.number(name, "tau_syn")
            if speech.exponential or abs(1 - speech.dt / synapse) > 1e-6:
                raise self.no(name, "its synapse keeps current from step to step (tau_syn)")
            gain = self.number(name, "w_in")
        if tau <= 0:
            raise self.no(name, "its time constant is not positive")
        beta = speech.beta(tau)
        if not 0 <= beta <= 1:
            raise self.no(name, f"its time constant {tau:g} is shorter than a step")
        return beta, gain * speech.gain(tau, self.number(name, "r"))

    def pool(self, name: str) -> None:
        if not self.found.layers or self.weight is not None or len(self.shape) != 3:
            raise self.no(name, "stands elsewhere than after a convolution's neurons")
        layer, node = self.found.layers[-1], self.graph.nodes[name]
        kernel, stride = self.sizes(name, "kernel_size"), self.sizes(name, "stride")
        kernel, stride = (each * 2 if len(each) == 1 else each for each in (kernel, stride))
        if len(kernel) != 2 or not all(kernel):
            raise self.no(name, f"kernel_size: {kernel} are no rows and columns")
        if layer.pool != NO_POOL or kernel != stride or any(self.sizes(name, "padding")):
            raise self.no(name, "pools twice, with padding, or places more than once")
        height, width = (n // k for n, k in zip(self.shape[1:], kernel, strict=True))
        layer.pool = ("avg", kernel[0])
        if kernel[0] != kernel[1]:
            if height != width or self.shape[1:] != (height * kernel[0], width * kernel[1]):
                raise self.no(name, f"an uneven pool of {kernel[0]}×{kernel[1]}")
            layer.pool = ("aavg", height)
        if not height or not width:
            raise self.no(name, "leaves nothing of its map")
        self.shape = (self.shape[0], height, width)
        if node["type"] == "SumPool2d":
            self.scale = float(kernel[0] * kernel[1])

    def readout(self, name: str) -> None:
        """A leaky integrator at the end, as the readout is."""
        following = [self.graph.nodes[n]["type"] for n in self.graph.after(name)]
        if self.weight is None or following != ["Output"] or np.any(self.array(name, "v_leak")):
            raise self.no(name, "leaky neurons before the end, or that leak to a value")
        tau = self.number(name, "tau")
        if tau <= 0 or not 0 <= self.speech.beta(tau) <= 1:
            raise self.no(name, f"its time constant {tau:g} is shorter than a step")
        self.found.readout_decay = self.speech.beta(tau)
        self.weight = self.times(self.weight, self.speech.gain(tau, self.number(name, "r")))

    def array(self, name: str, key: str) -> Array:
        """A node's numbers. Raises UserError where they are missing, no numbers or not finite."""
        found = self.graph.nodes[name].get(key)
        array = np.asarray(found)
        if array.dtype.kind not in "fiu":  # text, or None where there is nothing
            raise self.no(name, f"{key} is missing or no number")
        if not np.isfinite(array).all():
            raise self.no(name, f"{key} is not finite")
        return array

    def number(self, name: str, key: str) -> float:
        """The one number that a node's neurons share. Raises UserError where they differ."""
        array = self.array(name, key)
        if not array.size or array.min() != array.max():
            raise self.no(name, f"its neurons differ in {key}, and ours share it")
        return float(array.flat[0])

    def sizes(self, name: str, key: str) -> tuple[int, ...]:
        """One or more whole numbers."""
        array = self.array(name, key).reshape(-1)
        if not 1 <= array.size <= 3 or np.any(array != np.floor(array)) or np.any(array < 0):
            raise self.no(name, f"{key}: {short(array.tolist())} are no sizes")
        return tuple(int(each) for each in array)

    @staticmethod
    def times(weight: Array, by: float) -> Array:
        return weight if by == 1 else weight.astype(np.float64) * by
