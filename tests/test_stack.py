"""Layers in any order: what rules do on them, and their way to a file and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import spiking
import synaptrace as st
import test_bptt
import test_rules
from oracle import Oracle
from synaptrace import config, rules
from synaptrace.build import build
from synaptrace.errors import UserError
from synaptrace.ship.c.plan import plan as c_plan
from synaptrace.training import job

PLANS: dict[str, list[dict[str, Any]]] = {
    "conv, dense": [{"conv": 5, "pool": ["max", 2]}, {"dense": 7, "recurrent": True}],
    "dense, conv": [
        {"dense": 24, "neuron": {"threshold": 0.3}},
        {"conv": 4, "in_shape": [2, 4, 3], "pool": ["avg", 2]},
        {"dense": 6},
    ],
}
kinds = pytest.mark.parametrize("kind", PLANS)
NEURON = st.LIF(threshold=0.4, surrogate=st.ATan(2.0))


def network(kind: str, seed: int = 0) -> st.Network:
    """4 classes, on the maps of `spiking.conv`, in float64."""
    spec = {
        "kind": "layers", "layers": PLANS[kind], "in_shape": spiking.MAP, "readout_decay": 0.9,
        "classes": spiking.CLASSES, "neuron": NEURON.spec, "gain": 3.0,
    }  # fmt: skip
    return build(spec, torch.Generator().manual_seed(seed)).double()


def events(net: st.Network) -> torch.Tensor:
    return spiking.events(net) if len(net.in_shape) == 3 else spiking.events(net, batch=5)


def fits(name: str) -> bool:
    return test_rules.defined(name, {}, "conv")


@kinds
@pytest.mark.parametrize("name", [name for name in rules.NAMES if fits(name)])
def test_every_rule_learns_on_layers_in_any_order(name: str, kind: str) -> None:
    net = network(kind)
    x = events(net)
    found = spiking.gradients(rules.build(net, name, generator=torch.Generator().manual_seed(1)), x)
    learned = range(0 if name == "readout-only" else len(net.layers))
    assert found.keys() >= {f"layers.{i}.weight" for i in learned} | {"readout.weight"}
    assert all(each.isfinite().all() for each in found.values())


@kinds
def test_bptt_is_autograd_on_them(kind: str) -> None:
    net = network(kind)
    x = events(net)
    found = spiking.gradients(rules.build(net, "bptt"), x)
    named = dict(net.named_parameters())
    total = test_bptt.loss(net, x)
    expected = dict(zip(named, torch.autograd.grad(total, list(named.values())), strict=True))
    spiking.assert_same(found, expected)


@kinds
@pytest.mark.parametrize("block", [512, 2])
def test_tp_is_the_published_procedure_on_them(kind: str, block: int) -> None:
    net = network(kind)
    rule = st.TracesPropagation(net, generator=torch.Generator().manual_seed(1))
    rule.block = block
    judge = Oracle(net, rule)
    if kind == "dense, conv":
        net.layers[0].neuron = NEURON  # the judge knows one threshold for all
    rule.start(spiking.labels())
    judge.start(spiking.labels())
    for x in events(net):
        assert torch.allclose(rule.step(x), judge.step(x), rtol=1e-9, atol=1e-9)
    assert min(judge.spikes) > 0
    expected = {k: p.grad for k, p in judge.parameters.items() if k in dict(net.named_parameters())}
    spiking.assert_same({k: p.grad for k, p in net.named_parameters()}, expected)  # type: ignore[arg-type, misc]


@kinds
def test_a_run_of_them_comes_back(kind: str, tmp_path: Path) -> None:
    net = network(kind).float()
    x = torch.bernoulli(torch.full((30, 6, *net.in_shape), 0.4))
    data = st.TensorData(x, torch.arange(30) % 4)
    st.fit(net, st.TracesPropagation(net), data, epochs=1, run=tmp_path, progress=False)
    again = st.load(tmp_path)
    assert repr(again) == repr(net)
    assert again.spec == net.spec
    assert again.layers[0].neuron == net.layers[0].neuron
    frames = x.transpose(0, 1)
    assert torch.equal(again(frames), net(frames))
    with pytest.raises(UserError, match="--to c: convolutions and dense layers in one"):
        c_plan(net)


def test_a_network_of_layers_is_described_by_looking_at_them() -> None:
    other = st.LIF(threshold=0.3, decay=0.8, surrogate=st.Triangle(0.5))
    net = st.Network(
        [st.Conv((2, 16, 16), 8, pool=("max", 2)), st.Dense(512, 64, neuron=other, recurrent=True),
         st.Conv((1, 8, 8), 3)], 10, readout_decay=0.9,
    )  # fmt: skip
    assert net.in_shape == (2, 16, 16)
    assert net.classes == 10
    assert net.spec["layers"] == [
        {"conv": 8, "pool": ["max", 2]},
        {"dense": 64, "recurrent": True, "neuron": {
            "threshold": 0.3, "decay": 0.8, "surrogate": "triangle", "scale": 0.5}},
        {"conv": 3, "in_shape": [1, 8, 8]},
    ]  # fmt: skip
    again = build(net.spec)
    again.load_state_dict(net.state_dict())
    assert repr(again) == repr(net)
    x = torch.bernoulli(torch.full((4, 3, 2, 16, 16), 0.5))
    assert torch.equal(net(x), again(x))
    assert net.record(x)["layers.1.spikes"].any()
    dense = st.Network([st.Dense(12, 16)], st.Dense(16, 3))
    assert dense.predict(torch.ones(4, 2, 12)).shape == (2,)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: st.Network([], 3), "at least one hidden layer"),
        (lambda: st.Network([st.Dense(4, 5), st.Dense(6, 7)], 3), "layer 1 takes 6, .* are 5"),
        (lambda: st.Network([st.Dense(4, 5)], st.Dense(6, 3)), "readout takes 6, .* are 5"),
        (lambda: st.Network([torch.nn.Linear(4, 5)], st.Dense(5, 3), (4,)), "0 is a Linear, no"),
        (lambda: st.Network([st.Dense(4, 5, standardise=True)], st.Dense(5, 3)), "standardise has"),
        (lambda: st.Network([st.Dense(4, 5), st.Dense(5, 5, neuron=st.LIF(adaptation=0.1))], 3),
         "neuron.adaptation: is above 0 in all"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_named(make: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()


def test_a_settings_file_says_layers(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    layers = [{"conv": 8, "pool": ["max", 2]}, {"dense": 64, "recurrent": True}]
    file.write_text(yaml.safe_dump({"model": {"kind": "layers", "layers": layers}}))
    text = "[{conv: 8, pool: [max, 2]}, {dense: 64, recurrent: true}]"
    said = {"model.kind": "layers", "model.layers": text}
    data = st.data.load("digits")
    for resolved in (config.resolve(file=file), config.resolve(overrides=said)):
        net, _ = job.build(resolved, data)
        assert resolved.model["layers"] == layers
        assert [type(layer).__name__ for layer in net.layers] == ["Conv", "Dense"]
        assert [layer.shape for layer in net.layers] == [(8, 16, 16), (64,)]
    stored = tmp_path / "config.yaml"
    stored.write_text(yaml.safe_dump(resolved.model_dump()))
    assert config.resolve(file=stored).model == resolved.model


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("[]", r"model\.layers: "),
        ("[dense]", r"model\.layers: "),
        ("[{dens: 5}]", "layer 0: {'dens': 5} should be dense: NEURONS or conv: CHANNELS"),
        ("[{dense: 5, conv: 3}]", "layer 0: .* should be dense"),
        ("[{dense: 0}]", "layer 0: dense: 0 should be a whole number from 1"),
        ("[{dense: true}]", "layer 0: dense: True should be"),
        ("[{dense: 5, pool: [max, 2]}]", "layer 0: dense has no 'pool'; it has recurrent, neuron"),
        ("[{conv: 5, pool: max}]", "layer 0: pool 'max' should be"),
        ("[{conv: 5, pool: [median, 2]}]", "unknown pool"),
        ("[{dense: 60}, {conv: 5}]", r"layer 1: a convolution needs maps .* say in_shape"),
        ("[{dense: 60}, {conv: 5, in_shape: [1, 8, 8]}]", "layer 1: a convolution needs maps"),
        ("[{dense: 60, neuron: {beta: 1}}]", "layer 0: neuron {'beta': 1} should be some of"),
        ("[{dense: 60, neuron: {decay: 2}}]", r"neuron\.decay: 2 is not within"),
        ("[{dense: 1.0e+300}]", "layer 0: dense: 1e\\+300|beyond single precision"),
    ],
)  # fmt: skip
def test_wrong_layers_are_one_line(layers: str, said: str) -> None:
    data = st.TensorData(torch.ones(12, 3, 2, 6, 5), torch.arange(12) % 2)
    with pytest.raises(UserError, match=said):
        job.build(config.resolve(overrides={"model.kind": "layers", "model.layers": layers}), data)
