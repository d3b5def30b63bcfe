"""Local classifiers that need no weights: a layer's output against fixed waves, one a class.

    M[c, k] = sin(f_c k) or its sign,  k = 0 … d−1,  f_c from 50 to 512 in O equal steps

d is the length of r = A p(s): a map's adaptive average over 4×4 places in the first layer, 1×1 in
the last, 2×2 between, flattened; a dense layer's output as it is (our reading, as the sources have
convolutions only). Waves are computed in float64 (in float32 up to 0.2 % of the signs would be
others) and, where they aren't kept, whenever they are needed, some classes at a time.

Source: the code of arXiv 2405.15868 and 2502.01837.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synaptrace.network import Network

LOWEST, HIGHEST = 50.0, 512.0
BLOCK = 64
"""Classes whose waves are at hand at once."""


class Waves(nn.Module):
    """The classifier of hidden layer ``index``.

    Args:
        square: square waves, of ±1 (0 at k = 0), instead of sines.
        keep: hold M (classes, d), as a buffer that no checkpoint needs.
    """

    matrix: Tensor | None

    def __init__(self, net: Network, index: int, *, square: bool, keep: bool) -> None:
        super().__init__()
        layer = net.layers[index]
        self.shape, self.classes, self.square = layer.out_shape, net.classes, square
        self.size, self.length = places(net, index), length(net, index)
        self.register_buffer("matrix", None, persistent=False)
        if keep:
            self.matrix = torch.cat(list(self.waves(net.readout.weight)))

    def waves(self, like: Tensor) -> Iterator[Tensor]:
        """M (classes, d) in blocks of rows, kept or computed, as ``like`` in dtype and device."""
        if self.matrix is not None:
            yield from torch.split(self.matrix, BLOCK)
            return
        exact, device = torch.float64, like.device
        frequencies = torch.linspace(LOWEST, HIGHEST, self.classes, dtype=exact, device=device)
        places = torch.arange(self.length, dtype=exact, device=device)
        for some in torch.split(frequencies, BLOCK):
            yield self._rows(some, places, like.dtype)

    def _rows(self, frequencies: Tensor, places: Tensor, dtype: torch.dtype) -> Tensor:
        waves = torch.outer(frequencies, places).sin_()
        return (waves.sign_() if self.square else waves).to(dtype)

    def project(self, r: Tensor) -> Tensor:
        """r Mᵀ: (B, d) → (B, classes)."""
        return torch.cat([r @ rows.t() for rows in self.waves(r)], 1)

    def back(self, error: Tensor) -> Tensor:
        """error M: (B, classes) → (B, d)."""
        out = error.new_zeros(len(error), self.length)
        for some, rows in zip(torch.split(error, BLOCK, 1), self.waves(error), strict=True):
            out.addmm_(some, rows)
        return out

    def shrink(self, out: Tensor) -> Tensor:
        """r = A p(s): (B, *out_shape) → (B, d)."""
        if len(self.shape) == 3:
            out = F.adaptive_avg_pool2d(out, self.size)
        return out.flatten(1)

    def grow(self, delta: Tensor, out: Tensor) -> Tensor:
        """The transpose of `shrink` at ``out``: (B, d) → (B, *out_shape)."""
        if len(self.shape) != 3:
            return delta
        grown: Tensor = torch.ops.aten._adaptive_avg_pool2d_backward(
            delta.view(-1, self.shape[0], self.size, self.size), out
        )
        return grown


def places(net: Network, index: int) -> int:
    """The side of the average's map in hidden layer ``index``, where that has one."""
    return 4 if index == 0 else 1 if index == len(net.layers) - 1 else 2


def length(net: Network, index: int) -> int:
    """d of hidden layer ``index``."""
    shape = net.layers[index].out_shape
    return shape[0] * places(net, index) ** 2 if len(shape) == 3 else math.prod(shape)
