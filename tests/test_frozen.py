"""A frozen weight gets no gradient, under any rule, on any path."""

from typing import Any

import pytest
import torch

import spiking
import test_rules
from synaptrace import rules
from synaptrace.rules import Rule

pytestmark = pytest.mark.usefixtures("one_thread")


@test_rules.each_case
def test_each_frozen_weight_gets_none(name: str, options: dict[str, Any], kind: str) -> None:
    """Nor do the others notice, each parameter frozen in its turn."""
    expected = test_rules.learn(*test_rules.start(name, options, kind))
    for key in expected.keys() - {"logits"}:
        rule, x = test_rules.start(name, options, kind)
        test_rules.parameters(rule)[key].requires_grad_(False)
        found = test_rules.learn(rule, x)
        test_rules.assert_close(found, {k: v for k, v in expected.items() if k != key})


def trained(block: int, engine: str, kind: str, every: int, optimizer: Any) -> Rule:
    """TP with its label trained, but the readout and the label frozen; weights have moved."""
    net = spiking.conv(standardise=True) if kind == "conv" else spiking.dense(8, 7, recurrent=True)
    net.layers[0].requires_grad_(kind != "conv")
    g = torch.Generator().manual_seed(0)
    rule = rules.build(net, "tp", train_label=True, engine=engine, generator=g)
    rule.block = block  # type: ignore[attr-defined]
    for module in (net.readout, rule.label):
        module.requires_grad_(False)
    parameters = [*net.parameters(), *rule.parameters()]
    before = [p.detach().clone() for p in parameters]
    x = spiking.events(net)
    for _ in range(2):
        rule.sequence(x, spiking.labels(), optimizer=optimizer(parameters), every=every)
    for parameter, old in zip(parameters, before, strict=True):
        assert torch.equal(parameter, old) != parameter.requires_grad
        assert parameter.grad is None or not parameter.grad.any()
    assert (rule.rates > 0.02).all()
    return rule


@pytest.mark.parametrize("every", [1, 9])
@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize(("block", "engine"), [(512, "torch"), (2, "torch"), (512, "auto")])
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_a_frozen_readout_and_label_stay(
    block: int, engine: str, kind: str, every: int, optimizer: Any
) -> None:
    trained(block, engine, kind, every, optimizer)


def test_a_frozen_readout_does_not_decay_under_adaptive_feedback() -> None:
    net = spiking.dense(8)
    rule = rules.build(net, "eprop", feedback="adaptive")
    net.readout.requires_grad_(False)
    before = net.readout.weight.clone()
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()])
    rule.sequence(spiking.events(net), spiking.labels(), optimizer=optimizer)
    assert torch.equal(net.readout.weight, before)


def test_a_frozen_readout_and_label_stay_so_with_one_more_class() -> None:
    net = spiking.dense(8)
    rule = rules.build(net, "tp", train_label=True)
    for module in (net.readout, rule.label):  # type: ignore[attr-defined]
        module.requires_grad_(False)
    net.add_class()
    rule.add_class()
    assert not any(p.requires_grad for p in (*net.readout.parameters(), *rule.parameters()))
