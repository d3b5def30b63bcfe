"""What a layer does in a step of a rule, in one of two makes: PyTorch's, or the native engine's.

    current          I = W x + R s'
    fire             v = β u + I,  s = [v ≥ θ],  the reset, and σ'(v − θ)
    membrane_error   g = p*(δ) ⊙ σ'
    accumulate       ∂W += gᵀ x,  ∂R += gᵀ s'

`Plain` is any layer on PyTorch; `Native` is a convolution whose work between two convolutions is
one pass, and whose products of spikes are the engine's (native/convolve.py). Both hold the weight
as the forward pass uses it, and are made anew when it has changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synaptrace.layers import Layer
from synaptrace.native import maps
from synaptrace.neuron import fire


class Plain:
    """A layer's operations on PyTorch."""

    fused = False

    def __init__(self, layer: Layer, weight: Tensor) -> None:
        self.layer, self.weight = layer, weight
        self.packed = layer.pack(weight) if self.fused else None

    def current(self, x: Tensor, spikes: Tensor) -> Tensor:
        """I (rows, *shape) from the input x and the layer's spikes of step t−1."""
        return self.layer.current(x, spikes, self.weight, packed=self.packed)

    def fire(
        self, current: Tensor, u: Tensor, samples: int, other: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the neurons; ``current`` and ``u`` are used up.

        Args:
            samples: the first rows, with the neuron's own threshold; the rest have the ``other``.

        Returns:
            u after the reset, s and σ'(v − θ).
        """
        neuron = self.layer.neuron
        threshold: float | Tensor = neuron.threshold
        if other != threshold:
            threshold = current.new_full((len(u), *[1] * (u.dim() - 1)), other)
            threshold[:samples] = neuron.threshold
        return fire(neuron, current, u, threshold)

    def membrane_error(self, delta: Tensor, spikes: Tensor, slope: Tensor) -> Tensor:
        """g in the place of σ' = ``slope``."""
        return self.layer.membrane_error(delta, spikes, slope, self.fused)

    def accumulate(self, g: Tensor, x: Tensor, spikes: Tensor) -> None:
        """Add ∂W, and ∂R where the layer is recurrent, to ``.grad``."""
        self.layer.accumulate(g, x, spikes, fused=self.fused)


class Native(Plain):
    """A convolution's operations in the native engine."""

    fused = True

    def fire(
        self, current: Tensor, u: Tensor, samples: int, other: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `Plain.fire`, in one pass."""
        return maps.fire(self.layer.neuron, current, u, samples, other)


def make(layers: list[Layer], weights: list[Tensor], native: bool) -> list[Plain]:
    """The operations of each layer on its forward weight; ``native`` where there is a way."""
    kind = [Native if native and len(layer.shape) == 3 else Plain for layer in layers]
    with torch.no_grad():
        return [k(layer, w) for k, layer, w in zip(kind, layers, weights, strict=True)]
