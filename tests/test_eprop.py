"""e-prop: exact where its derivation is, the sums of the papers elsewhere."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace.network import Network
from synaptrace.rules import build
from synaptrace.rules.eprop import EProp
from unrolled import Step, discounted, unrolled

ADAPTIVE = {"adaptation": 0.3, "adaptation_decay": 0.8}


def exact(net: Network, x: Tensor) -> dict[str, Tensor]:
    return spiking.gradients(build(net, "bptt", detach_reset=True, detach_recurrent=True), x)


@pytest.mark.parametrize("alpha", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("neuron", [{}, ADAPTIVE], ids=["lif", "adaptive"])
@pytest.mark.parametrize("options", [{}, {"recurrent": True}, {"standardise": True}], ids=str)
def test_one_layer_is_exact(alpha: float, neuron: dict[str, Any], options: dict[str, Any]) -> None:
    net = spiking.dense(9, neuron=neuron, readout_decay=alpha, **options)
    x = spiking.events(net)
    spiking.assert_same(spiking.gradients(EProp(net), x), exact(net, x))


@pytest.mark.parametrize("neuron", [{}, ADAPTIVE], ids=["lif", "adaptive"])
def test_the_factorised_form_is_exact_without_memory_of_the_readout_only(
    neuron: dict[str, Any],
) -> None:
    net = spiking.dense(9, neuron=neuron, recurrent=True)
    x = spiking.events(net)
    found, expected = spiking.gradients(EProp(net, kappa=0.0), x), exact(net, x)
    assert not torch.allclose(found["layers.0.weight"], expected["layers.0.weight"], rtol=1e-2)


def test_a_convolution_is_exact_without_memory_of_the_readout() -> None:
    net = spiking.conv(readout_decay=0.0, channels=[(6, ("max", 2))])
    x = spiking.events(net)
    spiking.assert_same(spiking.gradients(EProp(net), x), exact(net, x))
    with pytest.raises(ValueError, match=r"rule\.name: eprop .* dense network"):
        EProp(spiking.conv())


@pytest.mark.parametrize("feedback", ["random", "adaptive", "symmetric"])
def test_the_papers_sums_in_a_deep_network(feedback: str) -> None:
    net, labels, kappa, alpha = spiking.dense(7, 6, recurrent=True), spiking.labels(), 0.6, 0.9
    rule = EProp(net, feedback, kappa, generator=torch.Generator().manual_seed(3))  # type: ignore[arg-type]
    x, steps, beta = spiking.events(net), [], net.layers[0].neuron.beta
    expected = {k: torch.zeros_like(p) for k, p in net.named_parameters()}
    if feedback == "adaptive":
        expected |= {k: torch.zeros_like(p) for k, p in rule.named_parameters()}
    for step in unrolled(net, x):
        steps.append(step)
        e = (step.logits.softmax(1) - F.one_hot(labels, spiking.CLASSES)) / len(labels)
        for i, layer in enumerate(net.layers):
            z = discounted([s.out[i] for s in steps], alpha)
            if feedback == "adaptive":
                expected[f"feedback.{i}"] += e.t() @ z
            if feedback != "symmetric":
                delta = e @ rule.feedback[i]
            else:
                delta = e @ net.readout.weight
                if i == 0:
                    delta = (delta * psi(net, step, 1)) @ net.layers[1].weight
            before = torch.zeros_like(step.out[i])
            sources = {
                "weight": [s.x[i] for s in steps],
                "recurrent": [before, *(s.spikes[i] for s in steps[:-1])],
            }
            for name, source in sources.items():
                trace = [
                    psi(net, steps[t], i)[:, :, None] * discounted(source[: t + 1], beta)[:, None]
                    for t in range(len(steps))
                ]
                total = torch.einsum("bi,bij->ij", delta, discounted(trace, kappa))
                expected[f"layers.{i}.{name}"] += total
            assert layer.recurrent is not None
        expected["readout.weight"] += e.t() @ z
    expected = {k: v.detach() for k, v in expected.items()}
    spiking.assert_same(spiking.gradients(rule, x), expected)


def psi(net: Network, step: Step, i: int) -> Tensor:
    neuron = net.layers[i].neuron
    return neuron.surrogate(step.v[i].detach() - neuron.threshold)


def test_adaptive_feedback_draws_towards_the_readout() -> None:
    net = spiking.dense(9)
    rule = EProp(net, "adaptive", generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD([*net.parameters(), *rule.parameters()], lr=1e-2)
    before = rule.feedback[0].detach() - net.readout.weight.detach()
    for _ in range(20):
        rule.sequence(spiking.events(net), spiking.labels(), optimizer=optimizer)
    after = rule.feedback[0].detach() - net.readout.weight.detach()
    assert torch.allclose(after, before * 0.99**20, atol=1e-12)


def test_locality_follows_the_feedback() -> None:
    net = spiking.dense()
    assert EProp(net).locality.weight_transport == "yes"
    assert EProp(net, "random").locality.weight_transport == "no"
    assert "F" in EProp(net, "random").locality.auxiliary
    assert EProp(net, "random").tensors().keys() == {"auxiliary"}


@pytest.mark.parametrize(
    ("options", "message"), [({"feedback": "none"}, r"rule\.feedback"), ({"kappa": 2.0}, r"kappa")]
)
def test_what_cannot_be_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EProp(spiking.dense(), **options)
