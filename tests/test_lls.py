"""LLS: its local loss under autograd, silent samples included."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace.network import Network
from synaptrace.rules import build
from test_stllr import NETWORKS, hidden
from test_tess import projections, shrunk
from unrolled import hidden_gradients, unrolled


def local_losses(net: Network, x: Tensor, square: bool) -> Tensor:
    """Each layer's loss at every step, (T, L)."""
    losses = []
    for step in unrolled(net, x, states=True, inputs=True):
        rs = [shrunk(net, i, out) for i, out in enumerate(step.out)]
        # A silent sample has no direction, and no error.
        rs = [F.normalize(torch.where(r.any(1, keepdim=True), r, r.detach())) for r in rs]
        matrices = projections([r.shape[1] for r in rs], square)
        pairs = zip(rs, matrices, strict=True)
        losses.append([F.cross_entropy(r @ m.t() / 0.5, spiking.labels()) for r, m in pairs])
    return torch.stack([torch.stack(each) for each in losses])


@pytest.mark.parametrize("wave", ["sine", "square"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_autograd_of_the_local_loss(kind: str, reset: str, wave: str) -> None:
    net = NETWORKS[kind](reset)
    x, rule = spiking.events(net), build(net, "lls", wave=wave)
    x[:, 0] = 0  # a silent sample
    found = hidden(spiking.gradients(rule, x))
    each = local_losses(net, x, wave == "square")
    spiking.assert_same(found, hidden_gradients(net, each.sum()))
    assert torch.allclose(rule.losses[:-1], each.mean(0))


def test_what_cannot_be_is_named() -> None:
    for option in ({"wave": "saw"}, {"temperature": 0.0}):
        with pytest.raises(ValueError, match=rf"rule\.{next(iter(option))}"):
            build(NETWORKS["dense"](), "lls", **option)
