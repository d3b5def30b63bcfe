"""STSF: where feedback and derivatives are made to be a gradient's, it is the gradient."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace.network import Network
from synaptrace.rules import build
from synaptrace.rules.stsf import STSF
from test_ell import classifier_losses, easy
from test_stllr import NETWORKS, hidden
from unrolled import hidden_gradients, unrolled


def gate(distance: Tensor) -> Tensor:
    """The spike for its own derivative."""
    return (distance >= 0).to(distance.dtype)


def rule_on(net: Network, error: str) -> STSF:
    rule = build(net, "stsf", error=error, generator=torch.Generator().manual_seed(0)).double()
    for layer in net.layers:
        layer.neuron = replace(layer.neuron, surrogate=gate)
    return rule


def feedback(rule: STSF, i: int) -> Tensor:
    """F of layer i as the matrix (H, O) that it is."""
    return F.one_hot(rule.class_of[i], spiking.CLASSES) * rule.entry[i][:, None]


@pytest.mark.parametrize("how", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_local_errors_are_autograds_where_the_feedback_is_the_classifiers(
    kind: str, how: str
) -> None:
    net = NETWORKS[kind](how)
    rule = rule_on(net, "local")
    for i, classifier in enumerate(rule.classifiers):
        classifier.weight.data = feedback(rule, i).t().clone()
        classifier.neuron = replace(classifier.neuron, surrogate=torch.ones_like)
    easy(rule.classifiers)
    x = spiking.events(net)
    found = spiking.gradients(rule, x)
    found.pop("readout.weight")
    named = {**dict(net.named_parameters()), **dict(rule.named_parameters())}
    each = classifier_losses(net, x, rule.classifiers)
    expected = torch.autograd.grad(each.sum(), [named[name] for name in found])
    spiking.assert_same(found, dict(zip(found, expected, strict=True)))
    assert torch.allclose(rule.losses[:-1], each.mean(0))


@pytest.mark.parametrize("kind", NETWORKS)
def test_global_errors_come_through_the_feedback(kind: str) -> None:
    net = NETWORKS[kind]()
    rule, x, total = rule_on(net, "global"), spiking.events(net), 0.0
    found = spiking.gradients(rule, x)
    for step in unrolled(net, x, states=True, inputs=True):
        y = F.one_hot(spiking.labels(), spiking.CLASSES)
        e = ((step.logits.softmax(1) - y) / spiking.BATCH).detach()
        for i, out in enumerate(step.out):
            total = total + (out.flatten(1) * (e @ feedback(rule, i).t())).sum()
    spiking.assert_same(hidden(found), hidden_gradients(net, total))
    assert not list(rule.parameters())


def test_the_feedback_has_one_entry_a_neuron_and_classes_in_equal_shares() -> None:
    net = spiking.dense(400)
    rule = build(net, "stsf", generator=torch.Generator().manual_seed(0))
    assert torch.bincount(rule.class_of[0]).tolist() == [100] * 4
    bound = (4 / 400) ** 0.5
    assert 0.95 * bound < float(rule.entry[0].abs().max()) <= bound
    with pytest.raises(ValueError, match=r"rule\.error: 'odd'"):
        build(net, "stsf", error="odd")
