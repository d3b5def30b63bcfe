"""BPTT: the gradient of the network's own forward pass, and of a smooth one by differences."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace import neuron as neurons
from synaptrace.network import Network
from synaptrace.neuron import LIF
from synaptrace.rules import build
from synaptrace.rules.bptt import BPTT

NETWORKS = {
    "dense": lambda reset: spiking.dense(7, 6, neuron={"reset": reset}),
    "recurrent": lambda reset: spiking.dense(7, 6, neuron={"reset": reset}, recurrent=True),
    "adaptive": lambda reset: spiking.dense(
        7, 6, neuron={"reset": reset, "adaptation": 0.2, "adaptation_decay": 0.8}
    ),
    "conv": lambda reset: spiking.conv(neuron={"reset": reset}),
    "standardised": lambda reset: spiking.conv(neuron={"reset": reset}, standardise=True),
}


def loss(net: Network, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The sum over steps of the cross-entropy, by the network's own streaming pass."""
    total, state = torch.zeros((), dtype=x.dtype), None
    for t, frame in enumerate(x):
        logits, state = net.step(frame, state)
        each = F.cross_entropy(logits, spiking.labels(x.shape[1]), reduction="none")
        total = total + (each if lengths is None else each * (t < lengths)).sum() / len(each)
    return total


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_autograd_through_the_forward_pass(kind: str, reset: str) -> None:
    net = NETWORKS[kind](reset)
    x, rule = spiking.events(net), BPTT(net)
    found = spiking.gradients(rule, x)
    assert rule.losses[-1] * len(x) == pytest.approx(loss(net, x).item())
    net.zero_grad()
    loss(net, x).backward()
    spiking.assert_same(found, {k: p.grad for k, p in net.named_parameters()})


@pytest.mark.parametrize("kind", ["recurrent", "conv"])
def test_central_differences_of_a_smooth_spike(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def smooth(neuron: LIF, v: Tensor) -> Tensor:
        angle = torch.atan(math.pi * (v - neuron.threshold))
        return neuron.surrogate.scale * (angle / math.pi + 0.5)

    monkeypatch.setattr(neurons, "spike", smooth)
    net = NETWORKS[kind]("soft")
    x, rule = spiking.events(net), BPTT(net)
    found = spiking.gradients(rule, x)
    for name, parameter in net.named_parameters():
        flat = parameter.detach().view(-1)
        for place in range(0, len(flat), max(1, len(flat) // 10)):
            values = []
            for shift in (1e-5, -1e-5):
                kept, flat[place] = flat[place].item(), flat[place] + shift
                rule.sequence(x, spiking.labels())
                values.append(rule.losses[-1].item() * len(x))
                flat[place] = kept
            difference = (values[0] - values[1]) / 2e-5
            assert found[name].view(-1)[place].item() == pytest.approx(difference, abs=1e-6)


@pytest.mark.parametrize("option", ["detach_reset", "detach_recurrent", "truncate"])
def test_options_leave_paths_out(option: str) -> None:
    net = NETWORKS["recurrent"]("soft")
    x = spiking.events(net)
    full = spiking.gradients(BPTT(net), x)
    part = spiking.gradients(BPTT(net, **{option: 3 if option == "truncate" else True}), x)
    assert torch.allclose(full["readout.weight"], part["readout.weight"]) == (option != "truncate")
    assert not torch.allclose(full["layers.0.weight"], part["layers.0.weight"])
    spiking.assert_same(spiking.gradients(BPTT(net, truncate=len(x)), x), full)


def test_truncation_is_a_sequence_of_graphs() -> None:
    net = spiking.dense(7, recurrent=True, standardise=True, neuron={"threshold": 0.1})
    x, labels, (total, state) = spiking.events(net), spiking.labels(), (0.0, None)
    for t, frame in enumerate(x):
        if t % 3 == 0 and state is not None:
            state = type(state)(
                *([v.detach() for v in each] for each in state[:2]), state[2].detach()
            )
        logits, state = net.step(frame, state)
        total = total + F.cross_entropy(logits, labels)
    total.backward()
    expected = {k: p.grad for k, p in net.named_parameters()}
    spiking.assert_same(spiking.gradients(BPTT(net, truncate=3), x), expected)


def test_an_update_within_the_sequence_cuts_there() -> None:
    x = spiking.events(spiking.dense())
    after = []
    for truncate in (None, 2):
        net = spiking.dense()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        BPTT(net, truncate).sequence(x, spiking.labels(), optimizer=optimizer, every=2)
        after.append(list(net.parameters()))
    assert all(map(torch.equal, *after))


def test_memory_grows_by_the_input_and_two_numbers_a_neuron_and_is_let_go() -> None:
    net = spiking.dense(7, 6, recurrent=True)
    rule, sizes = BPTT(net), []
    rule.start(spiking.labels())
    for frame in spiking.events(net):
        rule.step(frame.clone())
        sizes.append(sum(t.numel() for t in rule.tensors()["graph"]))
    grown = {(after - before) // spiking.BATCH for before, after in pairwise(sizes[1:])}
    assert grown == {spiking.INPUTS + 2 * (7 + 6) + spiking.CLASSES}
    with pytest.raises(ValueError, match="finish it first"):
        rule.state_dict()
    logits = rule.finish()
    assert "graph" not in rule.tensors()
    assert not any(t.requires_grad for group in rule.tensors().values() for t in group)
    assert not logits.requires_grad
    rule.state_dict()


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"rule\.truncate: 0"):
        build(spiking.dense(), "bptt", truncate=0)
