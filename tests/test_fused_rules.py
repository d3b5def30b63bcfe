"""Rules whose steps the native engine does in part: the same updates as on PyTorch."""

from typing import Any

import pytest
import torch

import synaptrace as st
from synaptrace import rules
from synaptrace.native import library, maps, outer
from synaptrace.rules import compiled
from synaptrace.rules.ottt import OTTT
from synaptrace.seeds import generator

NEURON = st.LIF(threshold=0.3)
NAMES = {"eprop": {"kappa": 0.0}, "ottt": {}, "ell": {}, "decolle": {}}


def learned(name: str, options: dict[str, Any], **settings: Any) -> tuple[Any, list[torch.Tensor]]:
    draws = generator(0, "test")
    net = st.conv(
        [(6, ("max", 2)), (5, ("avg", 2))], in_shape=(2, 10, 10), classes=3, generator=draws,
        neuron=st.LIF(threshold=0.3, **settings),
    ).double()  # fmt: skip
    x = torch.bernoulli(torch.full((6, 4, 2, 10, 10), 0.2), generator=draws).double()
    rule = rules.build(net, name, generator=generator(0, "rule"), **options)
    same = torch.Generator().manual_seed(0)
    ends = torch.tensor([6, 3, 5, 6])
    logits = rule.sequence(x, torch.arange(4) % 3, lengths=ends, generator=same)
    trained = [*net.parameters(), *rule.parameters()]
    return rule, [logits, *(p.grad for p in trained if p.grad is not None)]


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("name", NAMES)
def test_updates_are_those_of_pytorch(
    name: str, reset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if maps.why():
        pytest.skip("the engine isn't built")
    rule, ours = learned(name, NAMES[name], reset=reset)
    assert rule.fused
    assert (rule.rates > 0.02).all()
    assert sum(float(each.abs().max()) > 0 for each in ours) >= 4
    monkeypatch.setattr(maps, "obstacle", lambda net: "none is built")
    plain, theirs = learned(name, NAMES[name], reset=reset)
    assert not plain.fused
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert torch.equal(rule.rates, plain.rates)


def test_a_rule_of_ones_own_sees_the_membrane() -> None:
    class Own(OTTT):
        name = "own"

    net = st.conv([(3, ("none", 1))], in_shape=(1, 5, 5), classes=2, neuron=NEURON)
    rule = Own(net)
    rule.start(torch.tensor([0, 1]))
    assert not rule.fused


DENSE: dict[str, dict[str, Any]] = {
    "ottt": {}, "eprop": {"kappa": 0.0}, "eprop random": {"feedback": "random"},
    "stllr": {"last": 3}, "tess": {"a_post": 1.0}, "lls": {}, "espp": {},
    "espp sequence": {"form": "sequence"}, "esdrtrl": {}, "ell": {}, "stsf": {}, "ostl": {},
    "osttp": {}, "etlp": {}, "decolle": {}, "readout-only": {},
}  # fmt: skip


def dense(label: str, loop: bool, ragged: bool, **settings: Any) -> tuple[Any, list[torch.Tensor]]:
    """Two batches of a rule, and the logits and gradients of the second."""
    draws, ends = generator(0, "test"), torch.tensor([6, 3, 5, 6, 1]) if ragged else None
    net = st.mlp(
        20, [17, 9], 3, generator=draws, neuron=st.LIF(threshold=0.3, **settings), recurrent=True
    ).double()
    rule = rules.build(net, label.split()[0], generator=generator(0, "rule"), **DENSE[label])
    for _ in range(2):
        net.zero_grad()
        rule.zero_grad()
        x = torch.bernoulli(torch.full((6, 5, 20), 0.2), generator=draws).double()
        same = torch.Generator().manual_seed(0)
        if loop:
            rule.start(torch.arange(5) % 3, steps=6, lengths=ends, generator=same)
            for each in x:
                rule.step(each)
            logits = rule.finish()
        else:
            logits = rule.sequence(x, torch.arange(5) % 3, lengths=ends, generator=same)
    trained = [p.grad for p in (*net.parameters(), *rule.parameters()) if p.grad is not None]
    return rule, [logits, rule.losses, rule.rates, *trained]


@pytest.mark.parametrize("level", ["plain", None])
@pytest.mark.parametrize(
    ("reset", "loop", "ragged"), [("soft", False, True), ("hard", True, False)]
)
@pytest.mark.parametrize("label", DENSE)
def test_dense_updates_are_those_of_pytorch(
    label: str, reset: str, loop: bool, ragged: bool, level: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if library.why():
        pytest.skip("the engine isn't built")
    with library.use(level or library.levels()[-1]):
        rule, ours = dense(label, loop, ragged, reset=reset)
    assert rule.ahead.forward is not None
    assert (rule.rates > 0.02).all()
    monkeypatch.setattr(compiled, "obstacle", lambda rule, x: "none is built")
    plain, theirs = dense(label, loop, ragged, reset=reset)
    assert plain.ahead.forward is None
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_a_dense_rule_of_ones_own_runs_on_pytorch() -> None:
    class Own(OTTT):
        name = "own dense"

    net = st.mlp(5, [4], 2, neuron=NEURON)
    for kind, done in ((Own, False), (OTTT, not library.why())):
        rule = kind(net)
        rule.sequence(torch.ones(2, 2, 5), torch.tensor([0, 1]))
        assert (rule.ahead.forward is not None) == done


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rows", "outputs", "inputs", "share"),
    [(1, 3, 20, 0.9), (5, 33, 70, 0.15), (16, 100, 61, 0.05), (4, 9, 8, 0.0)],
)
def test_a_product_with_spikes_is_that_of_matrices(
    rows: int, outputs: int, inputs: int, share: float, dtype: torch.dtype,
    each_level: str | None,
) -> None:  # fmt: skip
    if each_level is None:
        pytest.skip("the engine isn't built")
    draws = generator(0, "test")
    g = torch.randn(rows, outputs, generator=draws).to(dtype)
    grad = torch.randn(outputs, inputs, generator=draws).to(dtype)
    x = torch.bernoulli(torch.full((rows, inputs), share), generator=draws).to(dtype)
    x *= 1.5  # not all are ones
    few = 4 * int(x.count_nonzero()) <= x.numel()
    assert few == (share < 0.5)
    expected = grad + g.t() @ x if few else grad.clone()
    assert outer.add(grad, g, x) == few
    torch.testing.assert_close(grad, expected)
    assert not outer.add(grad, g, torch.ones_like(x))
    assert not outer.add(grad, g, x.repeat(1, 2)[:, ::2])


def test_many_inputs_that_are_not_zero_are_products_of_matrices() -> None:
    net = st.mlp(600, [4], 2, neuron=NEURON)
    for many, done in ((100, False), (2, not library.why())):
        rule = OTTT(net)
        rule.sequence(torch.ones(1, many, 600), torch.zeros(many, dtype=torch.int64))
        assert (rule.ahead.forward is not None) == done
