"""What every rule owes: the network's forward pass, lengths, resume, constant memory, learning."""

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import spiking
import toy
from synaptrace import rules
from synaptrace.network import Network
from synaptrace.rules import Rule
from synaptrace.seeds import generator
from synaptrace.training.loop import fit
from synaptrace.training.run import LAST, load, read_metrics

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "tp": [{"contrast": "class", "train_label": True}],
    "bptt": [{"truncate": 3}],
    "eprop": [{"feedback": "adaptive"}, {"kappa": 0.0}],
    "ostl": [{"complete": True, "kappa": None}, {"feedback": "random"}],
    "etlp": [{"probability": 0.5}],
    "stllr": [{"feedback": "dfa"}],
    "espp": [{"form": "sequence", "c_same": 0.02, "c_different": -0.01}],
    "stsf": [{"error": "global"}],
}
ALL = [(name, options) for name in rules.NAMES for options in ({}, *VARIANTS.get(name, []))]
LENGTHS = torch.tensor([8, 3, 1, 8, 5])


def network(kind: str) -> Network:
    if kind == "conv":
        return spiking.conv(standardise=True)
    return spiking.dense(8, 7, recurrent=True)


def make(net: Network, name: str, options: dict[str, Any]) -> Rule:
    """The rule, drawn alike every time."""
    return rules.build(net, name, generator=generator(0, "rule"), **options)


def defined(name: str, options: dict[str, Any], kind: str) -> bool:
    try:
        make(network(kind), name, options)
    except ValueError as error:
        if "use a dense network" in str(error):
            return False
        raise
    return True


CASES = [(*case, kind) for case in ALL for kind in ("recurrent", "conv") if defined(*case, kind)]
each_case = pytest.mark.parametrize(("name", "options", "kind"), CASES)
each_rule = pytest.mark.parametrize(("name", "options"), ALL)


def start(name: str, options: dict[str, Any], kind: str) -> tuple[Rule, Tensor]:
    """A rule that has seen one sequence, as some compare one with the one before; and events."""
    net = network(kind)
    rule, x = make(net, name, options), spiking.events(net)
    rule.sequence(x.flip(0), spiking.labels(), generator=generator(1, "draws"))
    net.zero_grad()
    rule.zero_grad()
    return rule, x


def learn(rule: Rule, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
    """The logits of a sequence, and every ``.grad`` after it."""
    draws = generator(2, "draws")
    logits = rule.sequence(x, spiking.labels(), lengths=lengths, generator=draws)
    return {"logits": logits, **gradients(rule)}


def parameters(rule: Rule) -> dict[str, torch.nn.Parameter]:
    return dict([*rule.net.named_parameters(), *rule.named_parameters()])


def gradients(rule: Rule) -> dict[str, Tensor]:
    return {k: p.grad.clone() for k, p in parameters(rule).items() if p.grad is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        off = (found[key] - value).abs().max()
        assert off <= 1e-11 * value.abs().max().clamp(min=1.0), f"{key}: off by {off:.1e}"


@each_case
def test_the_forward_pass_is_the_networks(name: str, options: dict[str, Any], kind: str) -> None:
    rule, x = start(name, options, kind)
    found = learn(rule, x)
    assert_close({"logits": found["logits"]}, {"logits": rule.net(x).detach()})
    assert (rule.rates > 0.02).all()
    assert rule.losses[-1] > 0
    hidden = {f"layers.{i}.weight" for i in range(2)}
    assert hidden & found.keys() == (hidden if name != "readout-only" else set())
    assert all(found[key].any() for key in found)


@each_case
def test_gradients_are_added(name: str, options: dict[str, Any], kind: str) -> None:
    expected = learn(*start(name, options, kind))
    rule, x = start(name, options, kind)
    for parameter in parameters(rule).values():
        parameter.grad = torch.ones_like(parameter)
    found = learn(rule, x)
    assert_close({k: found[k] - int(k != "logits") for k in expected}, expected)


@each_case
def test_what_lies_beyond_a_samples_end_changes_nothing(
    name: str, options: dict[str, Any], kind: str
) -> None:
    rule, x = start(name, options, kind)
    plain = learn(rule, x, LENGTHS)
    longer = torch.cat([x, torch.ones(3, *x.shape[1:], dtype=x.dtype)])
    for sample, end in enumerate(LENGTHS):
        longer[end:, sample] = math.nan
    assert_close(learn(start(name, options, kind)[0], longer, LENGTHS), plain)
    full = learn(start(name, options, kind)[0], x)
    assert not torch.allclose(full["logits"], plain["logits"])


@each_case
def test_a_batch_is_the_mean_of_its_samples(name: str, options: dict[str, Any], kind: str) -> None:
    if name == "decolle":
        options = {"dropout": 0.0}  # drawn for each sample of a batch
    rule, x = start(name, options, kind)
    if rule.locality.batch or rule.lasting:
        return  # its samples, or its sequences, see each other
    together = learn(rule, x, LENGTHS)
    rule.net.zero_grad()
    rule.zero_grad()
    for sample, end in enumerate(LENGTHS):
        one, draws = slice(sample, sample + 1), generator(2, "draws")
        logits = rule.sequence(x[:end, one], spiking.labels()[one], generator=draws)
        assert_close({"": logits}, {"": together["logits"][one]})
    alone = {k: grad / len(LENGTHS) for k, grad in gradients(rule).items()}
    assert_close({"logits": together["logits"], **alone}, together)


@each_case
def test_saved_amid_a_sequence_it_goes_on(name: str, options: dict[str, Any], kind: str) -> None:
    rule, x = start(name, options, kind)
    expected = learn(rule, x, LENGTHS)
    first, x = start(name, options, kind)
    first.start(spiking.labels(), steps=len(x), lengths=LENGTHS, generator=generator(2, "draws"))
    for frame in x[:4]:
        first.step(frame)
    if name == "bptt":
        with pytest.raises(ValueError, match="finish it first"):
            first.state_dict()
        return
    second = rules.build(first.net, **first.spec)
    second.load_state_dict(first.state_dict())
    for key, parameter in second.named_parameters():
        parameter.grad = first.get_parameter(key).grad
    for frame in x[4:]:
        second.step(frame)
    assert_close({"logits": second.finish(), **gradients(second)}, expected)


@each_case
def test_memory_does_not_grow_with_time(name: str, options: dict[str, Any], kind: str) -> None:
    rule, x = start(name, options, kind)
    rule.start(spiking.labels(), steps=30, generator=generator(2, "draws"))
    sizes = []
    for t in range(1, 31):
        rule.step(x[t % 8].clone())
        kept = [tensor for group in rule.tensors().values() for tensor in group]
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in kept))
        named = {id(tensor) for tensor in kept}
        assert all(id(tensor) in named for group in rule.state.values() for tensor in group)
        assert name == "bptt" or not any(t.requires_grad for g in rule.state.values() for t in g)
    grown = name == "bptt" and not options
    assert sizes[-1] > 5 * sizes[2] if grown else sizes[-1] == sizes[2]


