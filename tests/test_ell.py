"""ELL: the local spiking classifier's loss under autograd, for the layers and for the classifiers.

The same pass judges STSF, whose derivatives are others.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import spiking
from synaptrace.layers import Dense
from synaptrace.network import Network
from synaptrace.neuron import reset, spike
from synaptrace.rules import build
from test_stllr import NETWORKS
from unrolled import unrolled


def classifier_losses(net: Network, x: Tensor, classifiers: list[Dense]) -> Tensor:
    """Mean squares of the spikes of each layer's classifier off the label, (T, L)."""
    y = torch.nn.functional.one_hot(spiking.labels(), spiking.CLASSES)
    u: list[Tensor | float] = [0.0] * len(classifiers)
    losses, fired = [], [0.0] * len(classifiers)
    for step in unrolled(net, x, states=True, inputs=True):
        losses.append(torch.zeros(len(classifiers), dtype=x.dtype))
        for i, classifier in enumerate(classifiers):
            v = step.out[i].flatten(1) @ classifier.weight.t() + classifier.neuron.beta * u[i]
            spikes = spike(classifier.neuron, v)
            u[i] = reset(classifier.neuron, v, spikes).detach()
            fired[i] += spikes.mean().item() / len(x)
            losses[-1][i] = (spikes - y).square().mean()
    assert all(0.02 < rate < 0.98 for rate in fired), "a silent classifier is an easy one"
    return torch.stack(losses)


def easy(classifiers: list[Dense]) -> None:
    """Let classifiers spike in a network as small as these."""
    for classifier in classifiers:
        classifier.neuron = replace(classifier.neuron, threshold=0.05)


@pytest.mark.parametrize("how", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_autograd_of_the_local_loss(kind: str, how: str) -> None:
    net = NETWORKS[kind](how)
    rule = build(net, "ell", generator=torch.Generator().manual_seed(0)).double()
    easy(rule.classifiers)
    x = spiking.events(net)
    found = spiking.gradients(rule, x)
    found.pop("readout.weight")
    named = {**dict(net.named_parameters()), **dict(rule.named_parameters())}
    each = classifier_losses(net, x, rule.classifiers)
    expected = torch.autograd.grad(each.sum(), [named[name] for name in found])
    spiking.assert_same(found, dict(zip(found, expected, strict=True)))
    assert torch.allclose(rule.losses[:-1], each.mean(0))
    assert {"classifiers.0.weight", "classifiers.1.weight"} < found.keys()
