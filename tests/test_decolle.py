"""DECOLLE: the exact gradient of each layer's own losses."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import spiking
from synaptrace.rules import build
from synaptrace.rules.decolle import DECOLLE
from synaptrace.seeds import generator
from unrolled import hidden_gradients, unrolled

NETWORKS = {
    "dense": lambda: spiking.dense(7, 6),
    "recurrent": lambda: spiking.dense(7, 6, recurrent=True),
    "conv": spiking.conv,
    "standardised": lambda: spiking.conv(standardise=True),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}, {"burn_in": 3}], ids=str)
def test_the_local_losses_are_differentiated_exactly(kind: str, options: dict[str, Any]) -> None:
    net = NETWORKS[kind]()
    rule = DECOLLE(net, amplitude=8.0, **{"dropout": 0.0} | options)
    x, y = spiking.events(net), F.one_hot(spiking.labels(), spiking.CLASSES).double()
    rule.start(spiking.labels(), generator=generator(0, "rule"))
    total, clipped = 0.0, 0
    steps = unrolled(net, x, inputs=True, resets=True, recurrence=True)
    for rule.time, step in enumerate(steps):
        for i, out in enumerate(step.out):
            seen = out.flatten(1) * rule._mask(i, out.flatten(1))
            local = seen @ rule.matrix[i].t() + rule.offset[i]
            clipped += int(((local - y).abs() > 1).sum())
            if rule.time >= rule.burn_in:
                total = total + F.smooth_l1_loss(local, y)
    assert 0 < clipped < y.numel() * len(x) * len(net.layers), "both halves of smooth-L1"
    expected = hidden_gradients(net, total)
    found = spiking.gradients(rule, x, generator=generator(0, "rule"))
    found.pop("readout.weight")
    spiking.assert_same(found, expected)
    if not rule.burn_in:
        assert rule.losses[:-1].sum() * len(x) == pytest.approx(total.item())


def test_dropout_hides_its_share_and_keeps_the_mean() -> None:
    net = spiking.dense(400)
    rule = DECOLLE(net, dropout=0.25)
    rule.start(spiking.labels(), generator=generator(0, "rule"))
    like = torch.zeros(5, 400, dtype=torch.float64)
    mask = rule._mask(0, like)
    assert mask.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert mask.mean() == pytest.approx(1.0, abs=0.05)
    rule.time = 1
    assert not torch.equal(rule._mask(0, like), mask)


def test_what_cannot_be_is_named() -> None:
    for option, value in (("dropout", 1.0), ("burn_in", -1)):
        with pytest.raises(ValueError, match=rf"rule\.{option}: {value}"):
            build(spiking.dense(), "decolle", **{option: value})
