"""The native engine against the plain path and the golden numbers."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some
from torch import Tensor

import golden
import synaptrace as st
from synaptrace import inference
from synaptrace.errors import UserError
from synaptrace.native import library
from synaptrace.rules.tp import target_spikes
from synaptrace.surrogate import SURROGATES
from synaptrace.training.evaluate import run

pytestmark = pytest.mark.usefixtures("one_thread", "each_level")

built = pytest.mark.skipif(bool(library.why()), reason=f"no native engine: {library.why()}")
DENSE = [name for name in golden.NAMES if "conv" not in golden.load(name)[0]]
LAX = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Made = tuple[st.Network, st.TracesPropagation]


def off(value: Tensor, expected: Tensor) -> float:
    error = (value - expected).abs() / expected.abs().clamp(min=1.0)
    return float(error.detach().max())


def compare(native: Made, plain: Made, tolerance: float) -> None:
    """The same weights, gradients, losses and rates; the two need not spike."""
    ours, theirs = golden.named(*native), golden.named(*plain)
    for name, parameter in theirs.items():
        assert off(ours[name].detach(), parameter.detach()) <= tolerance, name
        assert (ours[name].grad is None) == (parameter.grad is None), name
        if parameter.grad is not None:
            assert off(ours[name].grad, parameter.grad) <= tolerance, f"gradient of {name}"
    assert off(native[1].losses, plain[1].losses) <= tolerance
    assert off(native[1].rates, plain[1].rates) <= tolerance


def case(name: str, which: str, dtype: torch.dtype = torch.float64) -> tuple[Made, dict[str, Any]]:
    described, arrays = golden.load(name)
    net, rule = golden.build(described, arrays, dtype)
    rule.engine = which
    return (net, rule), arrays


@built
@pytest.mark.parametrize("name", DENSE)
def test_golden_gradients(name: str) -> None:
    for steps in range(1, 1 + len(golden.load(name)[1]["x"])):
        (net, rule), arrays = case(name, "native")
        logits = rule.sequence(arrays["x"][:steps], arrays["labels"])
        assert off(logits, arrays[f"logits/{steps - 1}"]) <= 1e-9
        for key, parameter in golden.named(net, rule).items():
            expected = sum(arrays[f"grad/{t}/{key}"] for t in range(steps))
            assert parameter.grad is not None
            assert off(parameter.grad, expected) <= 1e-9, key
    assert (rule.rates > 0).all()


@built
@pytest.mark.parametrize("name", DENSE)
def test_golden_weights_after_adam_at_every_step(name: str) -> None:
    (net, rule), arrays = case(name, "native")
    parameters = golden.named(net, rule)
    optimizer = torch.optim.Adam(parameters.values(), lr=float(arrays["online_adam_lr"]))
    rule.sequence(arrays["x"], arrays["labels"], optimizer=optimizer, every=1)
    for key, parameter in parameters.items():
        grads = torch.stack([arrays[f"grad/{t}/{key}"] for t in range(len(arrays["x"]))])
        expected = arrays[f"online_adam/{key}"]
        wrong = (parameter.detach() - expected).abs() > 1e-8 * expected.abs().clamp(min=1.0)
        # Where a gradient is zero but for rounding, Adam's steps are of rounding alone: one weight
        # of one case is such a one, and there the two roundings differ.
        rounding = grads.abs().amax(0) < 1e-14
        assert not wrong[~rounding].any()
        assert int(wrong.sum()) <= (name == "variant_ff_3x_hard_trained_label")
        state = optimizer.state[parameter]
        assert set(state) == {"step", "exp_avg", "exp_avg_sq"}
        assert int(state["step"]) == len(arrays["x"])


@built
@pytest.mark.parametrize("name", DENSE)
def test_golden_cases_in_float32_have_the_same_spikes(name: str) -> None:
    for steps in range(1, 1 + len(golden.load(name)[1]["x"])):
        native, arrays = case(name, "native", torch.float32)
        plain, _ = case(name, "torch", torch.float32)
        x = arrays["x"][:steps].float()
        for _, rule in (native, plain):
            rule.sequence(x, arrays["labels"])
        spikes = [rule.rates * steps * len(arrays["labels"]) for _, rule in (native, plain)]
        width = torch.tensor([layer.weight.shape[0] for layer in plain[0].layers])
        counts = [(each * width).round() for each in spikes]
        assert torch.equal(*counts)
        for ours, theirs in zip(
            golden.named(*native).values(), golden.named(*plain).values(), strict=True
        ):
            assert ours.grad is not None
            assert theirs.grad is not None
            scale = theirs.grad.abs().max().clamp(min=1e-3)
            assert float((ours.grad - theirs.grad).abs().max() / scale) <= 1e-5


def twins(seed: int, size: tuple[int, list[int], int], gain: float = 3.0, **options: Any) -> Any:
    """The same network and rule twice, on the native engine and on the plain path."""
    of_net = {k: options.pop(k) for k in ("neuron", "recurrent", "readout_decay", "standardise")}
    made = []
    for which in ("native", "torch"):
        g = torch.Generator().manual_seed(seed)
        net = st.mlp(*size, gain=gain, generator=g, **of_net).double()
        rule = st.TracesPropagation(net, engine=which, generator=g, **options)
        made.append((net, rule))
    return made


@some.composite
def situations(draw: some.DrawFn) -> dict[str, Any]:
    seed = draw(some.integers(0, 2**31))
    g = torch.Generator().manual_seed(seed)
    steps, batch, inputs = (draw(some.integers(*r)) for r in ((1, 14), (2, 40), (3, 40)))
    classes = draw(some.integers(2, 20))
    hidden = draw(some.lists(some.integers(4, 70), min_size=1, max_size=3))
    neuron = st.LIF(
        threshold=draw(some.sampled_from([0.1, 0.3])),
        decay=draw(some.sampled_from([0.0, 0.8, 1.0])),
        trace_decay=tuple(draw(some.sampled_from([0.0, 0.7, 1.0])) for _ in hidden),
        reset=draw(some.sampled_from(["soft", "hard"])),
        surrogate=SURROGATES[draw(some.sampled_from(sorted(SURROGATES)))](1.5),
    )
    made = twins(
        seed, (inputs, hidden, classes), neuron=neuron,
        recurrent=draw(some.booleans()), standardise=draw(some.booleans()),
        readout_decay=draw(some.sampled_from([0.0, 0.9, 1.0])),
        contrast=draw(some.sampled_from(["batch", "class"])),
        train_label=draw(some.booleans()), label_threshold=draw(some.sampled_from([None, 0.2])),
        eligibility=draw(some.booleans()), temperature=draw(some.sampled_from([1.0, 3.0, "auto"])),
        margin=draw(some.sampled_from([0.5, 4.0])),
    )  # fmt: skip
    density = draw(some.sampled_from([0.05, 0.3, 1.0]))
    events = torch.bernoulli(
        torch.full((steps, batch, inputs), density, dtype=torch.float64), generator=g
    )
    kind = draw(some.sampled_from(["ones", "counts", "real"]))
    if kind == "counts":
        events *= torch.randint(1, 4, events.shape, generator=g)
    elif kind == "real":
        events *= torch.randn(events.shape, generator=g, dtype=torch.float64)
    lengths = torch.randint(1, steps + 2, (batch,), generator=g)
    return {
        "made": made, "events": events, "labels": torch.randint(0, classes, (batch,), generator=g),
        "lengths": lengths if draw(some.booleans()) else None,
    }  # fmt: skip


@built
@LAX
@given(situations())
def test_random_networks_have_the_same_gradients(situation: dict[str, Any]) -> None:
    native, plain = situation.pop("made")
    for _ in range(2):  # the second sequence adds to the gradients, in memory used before
        logits = [rule.sequence(**situation) for _, rule in (native, plain)]
        assert off(*logits) <= 1e-9
        compare(native, plain, 1e-9)
    assume(bool((plain[1].rates > 0).all()))


@built
@LAX
@given(situations(), some.sampled_from([1, 2, 5, 20]), some.booleans())
def test_random_networks_have_the_same_updates(
    situation: dict[str, Any], every: int, fused: bool
) -> None:
    native, plain = made = situation.pop("made")
    assume(not native[1].label.standardise)
    # A large epsilon, as Adam magnifies rounding where a gradient is nearly zero.
    optimizers = [
        torch.optim.Adam(golden.named(*each).values(), lr=1e-2, eps=1e-3, fused=fused)
        for each in made
    ]
    for _ in range(2):
        for (_, rule), optimizer in zip(made, optimizers, strict=True):
            rule.sequence(**situation, optimizer=optimizer, every=every)
        compare(native, plain, 1e-9)
    for ours, theirs in zip(*(list(each.state.values()) for each in optimizers), strict=True):
        assert int(ours["step"]) == int(theirs["step"])
        assert off(ours["exp_avg_sq"], theirs["exp_avg_sq"]) <= 1e-9
    assume(bool((plain[1].rates > 0).all()))


def plain_twins(**options: Any) -> Any:
    neuron = st.LIF(threshold=0.3, decay=0.85, trace_decay=0.85)
    defaults = {"recurrent": True, "readout_decay": 1.0, "standardise": False}
    return twins(5, (40, [33, 20], 6), neuron=neuron, **{**defaults, **options})


def spikes(steps: int, batch: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.bernoulli(torch.full((steps, batch, 40), 0.1, dtype=torch.float64), generator=g)


@built
@pytest.mark.parametrize("every", [None, 4])
def test_weights_after_a_hundred_sequences(every: int | None) -> None:
    made = plain_twins()
    for net, rule in made:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        for i in range(100):
            labels = torch.arange(12) % 6 if i % 2 else torch.arange(12) % 4
            rule.sequence(spikes(10, 12, i), labels, optimizer=optimizer, every=every)
        assert (rule.rates > 0).all()
    compare(*made, 1e-9)


VARIANTS: list[dict[str, Any]] = [
    {"eligibility": True},
    {"temperature": "auto", "margin": 0.5},
    {"eligibility": True, "temperature": 3.0, "contrast": "class", "train_label": True},
    {"eligibility": True, "temperature": "auto", "train_label": True},
]


@built
@pytest.mark.parametrize("every", [None, 1, 7, 40])
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_variant_over_several_blocks(options: dict[str, Any], every: int | None) -> None:
    """75 steps: two blocks of 32 and a rest, or blocks that updates cut short."""
    made = plain_twins(**options)
    lengths = torch.tensor([75, 75, 3, 40, 33, 32, 70, 1, 75, 64, 65, 20])
    for net, rule in made:
        parameters = golden.named(net, rule).values()
        optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=1e-3)
        for i in range(2):
            given = {"optimizer": optimizer, "every": every, "lengths": lengths if i else None}
            rule.sequence(spikes(75, 12, i), torch.arange(12) % 6, **given)
        assert (rule.rates > 0.01).all()
    compare(*made, 1e-9)


@built
@pytest.mark.parametrize("density", [0.01, 0.1])  # of x̄ many are zero, or few
@pytest.mark.parametrize("every", [None, 1])
def test_the_variant_in_parts_of_blocks(every: int | None, density: float) -> None:
    """Errors of a block beyond the second cache, and more rows than a group of traces has."""
    neuron = st.LIF(threshold=0.2, decay=0.85, trace_decay=0.85)
    of_net = {"neuron": neuron, "recurrent": True, "readout_decay": 1.0, "standardise": False}
    made = twins(5, (40, [260], 6), **of_net, eligibility=True)
    g = torch.Generator().manual_seed(0)
    events = torch.bernoulli(torch.full((40, 80, 40), density, dtype=torch.float64), generator=g)
    for net, rule in made:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-3)
        rule.sequence(events, torch.arange(80) % 6, optimizer=optimizer, every=every)
        assert (rule.rates > 0.01).all()
    compare(*made, 1e-9)


@built
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_the_variant_in_float32(options: dict[str, Any]) -> None:
    made = plain_twins(**options)
    for net, rule in made:
        net.float()
        rule.label.float()
        rule.sequence(spikes(75, 12).float(), torch.arange(12) % 6)
    native, plain = made
    assert torch.equal(*[(rule.rates * 1e4).round() for _, rule in made])
    for name, theirs in golden.named(*plain).items():
        ours = golden.named(*native)[name].grad
        assert ours is not None
        assert theirs.grad is not None
        assert float((ours - theirs.grad).abs().max() / theirs.grad.abs().max()) <= 1e-4, name


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", [3, 64, 139])  # 139: twice 64, a vector or more, and a rest
def test_events_in_every_place_are_found(inputs: int, dtype: torch.dtype) -> None:
    """One event a step, each with a value of its own; a minus zero is none."""
    neuron = st.LIF(threshold=0.02, decay=0.8, trace_decay=0.8)
    of_net = {"neuron": neuron, "recurrent": False, "readout_decay": 1.0, "standardise": False}
    made = twins(5, (inputs, [inputs], 4), **of_net)
    events = torch.full((inputs, 2, inputs), -0.0, dtype=dtype)
    place = torch.arange(inputs)
    events[place, 0, place] = 1 + place.to(dtype) / 8
    events[place, 1, place.flip(0)] = -1.0
    for net, rule in made:
        net.to(dtype)
        rule.label.to(dtype)
        rule.sequence(events, torch.tensor([0, 3]))
        assert (rule.rates > 0.01).all()
    native, plain = (net.layers[0].weight.grad for net, _ in made)
    assert (plain.abs().amax(0) > 0).all()
    assert float((native - plain).abs().max() / plain.abs().max()) <= (
        1e-5 if dtype is torch.float32 else 1e-12
    )
    assert torch.equal(*((rule.rates * 2 * inputs**2).round() for _, rule in made))


@built
@pytest.mark.parametrize("contrast", ["batch", "class"])
def test_probabilities_from_none_to_all_in_float32(contrast: str) -> None:
    """Traces that only grow: similarities of hundreds, of which exp is zero, or all there is."""
    neuron = st.LIF(threshold=0.1, decay=0.9, trace_decay=1.0)
    of_net = {"neuron": neuron, "recurrent": False, "readout_decay": 1.0, "standardise": False}
    (net, rule), (exact, by) = twins(5, (40, [90, 30], 11), **of_net, contrast=contrast)
    net.float()
    rule.label.float()
    events, labels = spikes(40, 22), torch.arange(22) % 11
    rule.sequence(events.float(), labels)
    by.sequence(events, labels)
    assert torch.equal((rule.rates * 1e4).round(), (by.rates * 1e4).round().to(rule.rates.dtype))
    assert float(by.losses.max()) > 100
    assert float(((rule.losses - by.losses) / by.losses).abs().max()) <= 1e-5
    for ours, theirs in zip(net.parameters(), exact.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert float((ours.grad - theirs.grad).abs().max() / theirs.grad.abs().max()) <= 1e-4


@built
@pytest.mark.parametrize("options", [{}, *VARIANTS], ids=str)
def test_the_same_bits_on_one_thread_and_on_three(options: dict[str, Any]) -> None:
    seen = []
    for threads in (1, 3, 3):
        torch.set_num_threads(threads)
        (net, rule), _ = plain_twins(**{"contrast": "class", **options})
        optimizer = torch.optim.Adam(net.parameters())
        events, labels = spikes(40, 64), torch.arange(64) % 6
        rule.sequence(events, labels, optimizer=optimizer, every=9)
        other = torch.optim.SGD(net.parameters(), lr=0.1)  # which one of the threads calls
        logits = rule.sequence(events, labels, optimizer=other, every=9)
        seen.append([logits, rule.losses, *net.parameters()])
    for again in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], again, strict=True))


@built
def test_tiny_numbers_are_zeros_within_the_engine_only() -> None:
    (net, rule), _ = plain_twins()
    weight = net.float().readout.weight
    rule.label.float()
    weight.grad = torch.full_like(weight, 1e-40)
    rule.sequence(spikes(9, 8) * 0, torch.arange(8) % 6)
    assert not weight.grad.any()  # nothing spiked, and nothing was added
    assert float(torch.tensor(1e-40) * torch.tensor(1.0)) > 0


@built
def test_pytorch_s_threads_serve_both() -> None:
    torch.set_num_threads(2)
    (_, rule), _ = plain_twins()
    large = torch.rand(1000, 1000)
    expected = large.sqrt().sum()
    for _ in range(3):
        rule.sequence(spikes(40, 64), torch.arange(64) % 6)
        assert torch.equal(large.sqrt().sum(), expected)


@built
def test_a_changed_label_projection_is_seen() -> None:
    made = plain_twins()
    for _, rule in made:
        rule.sequence(spikes(9, 8), torch.arange(8) % 6)
        rule.label.weight.data.mul_(2.0)
        rule.sequence(spikes(12, 8), torch.arange(8) % 6)
    compare(*made, 1e-9)


@built
@pytest.mark.parametrize("every", [None, 1])
def test_a_target_stream_too_long_to_keep(
    every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    neuron = st.LIF(threshold=0.2, decay=0.9, trace_decay=0.8)
    native, plain = twins(
        3, (30, [20, 12], 5), neuron=neuron, recurrent=True, readout_decay=1.0, standardise=False
    )
    monkeypatch.setattr(target_spikes, "MOST", 4 * 40 * 20 * 5 - 1)
    g = torch.Generator().manual_seed(1)
    events = torch.bernoulli(torch.full((40, 6, 30), 0.2, dtype=torch.float64), generator=g)
    for _, rule in (native, plain):
        # A large epsilon, as Adam magnifies rounding where a gradient is nearly zero.
        optimizer = torch.optim.Adam(rule.net.parameters(), lr=1e-3, eps=1e-3)
        for _ in range(2):
            rule.sequence(events, torch.arange(6) % 5, optimizer=optimizer, every=every)
    assert native[1].kept.stream is None
    assert (native[1].rates > 0.01).all()
    compare(native, plain, 1e-9)
    native[1].sequence(events[1:], torch.arange(6) % 5)
    assert native[1].kept.stream is not None


@built
def test_frozen_weights_and_weights_that_no_optimizer_has() -> None:
    made = plain_twins()
    for net, rule in made:
        net.layers[0].recurrent.requires_grad_(False)
        optimizer = torch.optim.Adam([net.layers[0].weight, net.readout.weight], lr=1e-2)
        for _ in range(2):
            rule.sequence(spikes(9, 8), torch.arange(8) % 6, optimizer=optimizer, every=2)
    compare(*made, 1e-9)
    assert made[0][0].layers[1].weight.grad is not None


@built
def test_a_readout_with_a_rate_of_its_own() -> None:
    made = plain_twins()
    start = made[0][0].readout.weight.detach().clone()
    for net, rule in made:
        weights = [w for name, w in net.named_parameters() if name != "readout.weight"]
        groups = [{"params": weights}, {"params": [net.readout.weight], "lr": 3e-2}]
        optimizer = torch.optim.Adam(groups, lr=1e-3, eps=1e-3)
        for _ in range(2):
            rule.sequence(spikes(9, 8), torch.arange(8) % 6, optimizer=optimizer, every=1)
    compare(*made, 1e-9)
    assert (made[0][0].readout.weight - start).abs().max() > 1e-2


@built
def test_what_an_earlier_backward_left_takes_part_in_the_first_update() -> None:
    made = plain_twins()
    for net, rule in made:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2, eps=1e-3)
        rule.sequence(spikes(3, 8), torch.arange(8) % 6)
        rule.sequence(spikes(9, 8), torch.arange(8) % 6, optimizer=optimizer, every=2)
    compare(*made, 1e-9)


OPTIMIZERS: list[Any] = [
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    # A large epsilon, as Adam magnifies rounding where a gradient is nearly zero.
    lambda p: torch.optim.AdamW(p, eps=1e-3),
    lambda p: torch.optim.Adam(p, weight_decay=0.1, eps=1e-3),
    lambda p: torch.optim.Adam(p, amsgrad=True, eps=1e-3),
]


@built
@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("make", OPTIMIZERS)
def test_other_optimizers_step_themselves(make: Any, every: int) -> None:
    """From native gradients, those of an earlier sequence included in the first update."""
    made = plain_twins(train_label=True, eligibility=every == 4)
    for net, rule in made:
        rule.sequence(spikes(3, 8), torch.arange(8) % 6)
        optimizer = make(golden.named(net, rule).values())
        for i in range(2):
            rule.sequence(spikes(9, 8, i), torch.arange(8) % 6, optimizer=optimizer, every=every)
        rule.sequence(spikes(3, 8), torch.arange(8) % 6)  # no update: gradients stay
        assert (rule.rates > 0).all()
    compare(*made, 1e-9)


@built
def test_hooks_see_every_update_and_its_gradients() -> None:
    made = plain_twins()
    seen: list[list[float]] = []
    for net, rule in made:
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2, eps=1e-3)
        sums: list[float] = []

        def note(*_: Any, net: st.Network = net, sums: list[float] = sums) -> None:
            sums.extend(float(w.grad.abs().sum()) for w in net.parameters() if w.grad is not None)
            net.layers[0].weight.data = net.layers[0].weight.data * 0.9  # and move a weight

        optimizer.register_step_pre_hook(note)
        rule.sequence(spikes(9, 8), torch.arange(8) % 6, optimizer=optimizer, every=2)
        seen.append(sums)
    assert len(seen[0]) == 5 * len(list(made[0][0].parameters()))
    assert seen[0] == pytest.approx(seen[1], rel=1e-9)
    compare(*made, 1e-9)


@built
def test_an_update_that_fails_ends_the_sequence() -> None:
    (net, rule), _ = plain_twins()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    calls: list[None] = []

    def fail(*_: Any) -> None:
        calls.append(None)
        raise KeyError("no")

    hook = optimizer.register_step_pre_hook(fail)
    with pytest.raises(KeyError, match="no"):
        rule.sequence(spikes(9, 8), torch.arange(8) % 6, optimizer=optimizer, every=2)
    assert len(calls) == 1
    hook.remove()
    rule.sequence(spikes(9, 8), torch.arange(8) % 6, optimizer=optimizer, every=2)


@built
@pytest.mark.parametrize("contrast", ["batch", "class"])
def test_more_class_rows_than_a_block(contrast: str) -> None:
    """Of P there are the rows of the samples' classes, of which two are there twice."""
    made = twins(
        5, (40, [33, 20], 600), recurrent=True, readout_decay=1.0, standardise=False,
        contrast=contrast, train_label=True,
        neuron=st.LIF(threshold=0.3, decay=0.85, trace_decay=0.85),
    )  # fmt: skip
    batch = 520 if contrast == "batch" else 8
    labels = torch.arange(batch) * 7 % 597 if contrast == "batch" else torch.arange(8) // 2 * 150
    for _, rule in made:
        rule.sequence(spikes(4, batch), labels)
        assert len(labels.unique()) > rule.block or contrast == "class"
        assert (rule.rates > 0).all()
    compare(*made, 1e-9)


