"""What Traces Propagation contrasts, an equation a function.

Z (B, pixels, channels) are a layer's traces of the samples, Y (C, pixels, channels) those of the
target stream's rows, each row a class; one pixel where the layer is dense.

    A   = Z Yᵀ / pixels / τ               `similarity`, `temperature`
    log n_c, n_c samples of class c       `log_counts`
    D   = ‖Y_c − Y_c'‖, mean over pixels   `trace_distance`; of the one-hot labels, `label_distance`
    P   = softmax(log n − D)              `target_distribution`
    E   = (softmax(A + log n) − P) / B    `contrast_error`, and the loss, CE(P, softmax(A))
    δᶻ  = E Y / pixels / τ,  δʸ = Eᵀ Z / pixels / τ          `errors`

D is taken one layer below, at the same step, and P is a constant to the gradient, as τ is.
`Contrast` holds what can be chosen; a variant is an edit here and its mirror in
native/src/tp/contrast.hpp, and until the mirror exists the native engine steps aside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from synaptrace.errors import UserError

SHIFT = 1e-9
"""Added to differences before squaring, as the published code does."""
EXACT = "donot_use_mm_for_euclid_dist"
"""How `torch.cdist` sums the squares themselves."""


@dataclass(frozen=True)
class Contrast:
    """What can be chosen of the contrast.

    Args:
        kind: "batch", with the classes present and their counts; "class", with every class, each
            counting once.
        temperature: τ, by which similarities are divided; "auto" takes it from the target rows.
        margin: M of "auto": about how far a sample whose trace equals its class's row is ahead.

    Raises:
        UserError: an unknown kind, or a temperature or margin that isn't positive.
    """

    kind: Literal["batch", "class"] = "batch"
    temperature: float | Literal["auto"] = 1.0
    margin: float = 10.0

    def __post_init__(self) -> None:
        if self.kind not in ("batch", "class"):
            raise UserError(f"rule.contrast: {self.kind!r} is neither 'batch' nor 'class'")
        for name in ("temperature", "margin"):
            value = getattr(self, name)
            if name == "temperature" and value == "auto":
                continue
            if isinstance(value, str) or not (math.isfinite(value) and value > 0):
                auto = " or 'auto'" if name == "temperature" else ""
                raise UserError(f"rule.{name}: {value!r} is not a positive number{auto}")


def similarity(z: Tensor, y: Tensor) -> Tensor:
    """A = Z Yᵀ / pixels, (B, C)."""
    return z.flatten(1) @ y.flatten(1).t() / z.shape[1]


def temperature(contrast: Contrast, y: Tensor) -> Tensor | float:
    """τ: a number, or max(1, ½ · mean over pairs of rows of ‖Y_c − Y_c'‖² / M).

    Half the mean square distance of pairs is the rows' variance, summed over neurons; in a
    convolution its mean over pixels. With one row τ is 1.
    """
    if contrast.temperature != "auto":
        return contrast.temperature
    if len(y) < 2:
        return 1.0
    return (y.var(0).sum() / y.shape[1] / contrast.margin).clamp(min=1.0)


def log_counts(contrast: Contrast, row: Tensor, running: Tensor, rows: int) -> Tensor:
    """log n_c of the samples that are ``running`` (B,), each in its ``row`` (B,); (C,).

    −∞ of a class that has none left. Zeros where every class counts once, and where all
    samples have ended.
    """
    counts = running.new_zeros(rows)
    if contrast.kind == "class":
        return counts
    counts.index_add_(0, row, running)
    return torch.where(counts.sum() > 0, counts.log(), 0.0)


def label_distance(lam: float, steps: int, classes: int, same: Tensor) -> Tensor:
    """D of the traces of the one-hot labels after ``steps`` steps: √2 Σ λᵏ apart.

    Args:
        lam: λ, the trace's decay.
        classes: all classes there are, O.
        same: ones where two rows are of one class, else zeros.
    """
    trace = steps if lam == 1 else (1 - lam**steps) / (1 - lam)
    apart, equal = math.sqrt(2) * trace, SHIFT * math.sqrt(classes)
    return apart + (equal - apart) * same


def trace_distance(traces: Tensor, asked: Tensor, size: int | None = None) -> Tensor:
    """D of traces (C, pixels, channels), from the rows ``asked`` to all: Euclidean over channels,
    mean over pixels.

    Rows come in blocks of as many as there are channels, so that no block is larger than the
    traces themselves; columns in blocks of ``size``, or all at once.
    """
    out = traces.new_empty(len(asked), len(traces))
    columns = traces.transpose(0, 1)
    if traces.dtype in (torch.float16, torch.bfloat16):  # which `cdist` doesn't know
        columns = columns.float()
    size = size or len(traces)
    for first in range(0, len(asked), traces.shape[2]):
        rows = slice(first, first + traces.shape[2])
        near = columns[:, asked[rows]].add_(SHIFT)
        for start in range(0, len(traces), size):
            far = slice(start, start + size)
            each = torch.cdist(near, columns[:, far], compute_mode=EXACT)
            if each.dtype == out.dtype:
                torch.mean(each, 0, out=out[rows, far])
            else:
                out[rows, far] = each.mean(0)
    return out


def target_distribution(distance: Tensor, log_n: Tensor) -> Tensor:
    """P = row-softmax(log n − D): how alike the layer below holds the classes."""
    return (log_n - distance).softmax(1)


def contrast_error(
    a: Tensor, p: Tensor, log_n: Tensor, weight: Tensor | float
) -> tuple[Tensor, Tensor]:
    """E = (softmax(A + log n) − P) · weight (B, C), and the loss.

    ``weight`` is each sample's, (B, 1) or a number: 1/B, B the whole batch, and 0 where a sample
    has ended. (The loss is counted without log n, which no weight changes.)
    """
    log_probability = (a + log_n).log_softmax(1)
    error = (log_probability.exp() - p).mul_(weight)
    return error, cross_entropy(p, log_probability - log_n, weight)


def errors(e: Tensor, z: Tensor, y: Tensor) -> Tensor:
    """δᶻ and, below it, δʸ, (B + C, features)."""
    return torch.cat([sample_errors(e, y), target_errors(e, z)])


def sample_errors(e: Tensor, y: Tensor) -> Tensor:
    """δᶻ = E Y / pixels, (B, features)."""
    return e / y.shape[1] @ y.flatten(1)


def target_errors(e: Tensor, z: Tensor) -> Tensor:
    """δʸ = Eᵀ Z / pixels, (C, features)."""
    return (e / z.shape[1]).t() @ z.flatten(1)


def cross_entropy(target: Tensor, log_probability: Tensor, weight: Tensor | float) -> Tensor:
    """−Σ target log probability, rows by their ``weight``; a class of no sample adds nothing."""
    each = target * log_probability.nan_to_num(0.0, 0.0, 0.0) * weight
    return -each.sum()
