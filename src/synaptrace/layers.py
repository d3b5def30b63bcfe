"""Dense and convolutional layers: what a layer does with spikes, and with a local error.

A rule asks a layer for `current`, `pool`, `unpool`, `back` and `accumulate`, and never what kind
it is.
Rows come first everywhere; a row is a sample, or a class of the target stream. Optional weight
standardisation, Ŵ = 1.8 (W − mean) / sqrt(var · fan_in + 1e-5) per output unit (biased variance),
and its chain rule live inside `kernel` and `accumulate`. A layer is never called as a module, so
forward hooks on it don't fire; those on a network fire when the network is called.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synaptrace.errors import UserError
from synaptrace.native import convolve, maps
from synaptrace.neuron import LIF

Shape = tuple[int, ...]
Pool = tuple[str, int]
NO_POOL: Pool = ("none", 1)


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


class Settles(nn.Module):
    """A layer whose chain rule through the standardisation can be put off.

    The rule is linear while the weights don't change, so within a sequence the gradients of the
    standardised weights may be summed up first: ``deferred`` is a list then, of at most one.
    """

    weight: Tensor
    standardise: bool
    pixels: int
    channels: int
    deferred: list[Tensor] | None = None

    def take(self, gradient: Tensor) -> None:
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
    def settle(self) -> None:
        """Add what was put off to ``.grad``."""
        if self.deferred:
            add_gradient(self.weight, standardise_gradient(self.weight, self.deferred.pop()))

    def points(self, trace: Tensor) -> Tensor:
        """A trace (rows, *out_shape) as (rows, pixels, channels), in the order it lies in memory;
        one pixel where dense."""
        return self.rows(trace).view(-1, self.pixels, self.channels)

    def rest(self, rows: int, shape: Shape) -> Tensor:
        """Zeros (rows, *shape), laid out as the layer's own results are."""
        zeros = self.weight.new_zeros(rows, *shape)
        return zeros.contiguous(memory_format=torch.channels_last) if zeros.dim() == 4 else zeros


