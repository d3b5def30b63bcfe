"""Surrogate derivatives: what stands for the derivative of a spike, a function of ξ = v − θ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

Derivative = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ATan:
    """σ'(ξ) = a / (1 + (πξ)²), ξ = v − θ.

    Takes ξ of any shape, in the membrane's unit, and gives σ' of that shape.
    ``scale``: a, without unit, the slope at the threshold.

    Source: Fang, Yu, Chen, Masquelier, Huang, Tian, ICCV (2021), arXiv 2007.05785.
    """

    scale: float = 1.0

    def __call__(self, distance: Tensor) -> Tensor:
        """σ' of v − θ, any shape."""
        one = torch.ones((), dtype=distance.dtype, device=distance.device)
        slope = torch.addcmul(one, distance, distance, value=math.pi**2).reciprocal_()
        return slope if self.scale == 1 else slope.mul_(self.scale)


@dataclass(frozen=True)
class FastSigmoid:
    """σ'(ξ) = 1 / (1 + a|ξ|)², ξ = v − θ.

    Takes ξ of any shape, in the membrane's unit, and gives σ' of that shape.
    ``scale``: a, without unit, how fast it falls off; the slope at the threshold is 1.

    Source: Zenke, Ganguli, Neural Comput. 30(6):1514 (2018), arXiv 1705.11146.
    """

    scale: float = 1.0

    def __call__(self, distance: Tensor) -> Tensor:
        """σ' of v − θ, any shape."""
        return distance.abs().mul_(self.scale).add_(1.0).square_().reciprocal_()


@dataclass(frozen=True)
class Triangle:
    """σ'(ξ) = a max(0, 1 − |ξ|), ξ = v − θ.

    Takes ξ of any shape, in the membrane's unit, and gives σ' of that shape.
    ``scale``: a, without unit, the slope at the threshold; it is 0 from |ξ| = 1 on.

    Source: Bellec, Salaj, Subramoney, Legenstein, Maass, NeurIPS (2018), arXiv 1803.09574.
    """

    scale: float = 1.0

    def __call__(self, distance: Tensor) -> Tensor:
        """σ' of v − θ, any shape."""
        return distance.abs().neg_().add_(1.0).clamp_(min=0.0).mul_(self.scale)


class Surrogate:
    """A surrogate of your own: derive from this, with a ``name`` and the two methods.

        class Gaussian(st.Surrogate):
            name = "gaussian"

            def __init__(self, scale: float = 1.0):
                self.scale = scale

            def __call__(self, distance):  # v − θ, any shape → σ' of that shape
                return torch.exp(-(distance / self.scale) ** 2)

    A run keeps the name and the scale; to open it again, the class has to exist. All rules and
    networks take it; the native engine doesn't know it, and PyTorch computes in its place.
    """

    name: ClassVar[str]
    """By which a run names it; none of `SURROGATES`."""
    scale: float
    """Its one number, without unit; what ``__init__`` takes."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, distance: Tensor) -> Tensor:
        """σ' of v − θ, any shape; ``distance`` itself may be overwritten."""
        raise NotImplementedError


SURROGATES: dict[str, type[ATan] | type[FastSigmoid] | type[Triangle]] = {
    "atan": ATan,
    "fast_sigmoid": FastSigmoid,
    "triangle": Triangle,
}
