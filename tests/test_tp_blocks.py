"""Traces Propagation over its rows in blocks: the same numbers, in bounded work space."""

from typing import Any

import pytest
import torch

import spiking
import synaptrace as st
from synaptrace.compare.rule_variants import AS_PUBLISHED, contender
from synaptrace.cost import memory_table
from synaptrace.cost.meter import Meter
from synaptrace.native import maps
from synaptrace.network import Network
from synaptrace.rules.tp import blocks

NETWORKS = {
    "dense": lambda: spiking.dense(9, 7),
    "recurrent": lambda: spiking.dense(9, 7, recurrent=True),
    "hard": lambda: spiking.dense(9, 7, recurrent=True, neuron={"reset": "hard"}),
    "standardised": lambda: spiking.dense(9, 7, standardise=True, gain=1.0),
    "convolutional": spiking.conv,
}
OPTIONS: list[dict[str, Any]] = [
    {"contrast": "class"},
    {"contrast": "batch"},
    {"contrast": "class", "train_label": True},
    {"contrast": "batch", "train_label": True, "label_threshold": 0.2},
    {"contrast": "class", "eligibility": True, "temperature": "auto", "margin": 0.2},
    {"contrast": "batch", "eligibility": True, "temperature": 3.0, "train_label": True},
]


def tp(net: Network, block: int, **options: Any) -> st.TracesPropagation:
    options = {"engine": "torch"} | options
    rule = st.TracesPropagation(net, **options, generator=torch.Generator().manual_seed(5))
    rule.block = block  # type: ignore[misc]
    return rule


def trained(net: Network, block: int, options: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Gradients, logits, losses and rates of a sequence in blocks of ``block`` rows."""
    rule = tp(net, block, **options)
    batch = given.pop("batch", spiking.BATCH)
    found = spiking.gradients(rule, spiking.events(net, batch=batch), **given)
    return found | {"logits": rule.state["logits"][0], "losses": rule.losses, "rates": rule.rates}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_blocks_give_what_all_rows_at_once_give(kind: str, options: dict[str, Any]) -> None:
    """Four classes in blocks of three rows, two of them, or in the samples' two, in blocks of one;
    some samples end early, once all that are there of a class."""
    net = NETWORKS[kind]()
    lengths = torch.tensor([8, 3, 1, 8, 5])
    for block, given in ((3, {"lengths": lengths}), (2, {}), (1, {"batch": 2})):
        expected = trained(net, 100, options, **given)
        found = trained(net, block, options, **given)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12, msg=name)


def test_the_native_pieces_of_maps_are_used_in_blocks_too() -> None:
    reason = maps.obstacle(spiking.conv())
    if reason is not None:
        pytest.skip(reason)
    options = {"contrast": "class", "train_label": True}
    expected = trained(spiking.conv(), 100, options)
    found = trained(spiking.conv(), 3, options | {"engine": "auto"})
    spiking.assert_same(found, expected, 1e-10)


def test_a_sequence_can_be_taken_up_again_amid_its_steps() -> None:
    net = spiking.dense(9, 7, recurrent=True)
    x, expected = spiking.events(net), trained(net, 3, {"contrast": "class"})
    first, second = (tp(net, 3, contrast="class") for _ in range(2))
    net.zero_grad()
    first.start(spiking.labels())
    for frame in x[:4]:
        first.step(frame)
    saved = first.state_dict()
    first.step(x[0])  # works on its state in place: what was saved must not notice
    net.zero_grad()
    second.load_state_dict(saved)
    for frame in x[4:]:
        second.step(frame)
    assert torch.equal(second.finish(), expected["logits"])


def classifier(kind: str, classes: int, **options: Any) -> Network:
    neuron = st.LIF(threshold=0.3, **options)
    if kind == "convolutional":
        plan = [(8, ("max", 2)), (12, ("aavg", 2))]
        return st.conv(plan, in_shape=(2, 8, 8), classes=classes, neuron=neuron, gain=3.0)
    extra = {"standardise": True} if kind == "standardised" else {"gain": 3.0}
    return st.mlp(50, [100, 60], classes, neuron=neuron, recurrent=kind == "recurrent", **extra)


def peak(net: Network, batch: int, block: int = blocks.BLOCK, **options: Any) -> int:
    """The most bytes that a step makes beyond the state, once there are gradients."""
    rule = tp(net, block, contrast="class", **options)
    rule.start(torch.arange(batch))
    x = torch.ones(batch, *net.in_shape)
    rule.step(x)
    with Meter() as meter:
        rule.step(x)
    assert (rule.rates > 0).all()
    return meter.peak


@pytest.mark.parametrize("train_label", [False, True])
@pytest.mark.parametrize("kind", ["dense", "recurrent", "convolutional"])
def test_the_work_space_does_not_grow_with_classes(kind: str, train_label: bool) -> None:
    """But for six matrices of B rows: those of the loss."""
    batch, few, many = 4, 1000, 4000
    small, large = (peak(classifier(kind, n), batch, train_label=train_label) for n in (few, many))
    assert large - small <= 6 * 4 * batch * (many - few)
    assert large < 1.2 * small
    assert peak(classifier(kind, many), batch, many, train_label=train_label) > 6 * large


@pytest.mark.parametrize("label", ["tp", "tp:contrast=class", "tp:contrast=class:train_label=true"])
@pytest.mark.parametrize("kind", ["dense", "recurrent", "standardised", "hard", "convolutional"])
def test_the_count_knows_the_blocks(kind: str, label: str) -> None:
    batch = 600 if label == "tp" else 6
    if batch == 600 and kind == "convolutional":
        batch = 520
    spec = classifier(kind, 1300, reset="hard" if kind == "hard" else "soft").spec
    found = memory_table.line(spec, contender(label), batch, steps=2)
    assert found.measured is not None
    assert found.counted["work space"] == pytest.approx(found.measured["work space"], rel=0.02)
    assert found.difference == pytest.approx(0.0, abs=0.02)


def test_the_published_form_is_held_whole() -> None:
    spec = classifier("dense", 10).spec
    found = memory_table.line(spec, contender(AS_PUBLISHED), batch=blocks.BLOCK + 1, steps=2)
    assert found.difference == pytest.approx(0.0, abs=0.02)
