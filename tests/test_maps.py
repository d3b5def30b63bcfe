"""The native work on maps against the plain one: neurons, pooling, convolutions, sequences."""

import pytest
import torch
from torch.nn import functional as F

import synaptrace as st
from synaptrace import layers
from synaptrace.native import convolve, library, maps
from synaptrace.neuron import fire
from synaptrace.rules.tp import execute

pytestmark = [
    pytest.mark.skipif(bool(library.why()), reason=f"no native engine: {library.why()}"),
    pytest.mark.usefixtures("each_level"),
]
SIZES = [(1, 1, 1, 1), (3, 5, 4, 7), (4, 70, 6, 5), (2, 16, 9, 9)]


def drawn(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return maps.channels_last(torch.randn(shape, generator=g, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("surrogate", [st.ATan(2.0), st.FastSigmoid(3.0), st.Triangle(0.5)])
@pytest.mark.parametrize("size", SIZES)
def test_a_step_of_neurons(size, surrogate, reset, dtype) -> None:
    neuron = st.LIF(threshold=0.3, decay=0.8, reset=reset, surrogate=surrogate)
    v, u = drawn(*size, dtype=dtype), drawn(*size, dtype=dtype, seed=1)
    samples, other = size[0] - size[0] // 2, 0.6
    threshold = torch.full((size[0], 1, 1, 1), other, dtype=dtype)
    threshold[:samples] = neuron.threshold
    plain = fire(neuron, v.clone(), u.clone(), threshold)
    fused = maps.fire(neuron, v, u, samples, other)
    assert size[0] == 1 or plain[1].any()
    for expected, found in zip(plain, fused, strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.equal(fused[1], plain[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES[1:])
def test_the_error_goes_back_through_the_pooling_to_the_first_spike(size, pool, dtype) -> None:
    layer = layers.Conv((1, *size[2:]), size[1], neuron=st.LIF(), pool=("max", pool))
    spikes = (drawn(*size, dtype=dtype) > 0).to(dtype)
    slope = drawn(*size, dtype=dtype, seed=1)
    delta = drawn(size[0], *layer.out_shape, dtype=dtype, seed=2)
    expected = layer.membrane_error(delta, spikes, slope.clone())
    assert spikes.any()
    assert expected.any()
    assert torch.equal(layer.membrane_error(delta, spikes, slope, fused=True), expected)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("size", "outputs"),
    [
        ((3, 2, 4, 7), 5),
        ((5, 40, 1, 1), 33),
        ((9, 64, 13, 9), 96),
        ((3, 16, 20, 3), 16),
        ((2, 7, 70, 19), 40),
        ((1, 1, 2, 2), 1),
    ],
)
def test_a_convolution_of_spikes_is_as_exact_as_float32(size, outputs, threads) -> None:
    before = torch.get_num_threads()
    spikes = (drawn(*size) > 0.5).float()
    weight, g = drawn(outputs, size[1], 3, 3, seed=1), drawn(size[0], outputs, *size[2:], seed=2)
    exact = F.conv2d(spikes.double(), weight.double(), padding=1)
    slow = torch.nn.grad.conv2d_weight(spikes.double(), weight.shape, g.double(), padding=1)
    torch.set_num_threads(threads)
    try:
        forward = convolve.forward(spikes, convolve.pack(weight))
        gradient = convolve.gradient(g, spikes)
    finally:
        torch.set_num_threads(before)
    assert exact.any()
    assert forward is not None
    assert gradient is not None
    assert (forward - exact).norm() <= 2e-7 * exact.norm()
    assert (gradient - slow).norm() <= 2e-7 * slow.norm()


def test_many_rows_are_done_some_at_a_time() -> None:
    spikes, g = (drawn(40, 32, 50, 50) > 0.5).float(), drawn(40, 32, 50, 50, seed=2)
    weight = drawn(32, 32, 3, 3, seed=1)
    forward = convolve.forward(spikes, convolve.pack(weight))
    gradient = convolve.gradient(g, spikes)
    assert forward is not None
    assert gradient is not None
    torch.testing.assert_close(forward, F.conv2d(spikes, weight, padding=1), atol=1e-4, rtol=1e-5)
    slow = torch.nn.grad.conv2d_weight(spikes, weight.shape, g, padding=1)
    torch.testing.assert_close(gradient, slow, atol=1e-2, rtol=1e-5)


@pytest.mark.parametrize("value", [1 / 3, 1 + 2**-20, float("nan")])
def test_what_is_no_spike_is_left_to_the_plain_path(value: float) -> None:
    x, weight = (drawn(2, 16, 4, 4) > 0).float(), drawn(8, 16, 3, 3)
    x[1, 9, 2, 3] = value
    assert convolve.forward(x, convolve.pack(weight)) is None
    assert convolve.gradient(drawn(2, 8, 4, 4), x) is None
    layer = layers.Conv((16, 4, 4), 8, neuron=st.LIF())
    weight = layer.forward_weight().detach()
    current = layer.current(x, x, weight, packed=layer.pack(weight))
    assert convolve.usable(weight, 16)
    torch.testing.assert_close(current, layer.current(x, x, weight), equal_nan=True)


def test_a_packed_weight_keeps_to_its_instruction_set(each_level: str) -> None:
    spikes, weight = (drawn(2, 16, 5, 4) > 0).float(), drawn(40, 16, 3, 3, seed=1)
    packed = convolve.pack(weight)
    expected = convolve.forward(spikes, packed)
    assert expected is not None
    for name in library.levels():
        with library.use(name):
            assert torch.equal(convolve.forward(spikes, packed), expected)


def test_threads_change_no_bit_of_a_convolution() -> None:
    spikes, g = (drawn(9, 20, 17, 9) > 0.5).float(), drawn(9, 70, 17, 9, seed=2)
    weight, found, before = drawn(70, 20, 3, 3, seed=1), [], torch.get_num_threads()
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        try:
            found.append(
                (convolve.forward(spikes, convolve.pack(weight)), convolve.gradient(g, spikes))
            )
        finally:
            torch.set_num_threads(before)
    for forward, gradient in found[1:]:
        assert torch.equal(forward, found[0][0])
        assert torch.equal(gradient, found[0][1])


def trained(engine_name: str, dtype: torch.dtype, contrast: str, sequences: int, pool: str):
    g = torch.Generator().manual_seed(0)
    net = st.conv(
        [(16, ("none", 1)), (24, (pool, 2)), (16, ("aavg", 2))], in_shape=(2, 9, 7), classes=4,
        neuron=st.LIF(threshold=0.3), standardise=True, generator=g,
    ).to(dtype)  # fmt: skip
    rule = st.TracesPropagation(
        net, contrast, train_label=True, label_threshold=0.3, engine=engine_name, generator=g
    ).to(dtype)
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=1e-3)
    for n in range(sequences + 1):
        events = torch.bernoulli(torch.full((5, 6, 2, 9, 7), 0.3, dtype=dtype), generator=g)
        labels = torch.randint(3, (6,), generator=g)
        lengths = torch.tensor([5, 3, 5, 1, 4, 5])
        step = optimizer if n < sequences else None
        rule.sequence(events, labels, lengths=lengths, optimizer=step)
    assert (rule.rates > 0).all()
    return rule, [*net.parameters(), *rule.parameters()]


@pytest.mark.parametrize("pool", ["max", "avg"])
@pytest.mark.parametrize("contrast", ["batch", "class"])
def test_training_in_float64_is_the_same(contrast: str, pool: str) -> None:
    (plain, slow), (native, fast) = (
        trained(name, torch.float64, contrast, 100, pool) for name in ("torch", "native")
    )
    assert execute.maps_natively(native)
    assert not execute.maps_natively(plain)
    for one, other in zip(slow, fast, strict=True):
        assert (one - other).abs().max() <= 1e-9
        assert (one.grad - other.grad).norm() <= 1e-9 * one.grad.norm()
    torch.testing.assert_close(native.losses, plain.losses)


def test_gradients_in_float32_agree_where_spikes_do() -> None:
    (plain, slow), (native, fast) = (
        trained(name, torch.float32, "batch", 0, "max") for name in ("torch", "native")
    )
    assert torch.equal(plain.rates, native.rates)
    for one, other in zip(slow, fast, strict=True):
        assert (one.grad - other.grad).norm() <= 1e-5 * one.grad.norm()


def test_inference_is_the_same() -> None:
    rule, _ = trained("torch", torch.float32, "batch", 0, "max")
    events = torch.bernoulli(torch.full((5, 3, 2, 9, 7), 0.3))
    plain = rule.net(events)
    with torch.no_grad():
        torch.testing.assert_close(rule.net(events), plain.detach())
