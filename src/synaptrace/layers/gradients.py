"""Weights and their gradients: initial values, standardisation, and how sums reach ``.grad``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
"""The shape of a sample's input or output, without rows and steps."""


def initial(
    shape: Shape, standardised: bool, gain: float, generator: torch.Generator | None
) -> nn.Parameter:
    """Initial weights of ``shape`` (outputs, inputs, …): He-normal if standardised, else uniform
    within ±gain/√fan_in, which is PyTorch's default for linear and convolutional layers."""
    weight = torch.empty(shape)
    fan_in = weight[0].numel()
    if standardised:
        weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
    else:
        bound = gain / math.sqrt(fan_in)
        weight.uniform_(-bound, bound, generator=generator)
    return nn.Parameter(weight)


def standardise(weight: Tensor) -> Tensor:
    """Ŵ of a weight whose first dimension counts output units."""
    centred, scale = _centre(weight)
    return centred * (1.8 * scale)


def _centre(weight: Tensor) -> tuple[Tensor, Tensor]:
    dims = tuple(range(1, weight.dim()))
    centred = weight - weight.mean(dims, keepdim=True)
    return centred, (centred.square().sum(dims, keepdim=True) + 1e-5).rsqrt()


@torch.no_grad()
def standardise_gradient(weight: Tensor, gradient: Tensor) -> Tensor:
    """∂W from ∂Ŵ: 1.8 r (g − mean g) − 1.8 r³ c Σ(g c), c the centred weight, r its scale."""
    (centred, scale), dims = _centre(weight), tuple(range(1, weight.dim()))
    along = (gradient * centred).sum(dims, keepdim=True) * scale.square()
    mean = gradient.mean(dims, keepdim=True)
    chained = torch.sub(gradient, mean, out=torch.empty_like(weight))  # laid out as the weight
    return chained.sub_(centred.mul_(along)).mul_(1.8 * scale)


def add_gradient(parameter: Tensor, gradient: Tensor) -> None:
    """Add to ``.grad`` as PyTorch's backward does; a frozen parameter gets nothing."""
    if not parameter.requires_grad:
        return
    gradient = gradient.to(parameter.dtype)
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad.add_(gradient)


def add_product(parameter: Tensor, left: Tensor, right: Tensor, dtype: torch.dtype) -> None:
    """Add leftᵀ right to ``.grad``: left (rows, outputs), right (rows, inputs)."""
    if not parameter.requires_grad:
        return
    if dtype == parameter.dtype and parameter.grad is not None:
        parameter.grad.addmm_(left.t(), right)
    else:
        add_gradient(parameter, left.to(dtype).t() @ right.to(dtype))


def add_synapses(parameter: Tensor, g: Tensor, traces: Tensor) -> None:
    """Add Σ g_i ε_ij over rows to ``.grad``: g (rows, outputs), traces (rows, outputs, inputs)."""
    if not parameter.requires_grad:
        return
    if parameter.grad is None or not g.dtype == traces.dtype == parameter.dtype:
        add_gradient(parameter, torch.einsum("bi,bij->ij", g.to(traces.dtype), traces))
    else:
        parameter.grad[:, None].baddbmm_(g.t()[:, None], traces.transpose(0, 1))


class DeferredGradient(nn.Module):
    """A layer whose chain rule through the standardisation can be put off.

    While the weights don't change, the chain rule is linear, so gradients of the standardised
    weights can be summed first and go through it once. ``deferred`` is None where they are not put
    off, else a list that holds the sum so far, or nothing yet.
    """

    weight: Tensor
    standardise: bool
    pixels: int
    channels: int
    deferred: list[Tensor] | None = None

    def add_gradient(self, gradient: Tensor) -> None:
        """Add ∂W, or the chain rule of ∂Ŵ where weights are standardised, to ``.grad``."""
        if not self.weight.requires_grad:
            return
        if not self.standardise:
            add_gradient(self.weight, gradient)
        elif self.deferred is None:
            add_gradient(self.weight, standardise_gradient(self.weight, gradient))
        elif self.deferred:
            self.deferred[0].add_(gradient)
        else:
            self.deferred.append(gradient)

    def rows(self, out: Tensor) -> Tensor:
        """Maps (rows, *out_shape) as vectors (rows, features), in the order they lie in memory."""
        raise NotImplementedError

    @torch.no_grad()
    def flush(self) -> None:
        """Add what was put off to ``.grad``."""
        if self.deferred:
            add_gradient(self.weight, standardise_gradient(self.weight, self.deferred.pop()))

    def points(self, trace: Tensor) -> Tensor:
        """A trace (rows, *out_shape) as (rows, pixels, channels), in the order it lies in memory;
        one pixel where dense."""
        return self.rows(trace).view(-1, self.pixels, self.channels)

    def zero_state(self, rows: int, shape: Shape) -> Tensor:
        """Zeros (rows, *shape), laid out as the layer's own results are."""
        zeros = self.weight.new_zeros(rows, *shape)
        return zeros.contiguous(memory_format=torch.channels_last) if zeros.dim() == 4 else zeros
