"""The closed form against the autograd transcription of the published procedure."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some
from torch import Tensor

import golden
import spiking
import synaptrace as st
from oracle import Oracle
from synaptrace.rules.tp.contrast import temperature
from synaptrace.surrogate import SURROGATES

LAX = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def agree(
    net: st.Network,
    rule: st.TracesPropagation,
    events: Tensor,
    labels: Tensor,
    lengths: Tensor | None = None,
    tolerance: float = 1e-9,
) -> bool:
    """The same logits and gradients at every step; returns whether every layer spiked.

    A silent layer makes every comparison pass, so callers drop such networks or fail.
    """
    judge = Oracle(net, rule)
    named = golden.named(net, rule)
    rule.start(labels, lengths=lengths)
    judge.start(labels, lengths)
    for x in events:
        logits, expected = rule.step(x), judge.step(x)
        assert torch.allclose(logits, expected, rtol=1e-9, atol=1e-9)
        for name, parameter in named.items():
            grad, other = parameter.grad, judge.parameters[name].grad
            assert grad is not None, name
            if other is None:  # no spikes yet for a recurrent weight to see
                other = torch.zeros_like(grad)
            assert torch.isfinite(grad).all()
            off = ((grad - other).abs() / other.abs().clamp(min=1.0)).max()
            assert off <= tolerance, f"{name}: off by {off:.1e}"
    assert (min(judge.spikes) > 0) == bool((rule.rates > 0).all())
    return min(judge.spikes) > 0


@some.composite
def neurons(draw: some.DrawFn) -> st.LIF:
    return st.LIF(
        threshold=draw(some.sampled_from([0.1, 0.25, 0.5])),
        decay=draw(some.sampled_from([0.0, 0.5, 0.9, 1.0])),
        trace_decay=draw(some.sampled_from([0.0, 0.7, 1.0])),
        reset=draw(some.sampled_from(["soft", "hard"])),
        surrogate=SURROGATES[draw(some.sampled_from(sorted(SURROGATES)))](
            draw(some.sampled_from([0.5, 1.0, 3.0]))
        ),
    )


def rule_on(draw: some.DrawFn, net: st.Network, g: torch.Generator) -> st.TracesPropagation:
    return st.TracesPropagation(
        net,
        contrast=draw(some.sampled_from(["batch", "class"])),
        train_label=draw(some.booleans()),
        label_threshold=draw(some.sampled_from([None, 0.2])),
        eligibility=draw(some.booleans()),
        temperature=draw(some.sampled_from([1.0, 4.0, "auto"])),
        margin=draw(some.sampled_from([0.1, 1.0])),
        generator=g,
    )


@LAX
@given(some.data())
def test_random_dense_networks(data: some.DataObject) -> None:
    draw = data.draw
    g = torch.Generator().manual_seed(draw(some.integers(0, 2**31)))
    classes, batch = draw(some.integers(2, 5)), draw(some.integers(2, 7))
    hidden = draw(some.lists(some.integers(8, 16), min_size=1, max_size=3))
    net = st.mlp(
        10, hidden, classes, neuron=draw(neurons()), recurrent=draw(some.booleans()), gain=4.0,
        readout_decay=draw(some.sampled_from([0.0, 0.9, 1.0])),
        standardise=draw(some.booleans()), generator=g,
    ).double()  # fmt: skip
    rule = rule_on(draw, net, g)
    events = torch.bernoulli(torch.full((8, batch, 10), 0.6, dtype=torch.float64), generator=g)
    labels = torch.randint(0, classes, (batch,), generator=g)
    lengths = torch.randint(1, 9, (batch,), generator=g) if draw(some.booleans()) else None
    if lengths is not None:
        lengths[0] = 8
    assume(agree(net, rule, events, labels, lengths))


POOLS = [("none", 1), ("max", 1), ("max", 2), ("avg", 2), ("aavg", 2), ("max", 3)]


@LAX
@given(some.data())
def test_random_convolutional_networks(data: some.DataObject) -> None:
    draw = data.draw
    g = torch.Generator().manual_seed(draw(some.integers(0, 2**31)))
    classes, batch = draw(some.integers(2, 4)), draw(some.integers(2, 5))
    size = draw(some.tuples(some.integers(6, 9), some.integers(6, 9)))  # odd and oblong too
    plan = [
        (draw(some.integers(3, 5)), draw(some.sampled_from(POOLS)))
        for _ in range(draw(some.integers(1, 3)))
    ]
    for i in range(1, len(plan)):  # keep the later pools within what the first one leaves
        plan[i] = (plan[i][0], draw(some.sampled_from([("none", 1), ("aavg", 2), ("aavg", 1)])))
    net = st.conv(
        plan, in_shape=(2, *size), classes=classes, neuron=draw(neurons()), gain=4.0,
        standardise=draw(some.booleans()), generator=g,
    ).double()  # fmt: skip
    rule = rule_on(draw, net, g)
    shape = (5, batch, 2, *size)
    events = torch.bernoulli(torch.full(shape, 0.6, dtype=torch.float64), generator=g)
    assume(agree(net, rule, events, torch.randint(0, classes, (batch,), generator=g)))


@pytest.mark.parametrize("contrast", ["batch", "class"])
@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 2, 2]], ids=["one class", "one missing"])
@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_few_classes_few_pixels_one_step(
    contrast: str, labels: list[int], steps: int, size: tuple[int, int]
) -> None:
    g = torch.Generator().manual_seed(1)
    neuron = st.LIF(threshold=0.05, surrogate=st.ATan(2.0))
    net = st.conv([(6, ("max", 1)), (5, ("aavg", 1))], in_shape=(3, *size), classes=3,
                  neuron=neuron, gain=3.0, generator=g).double()  # fmt: skip
    rule = st.TracesPropagation(net, contrast=contrast, label_threshold=0.05, generator=g)
    events = torch.bernoulli(
        torch.full((steps, 3, 3, *size), 0.8, dtype=torch.float64), generator=g
    )
    assert agree(net, rule, events, torch.tensor(labels))
    hidden = net.layers[0].weight.grad
    assert hidden is not None
    assert bool(hidden.any()) == (contrast == "class" or len(set(labels)) > 1)


# The variant that learns in few updates, against the membrane's uncut path.

VARIANTS: list[dict[str, Any]] = [
    {"eligibility": True},
    {"temperature": 3.0},
    {"temperature": "auto", "margin": 0.2},
    {"eligibility": True, "temperature": 3.0, "contrast": "class", "train_label": True},
    {"eligibility": True, "temperature": "auto", "margin": 0.2, "contrast": "batch"},
    {
        "eligibility": True, "temperature": "auto", "margin": 0.2, "contrast": "class",
        "train_label": True, "label_threshold": 0.3,
    },
]  # fmt: skip
NETWORKS: dict[str, Callable[[], st.Network]] = {
    "dense": spiking.dense,
    "recurrent": lambda: spiking.dense(recurrent=True, neuron={"reset": "hard"}),
    "deep": lambda: spiking.dense(9, 8, 7, neuron={"decay": (0.5, 0.8, 0.9), "threshold": 0.2}),
    "deep, recurrent": lambda: spiking.dense(9, 8, recurrent=True),
    "standardised": lambda: spiking.dense(9, 8, standardise=True, gain=1.0),
    "convolutional": spiking.conv,
    "convolutional, standardised": lambda: spiking.conv(
        standardise=True, gain=1.0, neuron={"reset": "hard", "threshold": 0.3}
    ),
}


@pytest.mark.parametrize("ends", [None, [8, 3, 1, 8, 5]], ids=["whole", "lengths"])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_variant_follows_the_membrane(
    kind: str, options: dict[str, Any], ends: list[int] | None
) -> None:
    net = NETWORKS[kind]()
    g = torch.Generator().manual_seed(3)
    rule = st.TracesPropagation(net, **options, engine="torch", generator=g)
    lengths = None if ends is None else torch.tensor(ends)
    assert agree(net, rule, spiking.events(net), spiking.labels(), lengths, 1e-12)
    if options.get("temperature") == "auto":
        y = net.layers[0].points(rule.state["trace"][0])[rule.batch :]
        tau = temperature(rule.contrast, y)
        assert tau > 1, "a temperature at its floor tests nothing"
    for layer in net.layers:
        assert layer.weight.grad is not None
        assert layer.weight.grad.any()
