"""ES-D-RTRL: exact for one step, exact for none before it, its sums written out between."""

import pytest
import torch
from torch.nn import functional as F

import spiking
from synaptrace.neuron import reset, spike
from synaptrace.rules import build
from test_stllr import NETWORKS, hidden
from unrolled import add, discounted, hidden_gradients, unrolled, weight_gradients


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
@pytest.mark.parametrize("kind", NETWORKS)
def test_one_step_is_backpropagation(kind: str, smoothing: float) -> None:
    net = NETWORKS[kind]()
    x = spiking.events(net, steps=1)
    found = spiking.gradients(build(net, "esdrtrl", smoothing=smoothing), x)
    expected = spiking.gradients(build(net, "bptt"), x)
    for silent in [name for name in found if name.endswith("recurrent")]:
        assert not found.pop(silent).any()  # no spikes yet for them to see
        expected.pop(silent, None)
    spiking.assert_same(found, expected)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_without_smoothing_every_step_is_exact_for_itself(kind: str, reset: str) -> None:
    net = NETWORKS[kind](reset)
    x = spiking.events(net)
    found = spiking.gradients(build(net, "esdrtrl", smoothing=0.0), x)
    steps = unrolled(net, x, states=True)
    total = sum(F.cross_entropy(step.logits, spiking.labels()) for step in steps)
    spiking.assert_same(hidden(found), hidden_gradients(net, total))


@pytest.mark.parametrize("how", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_sums_written_out(kind: str, how: str) -> None:
    net, a = NETWORKS[kind](how), 0.8
    x = spiking.events(net)
    found = hidden(spiking.gradients(build(net, "esdrtrl", smoothing=a), x))
    steps, expected = list(unrolled(net, x, states=True)), {}
    for i, layer in enumerate(net.layers):
        jacobians = []  # of each step's membrane to the next
        for step in steps:
            v = step.v[i].detach().requires_grad_()
            carried = layer.neuron.beta * reset(layer.neuron, v, spike(layer.neuron, v))
            jacobians.append(torch.autograd.grad(carried.sum(), v)[0])
        xs = [step.x[i] for step in steps]
        before = [torch.zeros_like(steps[0].spikes[i]), *(step.spikes[i] for step in steps)]
        for t, step in enumerate(steps):
            loss = F.cross_entropy(step.logits, spiking.labels())
            (g,) = torch.autograd.grad(loss, step.v[i], retain_graph=True)
            factor = torch.zeros_like(g)
            for k in range(t + 1):
                product = torch.ones_like(g)
                for j in range(k, t):
                    product = product * a * jacobians[j]
                factor += (1 - a) * product
            g = g * factor / (1 - a ** (t + 1))
            q, q_recurrent = discounted(xs[: t + 1], a), discounted(before[: t + 1], a)
            add(expected, weight_gradients(net, i, g, q, q_recurrent))
    spiking.assert_same(found, expected)


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"rule\.smoothing: 1"):
        build(NETWORKS["dense"](), "esdrtrl", smoothing=1.0)
