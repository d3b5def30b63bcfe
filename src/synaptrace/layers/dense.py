"""A fully connected layer, with recurrent weights of its own spikes if asked."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.layers.gradients import (
    DeferredGradient,
    Shape,
    add_product,
    add_synapses,
    initial,
    standardise,
)
from synaptrace.neuron import LIF


class Dense(DeferredGradient):
    """A fully connected layer, with recurrent weights of its own spikes if asked.

    Parameters: ``weight`` (outputs, inputs); ``recurrent`` (outputs, outputs) or None.

    Args:
        inputs, outputs: numbers of neurons.
        neuron: this layer's settings, decays single numbers; None: `LIF()`. A readout's are unused.
        shape: the map that the outputs form; (outputs,) by default.
        gain: factor on the initial weights (PyTorch's default, uniform within ±1/√inputs;
            He-normal when standardised).
        compute: dtype of the products; state and gradients keep the weights' own.
    """

    weight: Tensor
    recurrent: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        neuron: LIF | None = None,
        recurrent: bool = False,
        standardise: bool = False,
        gain: float = 1.0,
        shape: Shape | None = None,
        compute: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.neuron, self.standardise, self.compute = neuron or LIF(), standardise, compute
        self.in_shape: Shape = (inputs,)
        self.shape = self.out_shape = shape or (outputs,)
        self.channels, self.pixels = self.shape[0], math.prod(self.shape[1:])
        self.weight = initial((outputs, inputs), standardise, gain, generator)
        self.recurrent = initial((outputs, outputs), False, 1.0, generator) if recurrent else None

    def forward_weight(self) -> Tensor:
        """The weight that the forward pass uses, in the compute dtype."""
        weight = standardise(self.weight) if self.standardise else self.weight
        return weight.to(self.compute or weight.dtype)

    def current(
        self, x: Tensor, spikes: Tensor, weight: Tensor, *, packed: object = None
    ) -> Tensor:
        """Input current (rows, outputs) from x (rows, …) and the layer's spikes of step t−1."""
        current = F.linear(x.flatten(1).to(weight.dtype), weight).to(self.weight.dtype)
        return current if self.recurrent is None else current.addmm(spikes, self.recurrent.t())

    def pack(self, weight: Tensor) -> None:
        """A dense layer has no other form of its forward weight."""

    def pool(self, spikes: Tensor) -> Tensor:
        """The layer's output; a dense layer doesn't pool."""
        return spikes

    def unpool(self, delta: Tensor, spikes: Tensor) -> Tensor:
        """The transpose of `pool`."""
        return delta

    def membrane_error(
        self, delta: Tensor, spikes: Tensor, psi: Tensor, fused: bool = False
    ) -> Tensor:
        """g = p*(δ) ⊙ ψ in place of ψ."""
        return psi.mul_(delta)

    def rows(self, out: Tensor) -> Tensor:
        """Maps (rows, *out_shape) as vectors (rows, features), in the order they lie in memory."""
        return out.flatten(1)

    def maps(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`."""
        return rows.view(-1, *self.out_shape)

    def back(self, g: Tensor, weight: Tensor) -> Tensor:
        """The transpose of `current`: g (rows, outputs) → the error of its input (rows, inputs)."""
        return (g.to(weight.dtype) @ weight).to(self.weight.dtype)

    def accumulate(self, g: Tensor, x: Tensor, spikes: Tensor, *, fused: bool = False) -> None:
        """Add ∂W = gᵀ x, and ∂R = gᵀ s', to ``.grad``: g (rows, outputs), spikes of step t−1."""
        if self.weight.requires_grad:
            dtype, x = self.compute or self.weight.dtype, x.flatten(1)
            if self.standardise:
                self.add_gradient((g.to(dtype).t() @ x.to(dtype)).to(self.weight.dtype))
            else:
                add_product(self.weight, g, x, dtype)
        if self.recurrent is not None:
            add_product(self.recurrent, g, spikes, self.recurrent.dtype)

    def accumulate_synapses(self, g: Tensor, traces: Tensor, recurrent: Tensor | None) -> None:
        """Add ∂W_ij = Σ g_i ε_ij over rows, and ∂R likewise, to ``.grad``: g (rows, outputs), a
        trace for each synapse (rows, outputs, inputs) and (rows, outputs, outputs)."""
        if not self.standardise:
            add_synapses(self.weight, g, traces)
        elif self.weight.requires_grad:
            self.add_gradient(torch.einsum("bi,bij->ij", g, traces))
        if recurrent is not None and self.recurrent is not None:
            add_synapses(self.recurrent, g, recurrent)
