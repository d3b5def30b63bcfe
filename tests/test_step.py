"""A native step against the plain one: one result, whatever changes between two steps."""

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import synaptrace as st
from synaptrace.native import library
from synaptrace.neuron import SURROGATES
from synaptrace.rules.tp import execute
from synaptrace.stepping import Prepared

pytestmark = [
    pytest.mark.usefixtures("one_thread", "each_level"),
    pytest.mark.skipif(bool(library.why()), reason=f"no native engine: {library.why()}"),
]
Made = tuple[st.Network, st.TracesPropagation]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """One for each native step that is done."""
    done, run = list[int](), Prepared.run
    monkeypatch.setattr(Prepared, "run", lambda self: (done.append(1), run(self))[1])
    return done


def network(hidden: list[int], dtype: torch.dtype = torch.float64, **options: Any) -> st.Network:
    settings = {"threshold": 0.3, "decay": 0.85, "trace_decay": 0.8} | options.pop("neuron", {})
    g = torch.Generator().manual_seed(5)
    options = {"recurrent": True, "readout_decay": 0.9, "gain": 3.0} | options
    return st.mlp(37, hidden, 6, neuron=st.LIF(**settings), generator=g, **options).to(dtype)


def twins(hidden: list[int] | None = None, **options: Any) -> tuple[Made, Made]:
    """The same network and rule, whose steps are native and plain."""
    names = ("dtype", "neuron", "recurrent", "readout_decay")
    of_net = {k: options.pop(k) for k in names if k in options}
    made = []
    for which in ("auto", "torch"):
        net, g = network(hidden or [33, 20], **of_net), torch.Generator().manual_seed(6)
        made.append((net, st.TracesPropagation(net, engine=which, generator=g, **options)))  # type: ignore[arg-type]
    return made[0], made[1]


def events(steps: int, batch: int, seed: int = 0, density: float = 0.1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.bernoulli(
        torch.full((steps, batch, 37), density, dtype=torch.float64), generator=g
    )


def same(native: Made, plain: Made, tolerance: float = 1e-9) -> None:
    """All that the two have, and that every layer spikes."""
    ours, theirs = ({**net.state_dict(), **rule.state_dict()} for net, rule in (native, plain))
    assert ours.keys() == theirs.keys()
    for made, found in ((native, ours), (plain, theirs)):
        for module in made:
            grads = {f"{k}.grad": p.grad for k, p in module.named_parameters()}
            found.update({k: g for k, g in grads.items() if g is not None})
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype, name
        assert ours[name].shape == value.shape, name
        off = (ours[name] - value).abs() / value.abs().clamp(min=1.0)
        off = off.nan_to_num(0.0) if name.startswith("state.log_counts") else off  # −∞ − −∞
        assert not off.numel() or float(off.max()) <= tolerance, name
    assert (plain[1].rates > 0.01).all(), "a silent network makes every comparison pass"
    assert (plain[1].rates < 0.95).all(), "so does a saturated one"


def walk(made: tuple[Made, Made], x: Tensor, labels: Tensor, **start: Any) -> None:
    for _, rule in made:
        rule.start(labels, **start)
    for each in x:
        logits = [rule.step(each.to(net.readout.weight.dtype)) for net, rule in made]
        assert torch.allclose(*logits, rtol=1e-9 if x.dtype == torch.float64 else 1e-4)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"contrast": "class"},
    {"train_label": True, "label_threshold": 0.2},
    {"eligibility": True},
    {"eligibility": True, "temperature": "auto", "margin": 0.5, "train_label": True},
    {"temperature": 3.0, "contrast": "class", "neuron": {"reset": "hard"}, "recurrent": False},
    {"hidden": [50], "readout_decay": 1.0, "neuron": {"trace_decay": 1.0, "decay": 1.0,
                                                      "threshold": 0.4}},
]  # fmt: skip


@pytest.mark.parametrize("batch", [2, 9, 21])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_variants(options: dict[str, Any], batch: int, runs: list[int]) -> None:
    made = twins(**options)
    labels, lengths = torch.arange(batch) * 5 % 6, torch.arange(batch) % 6 + 3
    for seed, ends in enumerate([None, lengths]):  # the second adds to the gradients
        x = events(8, batch, seed) * (1 + torch.arange(8) % (1 + seed))[:, None, None]
        walk(made, x, labels, lengths=ends)
        same(*made)
    assert len(runs) == 16


@pytest.mark.parametrize("surrogate", sorted(SURROGATES))
@pytest.mark.parametrize("density", [0.02, 0.5, 1.0])
def test_one_sample_of_any_density(surrogate: str, density: float, runs: list[int]) -> None:
    threshold = max(0.3, 2 * density)
    neuron = {"surrogate": SURROGATES[surrogate](1.5), "threshold": threshold}
    made = twins([64], contrast="class", neuron=neuron, label_threshold=0.3)
    walk(made, events(30, 1, density=density), torch.tensor([3]))
    same(*made)
    assert len(runs) == 30


