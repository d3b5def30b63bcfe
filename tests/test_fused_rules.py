"""Rules whose neurons step on maps in the native engine: the same updates as on PyTorch."""

from typing import Any

import pytest
import torch

import synaptrace as st
from synaptrace import rules
from synaptrace.native import maps
from synaptrace.rules.ottt import OTTT
from synaptrace.seeds import generator

NEURON = st.LIF(threshold=0.3)
NAMES = {"eprop": {"kappa": 0.0}, "ottt": {}, "ell": {}, "decolle": {}}


def learned(name: str, options: dict[str, Any], **settings: Any) -> tuple[Any, list[torch.Tensor]]:
    draws = generator(0, "test")
    net = st.conv(
        [(6, ("max", 2)), (5, ("avg", 2))], in_shape=(2, 10, 10), classes=3, generator=draws,
        neuron=st.LIF(threshold=0.3, **settings),
    ).double()  # fmt: skip
    x = torch.bernoulli(torch.full((6, 4, 2, 10, 10), 0.2), generator=draws).double()
    rule = rules.build(net, name, generator=generator(0, "rule"), **options)
    same = torch.Generator().manual_seed(0)
    ends = torch.tensor([6, 3, 5, 6])
    logits = rule.sequence(x, torch.arange(4) % 3, lengths=ends, generator=same)
    trained = [*net.parameters(), *rule.parameters()]
    return rule, [logits, *(p.grad for p in trained if p.grad is not None)]


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("name", NAMES)
def test_updates_are_those_of_pytorch(
    name: str, reset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if maps.why():
        pytest.skip("the engine isn't built")
    rule, ours = learned(name, NAMES[name], reset=reset)
    assert rule.fused
    assert (rule.rates > 0.02).all()
    assert sum(float(each.abs().max()) > 0 for each in ours) >= 4
    monkeypatch.setattr(maps, "obstacle", lambda net: "none is built")
    plain, theirs = learned(name, NAMES[name], reset=reset)
    assert not plain.fused
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert torch.equal(rule.rates, plain.rates)


def test_a_rule_of_ones_own_sees_the_membrane() -> None:
    class Own(OTTT):
        name = "own"

    net = st.conv([(3, ("none", 1))], in_shape=(1, 5, 5), classes=2, neuron=NEURON)
    rule = Own(net)
    rule.start(torch.tensor([0, 1]))
    assert not rule.fused
