"""Where the native engine steps aside, and what it is given: one result, whatever runs it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import optimizer as everywhere

import spiking
import synaptrace as st
from synaptrace import inference
from synaptrace.data.loaders import Loaders
from synaptrace.errors import UserError
from synaptrace.native import convolve, library, maps
from synaptrace.rules.tp import execute, native
from synaptrace.rules.tp.contrast import Contrast
from synaptrace.rules.tp.presynaptic import Presynaptic

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(bool(library.why()), reason=f"no native engine: {library.why()}"),
]
Wrap = Callable[[torch.optim.Optimizer, list[int]], Any]


def rule_of(which: str, kind: type[st.TracesPropagation] = st.TracesPropagation, **o: Any) -> Any:
    net = spiking.dense(8, 7, recurrent=True)
    return kind(net, engine=which, generator=torch.Generator().manual_seed(0), **o)  # type: ignore[arg-type]


def grads(rule: st.TracesPropagation) -> list[Tensor]:
    return [p.grad for p in [*rule.net.parameters(), *rule.parameters()] if p.grad is not None]


def same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert len(ours) == len(theirs) > 0
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=1e-9, atol=1e-12)
    assert any(each.any() for each in theirs)


@pytest.mark.parametrize("contrast", ["batch", "class"])
@pytest.mark.parametrize("which", ["column", "expanded", "narrow"])
def test_labels_lie_as_they_like(contrast: str, which: str) -> None:
    labels = {
        "column": torch.stack([spiking.labels(), 3 - spiking.labels()], 1)[:, 0],
        "expanded": torch.tensor([[0, 1]]).expand(5, 2)[:, 1],
        "narrow": spiking.labels().to(torch.uint16),
    }[which]
    assert which == "narrow" or not labels.is_contiguous()
    made = []
    for each in (labels, labels.clone(memory_format=torch.contiguous_format).long()):
        rule = rule_of("native", contrast=contrast)
        rule.sequence(spiking.events(rule.net), each)
        made.append(rule)
    same(*map(grads, made))
    assert torch.equal(made[0].losses, made[1].losses)


def test_a_column_of_a_table_through_a_loader() -> None:
    table = torch.stack([torch.arange(8) % 3, torch.full((8,), 2)], 1)
    samples = [(torch.ones(4, 5), table[:, 0])]
    item = (torch.ones(8, 4, 5), table[:, 0].to(torch.int32), torch.full((8,), 4).to(torch.uint16))
    loader = torch.utils.data.DataLoader(samples, batch_size=None, collate_fn=lambda _: item)
    data = Loaders(train=loader, classes=list("abc"))
    ((_, labels, lengths),) = data.batches("train")
    assert lengths is not None
    assert labels.is_contiguous()
    assert labels.tolist() == (torch.arange(8) % 3).tolist()
    assert lengths.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64, torch.int16])
@pytest.mark.parametrize("which", ["torch", "native"])
def test_lengths_and_labels_of_any_integers(dtype: torch.dtype, which: str) -> None:
    made = []
    for kind in (dtype, torch.int64):
        rule = rule_of(which)
        ends = torch.tensor([8, 3, 1, 8, 5]).to(kind)
        rule.sequence(spiking.events(rule.net), spiking.labels().to(kind), lengths=ends)
        with torch.no_grad():
            assert rule.net(spiking.events(rule.net), ends).any()
        made.append(rule)
    same(*map(grads, made))
    with pytest.raises(UserError, match="labels"):
        made[0].start(spiking.labels().to(torch.complex64))


def test_moments_that_lie_otherwise_are_left_to_the_plain_path() -> None:
    made = []
    for which in ("auto", "torch"):
        rule = rule_of(which)
        parameters = list(rule.net.parameters())
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(2):
            rule.sequence(spiking.events(rule.net), spiking.labels(), optimizer=optimizer, every=2)
            for parameter in parameters:
                state = optimizer.state[parameter]
                state["exp_avg"] = state["exp_avg"].t().contiguous().t()
        made.append(parameters)
    same(*[[p.detach() for p in each] for each in made])


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(4, 4).t()[:2], torch.zeros(3).double(), torch.zeros(3, device="meta"),
        torch.zeros(1).expand(3), torch.zeros(3).to_sparse(),
    ],
)  # fmt: skip
def test_an_address_is_refused_where_numbers_lie_otherwise(wrong: Tensor) -> None:
    with pytest.raises(ValueError, match="engine: needs"):
        library.address(wrong, torch.float32)


def test_no_other_place_makes_addresses() -> None:
    for module in (native, inference, maps, convolve):
        with open(module.__file__ or "") as source:
            assert "data_ptr" not in source.read()


# What the user's optimizer does at a step is done at every step.


def wrapped(optimizer: torch.optim.Optimizer, calls: list[int]) -> Any:
    inner = optimizer.step

    @wraps(inner)  # which copies the marks of a schedule that has wrapped it
    def step(*arguments: Any) -> Any:
        calls.append(1)
        return inner(*arguments)

    optimizer.step = step  # type: ignore[method-assign]


def scheduled_then_wrapped(optimizer: torch.optim.Optimizer, calls: list[int]) -> Any:
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    wrapped(optimizer, calls)


def hooked(optimizer: torch.optim.Optimizer, calls: list[int]) -> Any:
    return optimizer.register_step_post_hook(lambda *_: calls.append(1))


def hooked_everywhere(optimizer: torch.optim.Optimizer, calls: list[int]) -> Any:
    return everywhere.register_optimizer_step_pre_hook(lambda *_: calls.append(1))


def of_the_class(optimizer: torch.optim.Optimizer, calls: list[int]) -> Any:
    inner = torch.optim.Adam.step

    def step(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        return inner(self, *arguments)

    patch = pytest.MonkeyPatch()
    patch.setattr(torch.optim.Adam, "step", step)
    return patch


@pytest.fixture
def cleanup() -> Iterator[list[Any]]:
    handles: list[Any] = []
    yield handles
    for handle in handles:
        getattr(handle, "remove", getattr(handle, "undo", None))()


@pytest.mark.parametrize(
    "wrap", [wrapped, scheduled_then_wrapped, hooked, hooked_everywhere, of_the_class]
)
def test_what_is_done_at_an_optimizer_s_step_is_done_at_each(
    wrap: Wrap, cleanup: list[Any]
) -> None:
    rule, calls = rule_of("auto"), list[int]()
    optimizer = torch.optim.Adam(rule.net.parameters())
    handle = wrap(optimizer, calls)
    cleanup += [] if handle is None else [handle]
    rule.sequence(spiking.events(rule.net), spiking.labels(), optimizer=optimizer, every=1)
    assert len(calls) == spiking.STEPS


def test_a_learning_rate_schedule_leaves_the_engine_in_place() -> None:
    rule = rule_of("native")
    optimizer = torch.optim.Adam(rule.net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for _ in range(2):
        rule.sequence(spiking.events(rule.net), spiking.labels(), optimizer=optimizer, every=1)
        assert "trace" not in rule.state
        schedule.step()  # warns, which is an error here, where no step was seen
    assert optimizer.param_groups[0]["lr"] == 1e-2 / 4
    assert {int(s["step"]) for s in optimizer.state.values()} == {2 * spiking.STEPS}


# Only the exact rule.


class OtherDistance(st.TracesPropagation):
    def label_distance(self) -> Tensor:
        return 3 * super().label_distance()


class OtherCounts(st.TracesPropagation):
    def log_counts(self, running: Tensor | None) -> Tensor:
        return super().log_counts(running) * 0.5


class OtherWeights(st.TracesPropagation):
    def sample_weight(self, running: Tensor | None) -> Any:
        return super().sample_weight(running) * 2


class OtherUpdate(st.TracesPropagation):
    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        self.net.readout.weight.grad.mul_(-1)  # type: ignore[union-attr]
        super()._update(optimizer)


@pytest.mark.parametrize("kind", [OtherDistance, OtherCounts, OtherWeights, OtherUpdate])
def test_a_subclass_is_heard(kind: type[st.TracesPropagation]) -> None:
    made = []
    for which in ("auto", "torch"):
        rule = rule_of(which, kind)
        optimizer = torch.optim.Adam(rule.net.parameters(), lr=1e-2)
        rule.sequence(spiking.events(rule.net), spiking.labels(), optimizer=optimizer, every=2)
        made.append([p.detach() for p in rule.net.parameters()])
    same(*made)
    with pytest.raises(UserError, match="of your own"):
        rule_of("native", kind).sequence(spiking.events(spiking.dense()), spiking.labels())


def test_a_method_put_on_an_instance_is_heard() -> None:
    made = []
    for which in ("auto", "torch"):
        rule = rule_of(which)
        plain = rule.label_distance
        rule.label_distance = lambda plain=plain: 3 * plain()
        current = rule.net.layers[1].current
        rule.net.layers[1].current = lambda *a, current=current, **k: 2 * current(*a, **k)
        rule.sequence(spiking.events(rule.net), spiking.labels())
        made.append(grads(rule))
    same(*made)


def test_a_network_s_own_step_is_heard_in_inference() -> None:
    net, x = spiking.dense(), spiking.events(spiking.dense())
    assert inference.forward(net, x) is not None
    net.fit = lambda x: 0 * x  # type: ignore[method-assign]
    assert inference.forward(net, x) is None
    with torch.no_grad():
        assert not net(x).any()


class OnlyRemembers(st.TracesPropagation):
    name = "remembers"

    def tensors(self) -> dict[str, list[Tensor]]:
        return super().tensors()


def test_a_subclass_that_changes_no_step_stays_fast() -> None:
    rule = rule_of("native", OnlyRemembers)
    rule.sequence(spiking.events(rule.net), spiking.labels())
    assert "trace" not in rule.state


@dataclass(frozen=True)
class Squared(Contrast):
    power: int = 1


@dataclass(frozen=True)
class Delayed(Presynaptic):
    delay: int = 0


@pytest.mark.parametrize(
    ("part", "same", "other"),
    [("contrast", Squared(), Squared(power=2)), ("presynaptic", Delayed(), Delayed(delay=1))],
)
def test_a_variant_that_has_no_mirror_is_left_to_the_plain_path(
    part: str, same: Any, other: Any
) -> None:
    rule = rule_of("auto")
    for chosen, by_steps in ((same, False), (other, True)):
        setattr(rule, part, chosen)
        rule.sequence(spiking.events(rule.net), spiking.labels())
        assert ("trace" in rule.state) == by_steps


@pytest.mark.parametrize("contrast", ["batch", "class"])
def test_more_class_rows_than_the_engine_takes(
    contrast: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "ROWS", 512)
    net = st.mlp(6, [8], 700, neuron=st.LIF(threshold=0.3))
    rule = st.TracesPropagation(net, contrast=contrast)  # type: ignore[arg-type]
    labels = torch.arange(600)
    rule.sequence(torch.ones(2, 600, 6), labels)
    assert rule.kept.work is None
    rule.engine = "native"
    with pytest.raises(UserError, match="at most 512 class rows"):
        rule.sequence(torch.ones(2, 600, 6), labels)
