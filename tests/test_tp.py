"""Traces Propagation against the golden numbers."""

import pytest
import torch

import golden
import synaptrace as st


def close(value: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    error = (value - expected).abs() / expected.abs().clamp(min=1.0)
    assert error.max() <= tolerance, f"off by {error.max():.2e}"


@pytest.mark.parametrize("name", golden.NAMES)
def test_golden_gradients_at_every_step(name: str) -> None:
    settings, arrays = golden.load(name)
    net, rule = golden.build(settings, arrays)
    parameters = golden.named(net, rule)
    rule.start(arrays["labels"])
    for t, x in enumerate(arrays["x"]):
        close(rule.step(x), arrays[f"logits/{t}"], 1e-9)
        prefix = f"grad/{t}/"
        expected = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        assert expected
        for key, value in expected.items():
            close(parameters[key].grad, value, 1e-9)
        assert {k for k, p in parameters.items() if p.grad is not None} == set(expected)
        net.zero_grad()
        rule.zero_grad()
    assert (rule.rates > 0).all(), "a silent network makes every comparison pass"


@pytest.mark.parametrize("name", golden.NAMES)
@pytest.mark.parametrize("whole", [False, True], ids=["steps", "sequence"])
def test_golden_weights_after_adam_at_every_step(name: str, whole: bool) -> None:
    settings, arrays = golden.load(name)
    net, rule = golden.build(settings, arrays)
    rule.engine = "torch"  # the native one: test_engine.py
    parameters = golden.named(net, rule)
    optimizer = torch.optim.Adam(parameters.values(), lr=float(arrays["online_adam_lr"]))
    if whole:
        rule.sequence(arrays["x"], arrays["labels"], optimizer=optimizer, every=1)
    else:
        rule.start(arrays["labels"])
        for x in arrays["x"]:
            rule.step(x)
            optimizer.step()
            optimizer.zero_grad()
    for key, value in parameters.items():
        close(value.detach(), arrays[f"online_adam/{key}"], 1e-8)


def test_a_batch_of_one_has_no_contrast() -> None:
    net = st.mlp(4, [3], 2)
    with pytest.raises(ValueError, match="contrast='class'"):
        st.TracesPropagation(net).start(torch.tensor([0]))


def test_a_label_that_never_spikes_is_said_to() -> None:
    """Its input sums up to max S / (1 − β), and a silent target stream teaches nothing."""
    neuron = st.LIF(threshold=1.0, decay=0.77)
    g = torch.Generator().manual_seed(0)
    net = st.mlp(12, [40], 36, neuron=neuron, generator=g)
    rule = st.TracesPropagation(net, contrast="class", generator=g)
    (doubt,) = rule.doubts()
    reach = float(rule.label.weight.max()) / (1 - 0.77)
    assert f"reach {reach:.2g} and spike at 1" in doubt
    events = torch.ones(50, 8, 12)
    rule.sequence(events, torch.arange(8))
    assert rule.rates[0] > 0
    assert not net.layers[0].weight.grad.any()
    lower = st.TracesPropagation(net, contrast="class", label_threshold=reach / 2, generator=g)
    assert not lower.doubts()
    net.zero_grad()
    lower.sequence(events, torch.arange(8))
    assert net.layers[0].weight.grad.any()
