"""A step of a rule never waits for the device: nothing of a tensor is read in Python.

There is no accelerator here. A dispatch mode stands for one and counts what would make the
processor wait for it: reading a number (`item`, `bool`, `tolist`), a result whose shape hangs on
the data (`nonzero`, masks as indices, `unique`), a copy to another device.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import synaptrace as st
from synaptrace import rules
from synaptrace.errors import UserError
from synaptrace.seeds import generator
from synaptrace.training import parts, team
from synaptrace.training.loop import learn
from synaptrace.training.state import State

WAITS = {
    "_local_scalar_dense", "nonzero", "nonzero_static", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "equal", "is_nonzero", "repeat_interleave", "bincount", "allclose",
}  # fmt: skip


class Device(TorchDispatchMode):
    """Counts what waits for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        name = func.__name__.split(".")[0]
        masks = name.startswith(("index", "_index")) and any(
            isinstance(each, Tensor) and each.dtype in (torch.bool, torch.uint8)
            for given in args
            if isinstance(given, list | tuple)
            for each in given
        )
        moved = name == "_to_copy" and (kwargs or {}).get("device") is not None
        if name in WAITS or masks or moved:
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def counted(job: Callable[[], object]) -> Counter[str]:
    with Device() as device:
        job()
    return device.waits


def test_the_device_counts_what_waits() -> None:
    x = torch.arange(3.0)
    jobs: list[Callable[[], object]] = [
        x[0].item, lambda: bool(x.sum()), (x > 0).nonzero, lambda: x[x > 1], x.unique,
        lambda: torch.equal(x, x), lambda: x.to("meta"), x.tolist,
    ]  # fmt: skip
    assert all(counted(job) for job in jobs[:-1])
    assert not counted(lambda: x[torch.tensor([0, 1])].where(x[:2] > 0, x[1:]).sum())


def made(kind: str, **options: Any) -> tuple[st.Network, st.TracesPropagation, Tensor]:
    draws, neuron = generator(0, "test"), st.LIF(threshold=0.2)
    if kind == "conv":
        layers = [(4, ("max", 2)), (4, ("avg", 2))]
        net = st.conv(layers, in_shape=(2, 8, 8), classes=3, neuron=neuron, generator=draws)
    else:
        net = st.mlp(12, [10, 8], 3, neuron=neuron, recurrent=True, generator=draws)
    rule = st.TracesPropagation(net, engine="torch", generator=draws, **options)
    x = torch.bernoulli(torch.full((5, 6, *net.in_shape), 0.4), generator=draws)
    return net, rule, x


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"contrast": "class"},
        {"eligibility": True, "temperature": "auto"},
        {"train_label": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("ragged", [False, True])
def test_a_step_waits_for_nothing(kind: str, options: dict[str, Any], ragged: bool) -> None:
    net, rule, x = made(kind, **options)
    lengths = torch.tensor([5, 4, 3, 2, 5, 5]) if ragged else None
    rule.start(torch.arange(6) % 3, lengths=lengths)
    rule.step(x[0])
    assert not counted(lambda: [rule.step(each) for each in x[1:]])
    rule.finish()
    assert (rule.rates > 0.01).all()
    assert all(p.grad is not None for p in net.parameters())


def test_a_batch_waits_thrice_however_long_it_is() -> None:
    waits = []
    for steps in (2, 5):
        net, rule, x = made("dense")
        state = State(net, rule, 1e-3, None, {}, None)
        batch = parts.one((x[:steps], torch.arange(6) % 3, None))
        draws = torch.Generator().manual_seed(0)
        waits.append(counted(lambda: learn(state, batch, None, draws, team.Team())))  # noqa: B023
    assert waits[0] == waits[1]  # none for a step
    assert waits[0].total() == 3  # labels checked, classes present, figures


RULES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in rules.NAMES if name != "tp"),
    ("eprop", {"kappa": 0.0}), ("eprop", {"feedback": "adaptive"}), ("stllr", {"last": 3}),
    ("tess", {"regenerate": True}), ("espp", {"form": "sequence"}), ("stsf", {"error": "global"}),
    ("ostl", {"complete": True}), ("etlp", {"probability": 0.5}), ("bptt", {"truncate": 2}),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("name", "options"), RULES, ids=str)
def test_no_rules_step_waits(kind: str, ragged: bool, name: str, options: dict[str, Any]) -> None:
    net, _, x = made(kind)
    try:
        rule = rules.build(net, name, generator=generator(0, "rule"), **options)
    except UserError:
        assert kind == "conv"
        return
    lengths = torch.tensor([5, 4, 3, 2, 5, 5]) if ragged else None
    for _ in range(2):  # the second hears an echo of the first
        rule.start(torch.arange(6) % 3, steps=5, lengths=lengths, generator=generator(0, "draws"))
        rule.step(x[0])
        assert not counted(lambda: [rule.step(each) for each in x[1:]])
        rule.finish()
    assert (rule.rates > 0.01).all()