@each_case
def test_float32_agrees_with_float64(name: str, options: dict[str, Any], kind: str) -> None:
    found = []
    for dtype in (torch.float64, torch.float32):
        rule = make(network(kind).to(dtype), name, options)
        found.append(learn(rule, spiking.events(rule.net).to(dtype)))
        kept = [t for group in rule.tensors().values() for t in group if t.is_floating_point()]
        assert {t.dtype for t in kept} == {t.dtype for t in found[-1].values()} == {dtype}
    assert_near = torch.testing.assert_close
    for key, value in found[0].items():
        assert_near(found[1][key].double(), value, rtol=1e-3, atol=1e-4, msg=key)


@each_case
def test_a_step_never_leaves_its_device(name: str, options: dict[str, Any], kind: str) -> None:
    """On the meta device, reading a value or mixing in a host tensor is an error."""
    rule = make(network(kind).to("meta"), name, options)
    if rule.locality.batch:
        return  # it reads once, at the start, which classes there are
    labels = torch.ones(4, dtype=torch.int64, device="meta")
    rule.start(labels, steps=2, lengths=labels)
    for _ in range(2):
        assert rule.step(torch.ones(4, *rule.net.in_shape, device="meta")).is_meta
    rule.finish()
    assert all(p.grad is None or p.grad.is_meta for p in parameters(rule).values())


@each_case
def test_frozen_weights_get_no_gradient(name: str, options: dict[str, Any], kind: str) -> None:
    rule, x = start(name, options, kind)
    layer = rule.net.layers[0]
    layer.requires_grad_(False)
    expected = learn(start(name, options, kind)[0], x)
    found = learn(rule, x)
    assert_close(found, {k: v for k, v in expected.items() if not k.startswith("layers.0")})


@each_rule
def test_it_learns(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    net, _ = toy.make()
    hidden = net.layers[0].weight.detach().clone()
    rule = make(net, name, options)
    summary = fit(net, rule, toy.Toy(), epochs=8, lr=3e-2, run=tmp_path, progress=False)
    first, *_, last = (line["losses"]["readout"] for line in read_metrics(tmp_path))
    assert last < 0.9 * first
    assert summary["test_accuracy_last"] > 0.5  # a third by chance
    trained = load(tmp_path / LAST).layers[0].weight
    assert torch.equal(trained, hidden) == (name == "readout-only")


@pytest.mark.parametrize("name", rules.NAMES)
def test_it_says_where_it_comes_from_and_what_it_keeps(name: str) -> None:
    kind, rule = rules.find(name), rules.build(spiking.dense(), name)
    text = sys.modules[kind.__module__].__doc__ or ""
    for part in ("Source: ", "Locality: ", "Memory between steps: "):
        assert f"\n{part}" in text, f"no {part!r}"
    assert kind.name == name
    assert rule.locality.weight_transport in ("no", "yes", "within the layer")
    assert rules.build(spiking.dense(), **rule.spec).spec == rule.spec
    how = {"engine"}  # which code does it, not what is done
    assert set(rule.options) == set(rules.options(name)) - how
