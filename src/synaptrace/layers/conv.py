"""A 3×3 convolution with padding 1, pooled after the spike."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.errors import UserError
from synaptrace.layers.gradients import DeferredGradient, Shape, initial, standardise
from synaptrace.native import convolve, maps
from synaptrace.neuron import LIF

Pool = tuple[str, int]
"""A kind of pooling, "none", "max", "avg" or "aavg", and its size."""
NO_POOL: Pool = ("none", 1)
"""A layer's output is its spikes as they are."""


class Conv(DeferredGradient):
    """A 3×3 convolution with padding 1, pooled after the spike; never recurrent.

    Parameter: ``weight`` (channels, input channels, 3, 3).

    Args:
        in_shape: (C, H, W) of the input map; flat input, of a dense layer below, is seen so too.
        channels: output channels.
        neuron: this layer's settings, decays single numbers; None: `LIF()`.
        pool: ("none", 1), ("max", n), ("avg", n): kernel and stride n, an odd remainder is
            dropped; ("aavg", n): adaptive average to n×n. ("max", 1) pools nothing.
    """

    weight: Tensor
    recurrent: Tensor | None = None

    def __init__(
        self,
        in_shape: Shape,
        channels: int,
        *,
        neuron: LIF | None = None,
        pool: Pool = NO_POOL,
        standardise: bool = False,
        gain: float = 1.0,
        compute: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        kind, size = pool
        if kind not in ("none", "max", "avg", "aavg") or size < 1:
            raise UserError(f"model.channels: unknown pool {pool!r}; use none, max, avg or aavg")
        self.neuron, self.standardise, self.compute = neuron or LIF(), standardise, compute
        self.in_shape: Shape = tuple(in_shape)
        self.kind, self.size = ("none" if (kind != "aavg" and size == 1) else kind), size
        self.shape: Shape = (channels, *in_shape[1:])
        self.out_shape: Shape = (channels, *(self._pooled(n) for n in in_shape[1:]))
        self.channels, self.pixels = channels, math.prod(self.out_shape[1:])
        if not self.pixels:
            raise UserError(f"model.channels: pool {pool!r} leaves nothing of a map {in_shape[1:]}")
        self.weight = initial((channels, in_shape[0], 3, 3), standardise, gain, generator)

    def _pooled(self, n: int) -> int:
        return {"none": n, "aavg": self.size}.get(self.kind, n // self.size)

    def forward_weight(self) -> Tensor:
        """The weight that the forward pass uses, in the compute dtype."""
        weight = standardise(self.weight) if self.standardise else self.weight
        return weight.to(self.compute or weight.dtype, memory_format=torch.channels_last)

    def current(
        self,
        x: Tensor,
        spikes: Tensor,
        weight: Tensor,
        *,
        packed: convolve.PackedWeight | None = None,
    ) -> Tensor:
        """Input current (rows, channels, H, W) from x (rows, C, H, W), or flat."""
        x = self._map(x)
        fast = None if packed is None else convolve.forward(x, packed)
        if fast is not None:
            return fast
        return F.conv2d(x.to(weight.dtype), weight, padding=1).to(self.weight.dtype)

    def _map(self, x: Tensor) -> Tensor:
        """x as maps, where the layer below has none."""
        return x if x.dim() == 4 else x.reshape(-1, *self.in_shape)

    def pack(self, weight: Tensor) -> convolve.PackedWeight | None:
        """The forward weight as the engine's convolution takes it, where that can be used."""
        return convolve.pack(weight) if self._natively(weight) else None

    def _natively(self, like: Tensor) -> bool:
        """Whether the engine convolves spikes of the layer's inputs."""
        return self.compute is None and convolve.usable(like, self.weight.shape[1])

    def pool(self, spikes: Tensor) -> Tensor:
        """The layer's output: its spikes, pooled."""
        if self.kind == "max":
            return F.max_pool2d(spikes, self.size)
        if self.kind == "avg":
            return F.avg_pool2d(spikes, self.size)
        return F.adaptive_avg_pool2d(spikes, self.size) if self.kind == "aavg" else spikes

    def unpool(self, delta: Tensor, spikes: Tensor) -> Tensor:
        """The transpose of `pool` at ``spikes``; a maximum sends its error to the first of its."""
        n, aten = self.size, torch.ops.aten
        out: Tensor = delta
        if self.kind == "max":
            _, first = F.max_pool2d(spikes, n, return_indices=True)
            out = aten.max_pool2d_with_indices_backward(
                delta, spikes, [n, n], [n, n], [0, 0], [1, 1], False, first
            )
        elif self.kind == "avg":
            out = aten.avg_pool2d_backward(delta, spikes, [n, n], [n, n], [0, 0], False, True, None)
        elif self.kind == "aavg":
            out = aten._adaptive_avg_pool2d_backward(delta, spikes)
        return out

    def membrane_error(
        self, delta: Tensor, spikes: Tensor, psi: Tensor, fused: bool = False
    ) -> Tensor:
        """g = p*(δ) ⊙ ψ in place of ψ; ``fused`` in one pass where the native engine can."""
        if fused and self.kind == "max":
            return maps.membrane_error(delta, spikes, psi, self.size)
        return psi.mul_(self.unpool(delta, spikes))

    def rows(self, out: Tensor) -> Tensor:
        """Maps (rows, *out_shape) as vectors (rows, features), in the order they lie in memory."""
        return out.permute(0, 2, 3, 1).flatten(1)

    def maps(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`."""
        channels, height, width = self.out_shape
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)

    def back(self, g: Tensor, weight: Tensor) -> Tensor:
        """The transpose of `current`: g (rows, channels, H, W) → (rows, C, H, W)."""
        return F.conv_transpose2d(g.to(weight.dtype), weight, padding=1).to(self.weight.dtype)

    def accumulate(self, g: Tensor, x: Tensor, spikes: Tensor, *, fused: bool = False) -> None:
        """Add ∂W, the sum over rows and places, to ``.grad``: g (rows, channels, H, W)."""
        if not self.weight.requires_grad:
            return
        x = self._map(x)
        if fused and self._natively(x):
            gradient = convolve.gradient(g, x)
            if gradient is not None:
                return self.add_gradient(gradient)
        dtype = self.compute or self.weight.dtype
        gradient = torch.ops.aten.convolution_backward(
            g.to(dtype), x.to(dtype), self.weight.to(dtype), None,
            [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False],
        )[1].to(self.weight.dtype)  # fmt: skip
        self.add_gradient(gradient)