class Dense(Settles):
    """A fully connected layer, with recurrent weights of its own spikes if asked.

    Parameters: ``weight`` (outputs, inputs); ``recurrent`` (outputs, outputs) or None.

    Args:
        inputs, outputs: numbers of neurons.
        neuron: this layer's settings, decays single numbers.
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
        neuron: LIF,
        recurrent: bool = False,
        standardise: bool = False,
        gain: float = 1.0,
        shape: Shape | None = None,
        compute: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.neuron, self.standardise, self.compute = neuron, standardise, compute
        self.shape = self.out_shape = shape or (outputs,)
        self.channels, self.pixels = self.shape[0], math.prod(self.shape[1:])
        self.weight = initial((outputs, inputs), standardise, gain, generator)
        self.recurrent = initial((outputs, outputs), False, 1.0, generator) if recurrent else None

    def kernel(self) -> Tensor:
        """The weight that the forward pass uses, in the compute dtype."""
        weight = standardise(self.weight) if self.standardise else self.weight
        return weight.to(self.compute or weight.dtype)

    def current(
        self, x: Tensor, spikes: Tensor, kernel: Tensor, *, packed: object = None
    ) -> Tensor:
        """Input current (rows, outputs) from x (rows, …) and the layer's spikes of step t−1."""
        current = F.linear(x.flatten(1).to(kernel.dtype), kernel).to(self.weight.dtype)
        return current if self.recurrent is None else current.addmm(spikes, self.recurrent.t())

    def pack(self, kernel: Tensor) -> None:
        """A dense layer has no other form of its kernel."""

    def pool(self, spikes: Tensor) -> Tensor:
        """The layer's output; a dense layer doesn't pool."""
        return spikes

    def unpool(self, delta: Tensor, spikes: Tensor) -> Tensor:
        """The transpose of `pool`."""
        return delta

    def spread(self, delta: Tensor, spikes: Tensor, psi: Tensor, fused: bool = False) -> Tensor:
        """g = p*(δ) ⊙ ψ in place of ψ."""
        return psi.mul_(delta)

    def rows(self, out: Tensor) -> Tensor:
        """Maps (rows, *out_shape) as vectors (rows, features), in the order they lie in memory."""
        return out.flatten(1)

    def maps(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`."""
        return rows.view(-1, *self.out_shape)

    def back(self, g: Tensor, kernel: Tensor) -> Tensor:
        """The transpose of `current`: g (rows, outputs) → the error of its input (rows, inputs)."""
        return (g.to(kernel.dtype) @ kernel).to(self.weight.dtype)

    def accumulate(self, g: Tensor, x: Tensor, spikes: Tensor, *, fused: bool = False) -> None:
        """Add ∂W = gᵀ x, and ∂R = gᵀ s', to ``.grad``: g (rows, outputs), spikes of step t−1."""
        if self.weight.requires_grad:
            dtype, x = self.compute or self.weight.dtype, x.flatten(1)
            if self.standardise:
                self.take((g.to(dtype).t() @ x.to(dtype)).to(self.weight.dtype))
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
            self.take(torch.einsum("bi,bij->ij", g, traces))
        if recurrent is not None and self.recurrent is not None:
            add_synapses(self.recurrent, g, recurrent)


class Label(Dense):
    """The label projection S: a one-hot class as input, a current onto layer 1's map.

    It is a dense layer whose input is given by class index, so that no one-hot row is made.
    """

    def current(
        self, classes: Tensor, spikes: Tensor, kernel: Tensor, *, packed: object = None
    ) -> Tensor:
        """Current (rows, *shape) of the rows' classes (rows,)."""
        current = kernel.t()[classes].to(self.weight.dtype)
        if self.recurrent is not None:
            current = current.addmm(spikes, self.recurrent.t())
        return current.view(-1, *self.shape)

    def add_column(self, gain: float, generator: torch.Generator | None) -> None:
        """One more class, its projection drawn as those of the first ones were."""
        old = self.weight.detach()
        drawn = initial(tuple(old.shape), self.standardise, gain, generator).detach()
        more = torch.cat([old, drawn[:, :1].to(old)], 1)
        self.weight = nn.Parameter(more) if isinstance(self.weight, nn.Parameter) else more

    def accumulate(
        self, g: Tensor, classes: Tensor, spikes: Tensor, *, fused: bool = False
    ) -> None:
        """Add ∂S to ``.grad``, a column for each row of g (rows, *shape); never its recurrence."""
        if not self.weight.requires_grad:
            return
        columns = g.flatten(1).t().to(self.weight.dtype)
        if self.weight.grad is None or self.standardise:
            self.take(torch.zeros_like(self.weight).index_add_(1, classes, columns))
        else:  # these columns alone
            self.weight.grad.index_add_(1, classes, columns)


class Conv(Settles):
    """A 3×3 convolution with padding 1, pooled after the spike; never recurrent.

    Parameter: ``weight`` (channels, input channels, 3, 3).

    Args:
        in_shape: (C, H, W) of the input map.
        channels: output channels.
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
        neuron: LIF,
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
        self.neuron, self.standardise, self.compute = neuron, standardise, compute
        self.kind, self.size = ("none" if (kind != "aavg" and size == 1) else kind), size
        self.shape: Shape = (channels, *in_shape[1:])
        self.out_shape: Shape = (channels, *(self._pooled(n) for n in in_shape[1:]))
        self.channels, self.pixels = channels, math.prod(self.out_shape[1:])
        if not self.pixels:
            raise UserError(f"model.channels: pool {pool!r} leaves nothing of a map {in_shape[1:]}")
        self.weight = initial((channels, in_shape[0], 3, 3), standardise, gain, generator)

    def _pooled(self, n: int) -> int:
        return {"none": n, "aavg": self.size}.get(self.kind, n // self.size)

    def kernel(self) -> Tensor:
        """The weight that the forward pass uses, in the compute dtype."""
        weight = standardise(self.weight) if self.standardise else self.weight
        return weight.to(self.compute or weight.dtype, memory_format=torch.channels_last)

    def current(
        self, x: Tensor, spikes: Tensor, kernel: Tensor, *, packed: convolve.Packed | None = None
    ) -> Tensor:
        """Input current (rows, channels, H, W) from x (rows, C, H, W)."""
        fast = None if packed is None else convolve.forward(x, packed)
        if fast is not None:
            return fast
        return F.conv2d(x.to(kernel.dtype), kernel, padding=1).to(self.weight.dtype)

    def pack(self, kernel: Tensor) -> convolve.Packed | None:
        """The kernel for the matrix unit, where there is one that pays."""
        return convolve.pack(kernel) if self._matrix_unit(kernel) else None

    def _matrix_unit(self, like: Tensor) -> bool:
        """Whether there is a matrix unit, and inputs enough to fill it."""
        return self.compute is None and self.weight.shape[1] >= 16 and convolve.usable(like)

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

    def spread(self, delta: Tensor, spikes: Tensor, psi: Tensor, fused: bool = False) -> Tensor:
        """g = p*(δ) ⊙ ψ in place of ψ; ``fused`` in one pass where the native engine can."""
        if fused and self.kind == "max":
            return maps.spread(delta, spikes, psi, self.size)
        return psi.mul_(self.unpool(delta, spikes))

    def rows(self, out: Tensor) -> Tensor:
        """Maps (rows, *out_shape) as vectors (rows, features), in the order they lie in memory."""
        return out.permute(0, 2, 3, 1).flatten(1)

    def maps(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`."""
        channels, height, width = self.out_shape
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)

    def back(self, g: Tensor, kernel: Tensor) -> Tensor:
        """The transpose of `current`: g (rows, channels, H, W) → (rows, C, H, W)."""
        return F.conv_transpose2d(g.to(kernel.dtype), kernel, padding=1).to(self.weight.dtype)

    def accumulate(self, g: Tensor, x: Tensor, spikes: Tensor, *, fused: bool = False) -> None:
        """Add ∂W, the sum over rows and places, to ``.grad``: g (rows, channels, H, W)."""
        if not self.weight.requires_grad:
            return
        if fused and self._matrix_unit(x):
            gradient = convolve.gradient(g, x)
            if gradient is not None:
                return self.take(gradient)
        dtype = self.compute or self.weight.dtype
        gradient = torch.ops.aten.convolution_backward(
            g.to(dtype), x.to(dtype), self.weight.to(dtype), None,
            [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False],
        )[1].to(self.weight.dtype)  # fmt: skip
        self.take(gradient)


Layer = Dense | Conv


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