@built
def test_what_the_engine_has_not_is_said() -> None:
    g = torch.Generator().manual_seed(0)
    net = st.mlp(6, [4], 3, generator=g).to(torch.bfloat16)
    rule = st.TracesPropagation(net, engine="native", generator=g)
    with pytest.raises(UserError, match=r"rule\.engine: .* float32 or float64"):
        rule.sequence(torch.ones(3, 2, 6), torch.tensor([0, 1]))


def test_without_the_library_the_plain_path_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "find", lambda: (None, "it was not built"))
    (_, rule), _ = plain_twins()
    with pytest.raises(UserError, match="not built"):
        rule.sequence(spikes(3, 8), torch.arange(8) % 6)
    rule.engine = "auto"
    rule.sequence(spikes(3, 8), torch.arange(8) % 6)
    assert "trace" in rule.state
    with pytest.raises(UserError, match="engine"):
        st.TracesPropagation(st.mlp(3, [4], 2), engine="fast")  # type: ignore[arg-type]


@built
@LAX
@given(situations())
def test_inference_has_the_same_logits_and_spikes(situation: dict[str, Any]) -> None:
    net, events, lengths = situation["made"][1][0], situation["events"], situation["lengths"]
    fast = inference.forward(net, events, lengths)
    assert fast is not None
    with torch.no_grad():
        logits, spikes = run(net, events, lengths)
        assert torch.equal(net(events, lengths), fast[0])
    assert off(fast[0], logits) <= 1e-9
    assert off(fast[0], net(events, lengths).detach()) <= 1e-9  # with autograd: the plain path
    assert torch.equal(fast[1], spikes)
    assume(bool((spikes > 0).all()))


