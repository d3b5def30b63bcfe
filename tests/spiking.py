"""Small float64 networks that spike, events for them, and comparisons that a silent one fails."""

from typing import Any

import torch
from torch import Tensor

import synaptrace as st
from synaptrace.network import Network
from synaptrace.rules import Rule

STEPS, BATCH, INPUTS, CLASSES = 8, 5, 10, 4
MAP = (2, 6, 5)


def dense(*hidden: int, seed: int = 0, **options: Any) -> Network:
    """10 → hidden… → 4; neuron settings and `mlp`'s options by name."""
    neuron = st.LIF(**{"threshold": 0.4, "surrogate": st.ATan(2.0)} | options.pop("neuron", {}))
    g = torch.Generator().manual_seed(seed)
    options = {"gain": 3.0, "readout_decay": 0.9} | options
    net = st.mlp(INPUTS, hidden or (7,), CLASSES, neuron=neuron, generator=g, **options)
    return net.double()


def conv(seed: int = 0, **options: Any) -> Network:
    """2×6×5 → 5 channels, max 2 → 4 channels, average to 2×2 → 4 classes."""
    neuron = st.LIF(**{"threshold": 0.4, "surrogate": st.ATan(2.0)} | options.pop("neuron", {}))
    g = torch.Generator().manual_seed(seed)
    plan = options.pop("channels", [(5, ("max", 2)), (4, ("aavg", 2))])
    options = {"gain": 3.0, "readout_decay": 0.9} | options
    net = st.conv(plan, in_shape=MAP, classes=CLASSES, neuron=neuron, generator=g, **options)
    return net.double()


def events(net: Network, steps: int = STEPS, batch: int = BATCH, seed: int = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    shape = (steps, batch, *net.in_shape)
    return torch.bernoulli(torch.full(shape, 0.4, dtype=torch.float64), generator=g)


def labels(batch: int = BATCH) -> Tensor:
    return torch.arange(batch) * 3 % CLASSES


def gradients(rule: Rule, x: Tensor, **options: Any) -> dict[str, Tensor]:
    """What a sequence adds to every parameter's ``.grad``, by name; fails where a layer is mute."""
    rule.net.zero_grad()
    rule.zero_grad()
    rule.sequence(x, labels(x.shape[1]), **options)
    assert (rule.rates > 0.02).all(), "a silent network makes every comparison pass"
    assert (rule.rates < 0.98).all(), "so does a saturated one"
    named = [*rule.net.named_parameters(), *rule.named_parameters()]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def assert_same(
    found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9
) -> None:
    """Equal to ``tolerance`` relative to max(1, |gradient|), and nowhere all zero."""
    assert found.keys() == expected.keys() != set()
    for name, value in expected.items():
        assert value.any(), f"{name}: nothing to compare"
        off = ((found[name] - value).abs() / value.abs().clamp(min=1.0)).max()
        assert off <= tolerance, f"{name}: off by {off:.1e}"