def test_float32_has_the_same_spikes() -> None:
    made = twins([40, 30], dtype=torch.float32)
    walk(made, events(20, 12).float(), torch.arange(12) % 6)
    (_, ours), (_, theirs) = made
    assert all(map(torch.equal, ours.state["spikes"], theirs.state["spikes"]))
    assert (theirs.rates > 0.01).all()
    for mine, other in zip(made[0][0].parameters(), made[1][0].parameters(), strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert float((mine.grad - other.grad).abs().max() / other.grad.abs().max()) <= 1e-5


def replace(net: st.Network, rule: st.TracesPropagation) -> None:
    net.layers[0].weight = torch.nn.Parameter(net.layers[0].weight.detach() * 1.1)


def move(net: st.Network, rule: st.TracesPropagation) -> None:
    net.layers[0].weight.data = net.layers[0].weight.data * 0.9


def turn(net: st.Network, rule: st.TracesPropagation) -> None:
    recurrent = net.layers[0].recurrent
    assert recurrent is not None
    recurrent.data = recurrent.data.t()


def in_place(net: st.Network, rule: st.TracesPropagation) -> None:
    net.readout.weight.data.mul_(1.2)
    rule.label.weight.data.mul_(1.2)


def freeze(net: st.Network, rule: st.TracesPropagation) -> None:
    net.layers[1].weight.requires_grad_(False)


def other_neuron(net: st.Network, rule: st.TracesPropagation) -> None:
    net.layers[1].neuron = st.LIF(threshold=0.25, decay=0.7)


def other_state(net: st.Network, rule: st.TracesPropagation) -> None:
    rule.state["membrane"][0] = rule.state["membrane"][0] * 0.5
    rule.state["trace"][1].data = rule.state["trace"][1] * 0.5
    rule.state = {name: list(each) for name, each in rule.state.items()}


def label_in_place(net: st.Network, rule: st.TracesPropagation) -> None:
    with torch.no_grad():
        assert rule.label.recurrent is not None
        rule.label.recurrent.mul_(-1.5)


def odd_gradient(net: st.Network, rule: st.TracesPropagation) -> None:
    weight = net.layers[0].weight
    assert weight.grad is not None
    weight.grad = weight.grad.t().contiguous().t()


def no_gradient(net: st.Network, rule: st.TracesPropagation) -> None:
    net.zero_grad()


def own_method(net: st.Network, rule: st.TracesPropagation) -> None:
    plain = rule.label_distance
    rule.label_distance = lambda: 2 * plain()  # type: ignore[method-assign]


def plain_steps(net: st.Network, rule: st.TracesPropagation) -> None:
    rule.engine = "torch"


def reload(net: st.Network, rule: st.TracesPropagation) -> None:
    saved = copy.deepcopy(rule.state_dict())
    rule.start(torch.tensor([1, 2]))
    rule.step(torch.zeros(2, 37, dtype=torch.float64))
    net.zero_grad()
    rule.load_state_dict(saved)


@pytest.mark.parametrize(
    "change",
    [replace, move, turn, in_place, label_in_place, freeze, other_neuron, other_state,
     odd_gradient, no_gradient, own_method, plain_steps, reload],
)  # fmt: skip
def test_what_changes_between_steps_is_noticed(change: Any, runs: list[int]) -> None:
    made = twins()
    walk(made, events(6, 9), torch.arange(9) % 6)
    for each in made:
        change(*each)
    for x in events(6, 9, 1):
        logits = [rule.step(x) for _, rule in made]
        assert torch.allclose(*logits, rtol=1e-9)
    same(*made)
    assert len(runs) >= 6


def test_steps_of_either_kind_and_sequences_follow_each_other() -> None:
    made = twins(eligibility=True)
    labels = torch.arange(9) % 6
    for seed in range(3):
        for i, (net, rule) in enumerate(made):
            optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-3)
            rule.sequence(events(6, 9, seed), labels, optimizer=optimizer, every=2)
            rule.start(labels)
            for t, x in enumerate(events(8, 9, seed)):
                if not i:
                    rule.engine = "auto" if t % 3 else "torch"
                rule.step(x)
                if t % 2:
                    optimizer.step()
                    optimizer.zero_grad()
            rule.finish()
    same(*made)


def test_the_labels_weights_are_read_anew_in_every_batch(runs: list[int]) -> None:
    """Their tiles are kept within a sequence alone; memory goes on from one to the next."""
    made, places = twins(contrast="class", label_threshold=0.2), set[int]()
    for seed, batch in enumerate([9, 9, 4, 9]):
        for _, rule in made:
            assert rule.label.recurrent is not None
            rule.label.recurrent.data.mul_(1 + seed / 10)  # which PyTorch doesn't count
        walk(made, events(8, batch, seed), torch.arange(batch) % 6)
        same(*made)
        spikes = made[1][1].state["spikes"][0][batch:]
        assert 0.01 < float(spikes.mean()) < 0.95
        kept = made[0][1].kept.step
        assert kept is not None
        places.add(kept.work.data_ptr())
    assert len(places) < 4
    assert len(runs) == 32