def far_from_undecided(net: st.Network, events: Tensor, confidence: float) -> bool:
    """Whether no step's decision hangs on rounding: two logits that are equal but for it, or a
    probability that is the one asked for. Where all are zeros, both paths have them exactly."""
    logits = torch.cat([net(events[: t + 1]).detach() for t in range(len(events))])
    first, second = logits.topk(2, 1).values.unbind(1)
    p = logits.softmax(1).amax(1)
    clear = (first - second > 1e-9) & ((p - confidence).abs() > 1e-9)
    return bool((clear | (logits == 0).all(1)).all())


@built
@LAX
@given(situations(), some.sampled_from([0.2, 0.5, 0.9, 2.0]))
def test_early_decisions_are_the_same(situation: dict[str, Any], confidence: float) -> None:
    net, events, lengths = situation["made"][1][0], situation["events"], situation["lengths"]
    classes, ends = net.decide(events, confidence, lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "find", lambda: (None, "for the plain path"))
        assume(far_from_undecided(net, events, confidence))
        plain = net.decide(events, confidence, lengths)
        predicted = net.predict(events, ends)
    assert torch.equal(classes, plain[0])
    assert torch.equal(ends, plain[1])
    assert torch.equal(classes, predicted)


@built
def test_inference_leaves_what_it_has_not_to_the_plain_path() -> None:
    net = st.conv([(4, ("max", 2))], in_shape=(2, 6, 6), classes=3)
    assert inference.forward(net, torch.ones(3, 2, 2, 6, 6)) is None
    assert inference.forward(st.mlp(4, [3], 2), torch.ones(0, 2, 4)) is None
    adaptive = st.mlp(4, [3], 2, neuron=st.LIF(adaptation=0.5))
    assert inference.forward(adaptive, torch.ones(3, 2, 4)) is None
    with pytest.raises(UserError, match="doesn't fit"):
        inference.forward(st.mlp(4, [3], 2), torch.ones(3, 2, 5))


@built
def test_bad_input_is_the_same_error() -> None:
    (_, rule), _ = plain_twins()
    with pytest.raises(UserError, match="doesn't fit"):
        rule.sequence(spikes(3, 8)[..., :39], torch.arange(8) % 6)
    with pytest.raises(UserError, match="labels"):
        rule.sequence(spikes(3, 8), torch.arange(7) % 6)
