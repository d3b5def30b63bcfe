"""What a rule asks of the network and the labels that it is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.layers import Conv, Dense
from synaptrace.network import Network


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