@pytest.mark.parametrize("density", [0.01, 0.03, 0.06, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("value", [1.0, 0.7])
def test_a_batch_of_any_density(density: float, value: float, runs: list[int]) -> None:
    """From numbers one by one to whole tiles of a matrix, of ones and of other numbers."""
    made = twins([41], neuron={"threshold": max(0.12, density)})
    walk(made, value * events(6, 14, density=density), torch.arange(14) % 6)
    same(*made)
    assert len(runs) == 6


def test_copies_and_pickles_go_on_alike() -> None:
    (_, rule), _ = twins()
    rule.start(torch.arange(9) % 6)
    x = events(8, 9)
    for each in x[:4]:
        rule.step(each)
    for other in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        there = copy.deepcopy(rule)
        for each in x[4:]:
            logits = other.step(each)
            assert torch.equal(there.step(each), logits)
        assert other.kept.step is not rule.kept.step
    assert rule.time == 4


def test_who_counts_operations_sees_them(runs: list[int]) -> None:
    class Count(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.seen += "mm" in str(function)
            return function(*args, **(kwargs or {}))

    (net, rule), _ = twins()
    rule.start(torch.arange(9) % 6)
    with Count() as count, torch.no_grad():
        rule.step(events(1, 9)[0])
        net.step(events(1, 9)[0])
    assert count.seen > 6
    assert not runs


@pytest.mark.parametrize(
    "options", [{"standardise": True}, {"neuron": {"adaptation": 0.1}}], ids=str
)
def test_what_a_step_has_not_is_left_to_pytorch(options: dict[str, Any], runs: list[int]) -> None:
    net = network([20], **options)
    with torch.no_grad():
        net.step(events(1, 3)[0])
    if "standardise" in options:
        rule = st.TracesPropagation(net)
        rule.start(torch.arange(3))
        assert execute.natively(rule, events(1, 3)[0]) is None
        rule.step(events(1, 3)[0])
    assert not runs


@pytest.mark.parametrize("batch", [1, 4, 30])
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_inference_step_by_step(batch: int, reset: str, runs: list[int]) -> None:
    net = network([40, 21], neuron={"reset": reset})
    x, spikes = events(12, batch), 0.0
    with torch.no_grad():
        state, plain = None, None
        for t, each in enumerate(x):
            if t == 6:
                net.layers[0].weight.data = net.layers[0].weight.data * 1.1
            before = None if state is None else copy.deepcopy(state)
            kept = state
            logits, state = net.step(each, state)
            with torch.enable_grad():
                theirs, plain = net.step(each, plain)
            assert torch.allclose(logits, theirs, rtol=1e-9)
            for ours, other in zip(state, plain, strict=True):
                assert all(
                    torch.allclose(a, b, rtol=1e-9) for a, b in zip(ours, other, strict=True)
                )
            if before is not None and kept is not None:  # the state before is as it was
                assert torch.equal(before.logits, kept.logits)
                assert all(map(torch.equal, before.membrane, kept.membrane))
            spikes += float(state.spikes[-1].mean())
    assert 0.1 < spikes < 11
    assert len(runs) == 12


def test_a_state_of_another_batch_is_refused_as_ever() -> None:
    net = network([20])
    with torch.no_grad():
        _, state = net.step(events(1, 3)[0])
        with pytest.raises(RuntimeError):
            net.step(events(1, 4)[0], state)


def test_states_that_are_kept_stay_as_they_were(runs: list[int]) -> None:
    """Each step's state is tensors of its own: two futures can begin from one past."""
    net, x = network([33, 20]), events(6, 3)
    kept, state = [], None
    with torch.no_grad():
        for each in x:
            _, state = net.step(each, state)
            kept.append((state, copy.deepcopy(state)))
        again = [net.step(x[4], kept[3][0])[1] for _ in range(2)]
    assert len(runs) == len(x) + 2
    assert max(float(s.sum()) for s in state.spikes) > 0
    places = [t.data_ptr() for s, _ in kept for t in (*s.membrane, *s.spikes, s.logits)]
    assert len(set(places)) == len(places)
    for now, before in [*kept, (again[0], kept[4][1]), (again[1], kept[4][1])]:
        same_now = (*now.membrane, *now.spikes, now.logits)
        assert all(map(torch.equal, same_now, (*before.membrane, *before.spikes, before.logits)))


def test_maps_are_flattened_and_structures_kept() -> None:
    net, x = network([33, 20]), events(4, 3)
    found = []
    for shape in ((3, 37), (3, 1, 37)):
        state, held = None, []
        with torch.no_grad():
            for frame in x:
                logits, state = net.step(frame.view(shape), state)
                held.append(vars(net.held.here)["stream"])
        assert all(each is held[0] for each in held)
        found.append(logits)
    assert torch.equal(*found)
