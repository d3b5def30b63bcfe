"""What a rule asks of the network and the labels that it is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.layers import Conv, Dense
from synaptrace.network import Network

if TYPE_CHECKING:
    from synaptrace.rules.base import Rule

Whole = tuple[Tensor, Tensor | None]
"""Labels (N,) and lengths (N,), or None, of a whole batch."""


def whole(what: str, numbers: Any, needed: str) -> Tensor:
    """``numbers`` as int64, in one piece. Raises UserError where they aren't whole numbers."""
    if not isinstance(numbers, Tensor):
        raise UserError(f"{what}: need a tensor, {needed}, got {type(numbers).__name__}")
    if numbers.is_floating_point() or numbers.is_complex():
        raise UserError(f"{what}: need {needed}, got {tuple(numbers.shape)} {numbers.dtype}")
    return numbers.to(torch.int64).contiguous()


def check_network(net: Any) -> None:
    """Raises UserError unless a rule can learn on ``net``."""
    if not isinstance(net, Network):
        raise UserError(
            f"net: a rule needs a synaptrace Network (st.mlp, st.conv or st.vgg makes one), "
            f"not a {type(net).__name__}"
        )
    for name, layer in [*enumerate(net.layers), ("readout", net.readout)]:
        if not isinstance(layer, Dense | Conv):
            raise UserError(
                f"net: layer {name} is a {type(layer).__name__}, no Dense or Conv layer"
            )


def check_samples(labels: Tensor, lengths: Tensor | None, classes: int) -> None:
    """Raises UserError unless labels (B,) are classes of the network and lengths (B,) fit them."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UserError(f"labels: {low} to {high} don't fit a network with {classes} classes")
    if lengths is not None and (lengths.shape != labels.shape or bool((lengths < 1).any())):
        raise UserError("lengths: need one number of steps, at least 1, for each sample")


def part_of(
    rule: Rule, labels: Tensor, lengths: Tensor | None, batch: Whole
) -> dict[str, list[Tensor]]:
    """The state by which a rule knows that its samples are a part of ``batch``.

    Raises:
        UserError: the rule takes no parts; labels or lengths don't fit, or the part's are no part.
    """
    if not rule.parts:
        raise UserError(
            f"rule.name: {rule.name}, as it is set, can't learn from parts of a batch, as its "
            "samples learn from more of it than labels; train in one process, without micro_batch"
        )
    given, ends = batch
    everyone, classes = whole("batch", given, "(N,) int64").to(labels.device), rule.classes
    if everyone.dim() != 1 or len(everyone) < len(labels):
        raise UserError(f"batch: {tuple(everyone.shape)} labels can't hold a part of {len(labels)}")
    if (ends is None) != (lengths is None):
        raise UserError("batch: lengths are needed of the whole batch and of its part, or of none")
    if ends is not None:
        ends = whole("batch", ends, "whole numbers of steps").to(labels.device)
    check_samples(everyone, ends, classes)
    if bool((labels.bincount(minlength=classes) > everyone.bincount(minlength=classes)).any()):
        raise UserError("batch: its labels don't hold those of the part")
    return {"whole_labels": [everyone], "whole_lengths": [] if ends is None else [ends]}
