"""OSTL and OSTTP: exact where their derivations are."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace.network import Network
from synaptrace.rules import build
from synaptrace.rules.ostl import OSTL
from synaptrace.rules.osttp import OSTTP
from unrolled import unrolled

RESETS = pytest.mark.parametrize("reset", ["soft", "hard"])


def network(reset: str, *hidden: int, **options: Any) -> Network:
    return spiking.dense(*hidden, neuron={"reset": reset, "threshold": 0.5}, **options)


def exact(net: Network, x: Tensor, **options: Any) -> dict[str, Tensor]:
    return spiking.gradients(build(net, "bptt", **options), x)


@RESETS
@pytest.mark.parametrize("standardise", [False, True])
def test_one_layer_without_recurrence_is_exact(reset: str, standardise: bool) -> None:
    net = network(reset, 9, readout_decay=0.0, standardise=standardise)
    x = spiking.events(net)
    spiking.assert_same(spiking.gradients(OSTL(net), x), exact(net, x))


@RESETS
@pytest.mark.parametrize("alpha", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("complete", [False, True])
def test_one_recurrent_layer_is_exact(reset: str, alpha: float, complete: bool) -> None:
    """Without H but for what goes through the recurrent weights, complete in full."""
    net = network(reset, 9, recurrent=True, readout_decay=alpha)
    x = spiking.events(net)
    expected = exact(net, x, detach_recurrent=not complete)
    spiking.assert_same(spiking.gradients(OSTL(net, complete=complete, kappa=None), x), expected)
    unfiltered = spiking.gradients(OSTL(net, complete=complete), x)
    same = torch.allclose(unfiltered["layers.0.weight"], expected["layers.0.weight"], rtol=1e-3)
    assert same == (alpha == 0.0)


@RESETS
@pytest.mark.parametrize("rule", ["symmetric", "random", "osttp"])
def test_the_papers_sums_in_a_deep_network(rule: str, reset: str) -> None:
    net, labels = network(reset, 7, 6, recurrent=True), spiking.labels()
    g, x = torch.Generator().manual_seed(3), spiking.events(net)
    learner = OSTTP(net, generator=g) if rule == "osttp" else OSTL(net, rule, generator=g)  # type: ignore[arg-type]
    if rule == "osttp":
        down = [*learner.projection.buffers()]
    elif rule == "random":
        down = [*learner.feedback.buffers()]
        assert not torch.equal(down[0], net.layers[1].weight)
    else:
        down = [net.layers[1].weight, net.readout.weight]
    y, beta = F.one_hot(labels, spiking.CLASSES).double() / len(labels), net.layers[0].neuron.beta
    theta, hard = net.layers[0].neuron.threshold, reset == "hard"
    found: dict[str, Any] = {}
    trace, carried = {}, [torch.zeros(len(labels), n).double() for n in (7, 6)]
    spikes = [torch.zeros(len(labels), n).double() for n in (7, 6)]
    for step in unrolled(net, x):
        psi = [net.layers[i].neuron.surrogate(step.v[i] - theta) for i in (0, 1)]
        if rule == "osttp":
            delta = [y @ down[0], y @ down[1]]
        else:
            top = (step.logits.softmax(1) / len(labels) - y) @ down[1]
            delta = [(top * psi[1]) @ down[0], top]
        for i in (0, 1):
            for name, source in (("weight", step.x[i]), ("recurrent", spikes[i])):
                key = f"layers.{i}.{name}"
                trace[key] = carried[i][:, :, None] * trace.get(key, 0.0) + source[:, None]
                each = (delta[i] * psi[i])[:, :, None] * trace[key]
                found[key] = found.get(key, 0.0) + each.sum(0).detach()
            kept = 1 - step.spikes[i] - step.v[i] * psi[i] if hard else 1 - theta * psi[i]
            carried[i] = beta * kept
        spikes = step.spikes
    learned = spiking.gradients(learner, x)
    learned.pop("readout.weight")
    spiking.assert_same(learned, found)


@RESETS
def test_osttp_with_the_error_for_its_signal_is_ostl(
    reset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(reset, 9, recurrent=True)
    x, rule = spiking.events(net), OSTTP(net)
    before = spiking.gradients(rule, x)["layers.0.weight"]
    monkeypatch.setattr(OSTTP, "_errors", lambda self, e, fired, _: self._instant(e, fired))
    expected = spiking.gradients(OSTL(net), x)
    assert not torch.allclose(before, expected["layers.0.weight"])
    spiking.assert_same(spiking.gradients(rule, x), expected)


def test_what_cannot_be_is_named() -> None:
    for name in ("ostl", "osttp"):
        with pytest.raises(ValueError, match=rf"rule\.name: {name} keeps a trace for each synapse"):
            build(spiking.conv(), name)
    with pytest.raises(ValueError, match=r"rule\.feedback"):
        build(spiking.dense(), "ostl", feedback="adaptive")
    with pytest.raises(ValueError, match=r"rule\.kappa"):
        build(spiking.dense(), "ostl", kappa=1.5)
