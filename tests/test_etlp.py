"""ETLP: e-prop without a filter, told the label at teaching events."""

from typing import Any

import pytest
import torch

import spiking
from synaptrace.rules import build
from synaptrace.rules.eprop import EProp
from synaptrace.rules.etlp import ETLP
from synaptrace.seeds import generator

NETWORKS = {
    "recurrent": lambda: spiking.dense(7, 6, recurrent=True),
    "adaptive": lambda: spiking.dense(7, 6, recurrent=True, neuron={"adaptation": 0.3}),
    "conv": spiking.conv,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_with_the_error_for_its_signal_it_is_e_prop(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NETWORKS[kind]()
    x, rule = spiking.events(net), ETLP(net)
    before = spiking.gradients(rule, x)["layers.0.weight"]
    monkeypatch.setattr(ETLP, "_errors", lambda self, e, fired, _: self._instant(e, fired))
    expected = spiking.gradients(EProp(net, kappa=0.0), x)
    assert not torch.allclose(before, expected["layers.0.weight"])
    spiking.assert_same(spiking.gradients(rule, x), expected)


def steps(rule: ETLP, seed: int) -> list[Any]:
    """The hidden gradient of each step, None where there is none."""
    rule.start(spiking.labels(), generator=generator(seed, "rule"))
    found = []
    for x in spiking.events(rule.net):
        rule.net.zero_grad()
        rule.step(x)
        assert rule.net.readout.weight.grad is not None
        found.append(rule.net.layers[0].weight.grad)
    return found


def test_the_hidden_layers_learn_at_teaching_events_alone() -> None:
    net = spiking.dense(9, recurrent=True)
    always, sometimes = steps(ETLP(net), 0), [steps(ETLP(net, 0.5), seed) for seed in (0, 0, 1)]
    assert None not in always
    came = [[grad is not None for grad in each] for each in sometimes]
    assert came[0] == came[1] != came[2]
    assert {True, False} == set(came[0])
    # Another projection was drawn, but not another trace: all but the signal is the same.
    rule = ETLP(net, 0.5)
    full = ETLP(net)
    full.load_state_dict(rule.state_dict())
    for part, whole in zip(steps(rule, 0), steps(full, 0), strict=True):
        assert part is None or torch.equal(part, whole)


def test_how_often_teaching_events_come() -> None:
    net = spiking.dense(9)
    rule, events = ETLP(net, 0.1), 0
    for seed in range(50):
        events += sum(grad is not None for grad in steps(rule, seed))
    assert 20 < events < 60  # 400 steps: 40 ± 6


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"rule\.probability: 2"):
        build(spiking.dense(), "etlp", probability=2)
    with pytest.raises(ValueError, match="dense network"):
        build(spiking.conv(neuron={"adaptation": 0.1}), "etlp")
