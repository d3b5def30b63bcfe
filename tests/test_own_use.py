"""What users bring: their own rules, dtypes and types of things; one line where it can't be."""

import sys
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import spiking
import synaptrace as st
import test_rules
import toy
from synaptrace import rules
from synaptrace.compare.rule_variants import Contender, contender
from synaptrace.cost import count, energy, memory_table, sizes
from synaptrace.data.loaders import Loaders
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.ottt import OTTT
from synaptrace.training.evaluate import evaluate


class Scaled(OTTT):
    """A contributed rule that says nothing of its options."""

    name = "scaled"

    def __init__(
        self, net: Network, factor: float = 1.0, *, sign: str = "plus",
        generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(net)
        self.factor = -factor if sign == "minus" else factor


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.NAMES, "scaled", "scaled.Scaled")
    monkeypatch.setitem(sys.modules, "synaptrace.rules.scaled", sys.modules[__name__])


@pytest.mark.usefixtures("scaled")
def test_a_contributed_rule_comes_back_with_its_options(tmp_path: Any) -> None:
    net, _ = toy.make()
    rule = Scaled(net, 0.25, sign="minus")
    assert rule.spec == {"name": "scaled", "factor": 0.25, "sign": "minus"}
    st.fit(net, rule, toy.Toy(), epochs=1, run=tmp_path, progress=False)
    _, again = st.load(tmp_path, rule=True)
    assert isinstance(again, Scaled)
    assert again.factor == -0.25


@test_rules.each_rule
def test_options_are_what_was_asked_for(name: str, options: dict[str, Any]) -> None:
    rule = rules.build(spiking.dense(), name, **options)
    expected = {k: p.default for k, p in rules.options(name).items() if k != "engine"} | options
    assert rule.options == expected


class Hearing(OTTT):
    """A contributed rule with tensors of its own, one of which is no trace."""

    name = "hearing"
    order = "B·I"
    purposes: ClassVar = {"heard": "records"}

    def _start(self, labels: torch.Tensor) -> None:
        super()._start(labels)
        inputs = (len(labels), *self.net.in_shape)
        average = self.net.readout.weight.new_zeros(inputs)
        self.state |= {"heard": [labels.new_zeros(inputs)], "average": [average]}

    def _step(self, x: torch.Tensor, running: torch.Tensor | None) -> torch.Tensor:
        self.state["heard"] = [self.state["heard"][0] + (x > 0)]
        self.state["average"][0].mul_(0.9).add_(x.abs().sqrt())
        return super()._step(x, running)


def test_the_memory_of_a_contributed_rule_is_counted() -> None:
    spec = st.mlp(30, [20], 4).spec
    one = Contender("hearing", "hearing", {}, {})

    def build(self: Contender, net: Network, generator: Any = None) -> Hearing:
        return Hearing(net)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Contender, "build", build)
        line = memory_table.line(spec, one, batch=6, steps=4)
    assert line.order == "B·I"
    assert line.unexplained == 0
    assert line.counted == line.measured
    ottt = count.count(spec, contender("ottt"), 6, 4)
    assert line.counted["records"] - ottt["records"] == 8 * 6 * 30
    assert line.counted["traces"] - ottt["traces"] == 4 * 6 * 30


def test_a_rule_whose_operations_nobody_counted_is_named() -> None:
    case = sizes.case(spiking.dense(), 4, 5)
    with pytest.raises(UserError, match="operations of the rule 'scaled'"):
        energy.learning("scaled", {}, case, 0.1, {})


@pytest.mark.parametrize("turned", ["float64", "bfloat16", "autocast"])
@test_rules.each_case
def test_a_network_may_be_turned_after_the_rule_was_made(
    name: str, options: dict[str, Any], kind: str, turned: str
) -> None:
    net = test_rules.network(kind).float()
    rule = test_rules.make(net, name, options)
    cast = turned == "autocast"
    if not cast:
        rule.sequence(spiking.events(net, steps=2).float(), spiking.labels())
        net.to(getattr(torch, turned))
        net.zero_grad()
        rule.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=cast):
        rule.sequence(spiking.events(net), spiking.labels())
    found = test_rules.gradients(rule)
    like = net.readout.weight
    assert found
    assert all(each.dtype == like.dtype and each.isfinite().all() for each in found.values())
    assert (rule.rates > 0.02).all()
    if cast:
        plain = test_rules.make(test_rules.network(kind).float(), name, options)
        plain.sequence(spiking.events(net), spiking.labels())
        if not any("seed" in key for key in rule.state):
            assert all(torch.equal(found[k], g) for k, g in test_rules.gradients(plain).items())


def test_a_network_of_two_dtypes_is_refused() -> None:
    net = spiking.dense(8, 7)
    rule = rules.build(net, "ottt")
    net.layers[1].float()
    with pytest.raises(UserError, match=r"network: layers\.1\.weight is torch\.float32"):
        rule.start(spiking.labels())


def test_wrong_types_are_said_in_one_line() -> None:
    net, rule = toy.make()
    loader = DataLoader(TensorDataset(torch.ones(4, 6, 12), torch.zeros(4, dtype=torch.int64)))
    wrong: Any = loader
    with pytest.raises(UserError, match=r"DataLoader is no synaptrace Dataset; wrap .*Loaders"):
        st.fit(net, rule, wrong, epochs=1, progress=False)
    with pytest.raises(UserError, match="the train loader is a TensorDataset; wrap it in a torch"):
        Loaders(train=loader.dataset, classes=["a"])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"neuron\.surrogate: 'atan' .*st\.ATan"):
        st.LIF(surrogate="atan")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"neuron\.surrogate: .*ATan.* is not a function"):
        st.LIF(surrogate=st.ATan)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"neuron\.surrogate: .*can't be named in a run"):
        st.mlp(3, [4], 2, neuron=st.LIF(surrogate=torch.ones_like))  # type: ignore[arg-type]
    own: Any = nn.Sequential(nn.Linear(3, 4))
    for name in rules.NAMES:
        with pytest.raises(UserError, match=r"net: a rule needs a synaptrace Network .*Sequential"):
            rules.build(own, name)
    with pytest.raises(UserError, match="net: a rule needs"):
        st.fit(own, rule, toy.Toy(), epochs=1, progress=False)
    with pytest.raises(UserError, match="labels: need a tensor"):
        rule.start([0, 1])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"labels: .*float32"):
        rule.start(torch.ones(3))


def test_workers_that_live_on_are_refused() -> None:
    data = TensorDataset(torch.ones(4, 6, 12), torch.zeros(4, dtype=torch.int64))
    live = DataLoader(data, num_workers=1, persistent_workers=True)
    with pytest.raises(UserError, match="the validation loader has persistent_workers=True"):
        Loaders(train=DataLoader(data), validation=live, classes=["a"])


def test_hooks_fire_as_documented() -> None:
    net, calls = spiking.dense(), list[str]()
    net.register_forward_hook(lambda *_: calls.append("network"))
    net.layers[0].register_forward_hook(lambda *_: calls.append("layer"))
    net(spiking.events(net))
    assert calls == ["network"]


def test_unsigned_labels_are_scored_as_others() -> None:
    net = spiking.dense()
    x, y, ends = spiking.events(net), spiking.labels(), torch.tensor([8, 3, 1, 8, 5])
    score = evaluate(net, [(x, y.to(torch.uint16), ends.to(torch.uint16))] * 2)
    expected = evaluate(net, [(x, y, ends)] * 2)
    assert torch.equal(score.confusion, expected.confusion)
    assert score.samples == 10
