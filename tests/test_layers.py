"""Layers: pooling and its transpose, standardisation and its chain rule, accumulated gradients."""

import pytest
import torch
from torch.nn import functional as F

import synaptrace as st
from synaptrace.layers import Conv, Dense, standardise, standardise_gradient


@pytest.mark.parametrize("pool", [("max", 2), ("max", 3), ("avg", 2), ("aavg", 2), ("none", 1)])
@pytest.mark.parametrize("size", [(6, 6), (7, 5)])
def test_unpool_is_the_transpose_of_pool(pool: tuple[str, int], size: tuple[int, int]) -> None:
    g = torch.Generator().manual_seed(0)
    layer = Conv((1, *size), 3, neuron=st.LIF(), pool=pool)
    spikes = torch.bernoulli(torch.full((2, 3, *size), 0.4), generator=g).requires_grad_()
    out = layer.pool(spikes)
    assert out.shape[1:] == layer.out_shape
    delta = torch.randn(out.shape, generator=g)
    (expected,) = torch.autograd.grad(out, spikes, delta) if pool[0] != "none" else (delta,)
    assert torch.equal(layer.unpool(delta, spikes.detach()), expected)


def test_max_pool_sends_a_tie_to_the_first() -> None:
    layer = Conv((1, 2, 2), 1, neuron=st.LIF(), pool=("max", 2))
    error = layer.unpool(torch.ones(1, 1, 1, 1), torch.tensor([[[[0.0, 1.0], [1.0, 1.0]]]]))
    assert error.tolist() == [[[[0.0, 1.0], [0.0, 0.0]]]]


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 3, 3)])
def test_standardised_weights_and_their_chain_rule(shape: tuple[int, ...]) -> None:
    g = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, dtype=torch.float64, generator=g).requires_grad_()
    flat = weight.flatten(1)
    var = flat.var(1, unbiased=False, keepdim=True)
    expected = 1.8 * (flat - flat.mean(1, keepdim=True)) / (var * flat.shape[1] + 1e-5).sqrt()
    assert torch.allclose(standardise(weight).flatten(1), expected, rtol=1e-12)
    gradient = torch.randn(shape, dtype=torch.float64, generator=g)
    (expected,) = torch.autograd.grad(standardise(weight), weight, gradient)
    assert torch.allclose(standardise_gradient(weight.detach(), gradient), expected, rtol=1e-10)


@pytest.mark.parametrize("standardised", [False, True])
def test_accumulate_is_the_gradient_of_current_and_adds(standardised: bool) -> None:
    g = torch.Generator().manual_seed(2)
    conv = Conv((2, 5, 4), 3, neuron=st.LIF(), standardise=standardised, generator=g)
    dense = Dense(40, 6, neuron=st.LIF(), recurrent=True, standardise=standardised, generator=g)
    x = torch.randn(3, 2, 5, 4, generator=g, dtype=torch.float64)
    for layer in (conv.double(), dense.double()):
        previous = torch.randn(3, *layer.shape, generator=g, dtype=torch.float64)
        parameters = list(layer.parameters())
        current = layer.current(x, previous, layer.forward_weight())
        error = torch.randn(current.shape, generator=g, dtype=torch.float64)
        expected = torch.autograd.grad(current, parameters, error)
        for _ in range(2):
            layer.accumulate(error, x, previous)
        for parameter, value in zip(parameters, expected, strict=True):
            assert torch.allclose(parameter.grad, 2 * value, rtol=1e-10)


@pytest.mark.parametrize("standardised", [False, True])
def test_back_is_the_transpose_of_current(standardised: bool) -> None:
    g = torch.Generator().manual_seed(3)
    conv = Conv((2, 5, 4), 3, neuron=st.LIF(), standardise=standardised, generator=g)
    dense = Dense(40, 6, neuron=st.LIF(), recurrent=True, standardise=standardised, generator=g)
    for layer, shape in ((conv.double(), (2, 5, 4)), (dense.double(), (40,))):
        x = torch.randn(3, *shape, generator=g, dtype=torch.float64, requires_grad=True)
        previous = torch.randn(3, *layer.shape, generator=g, dtype=torch.float64)
        current = layer.current(x, previous, layer.forward_weight())
        error = torch.randn(current.shape, generator=g, dtype=torch.float64)
        (expected,) = torch.autograd.grad(current, x, error)
        assert torch.allclose(layer.back(error, layer.forward_weight()), expected, rtol=1e-10)


def test_frozen_weights_get_no_gradient() -> None:
    layer = Conv((1, 4, 4), 2, neuron=st.LIF())
    layer.weight.requires_grad_(False)
    layer.accumulate(torch.ones(1, 2, 4, 4), torch.ones(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
    assert layer.weight.grad is None


def test_initial_weights_are_those_of_pytorch() -> None:
    g = torch.Generator().manual_seed(3)
    plain = Dense(100, 400, neuron=st.LIF(), gain=3.0, generator=g).weight
    assert 0.29 < float(plain.detach().abs().max()) <= 0.3
    he = Conv((16, 4, 4), 400, neuron=st.LIF(), standardise=True, generator=g).weight
    assert float(he.detach().std()) == pytest.approx((2 / 144) ** 0.5, rel=0.02)
    assert F.conv2d(torch.ones(1, 16, 4, 4), he).shape == (1, 400, 2, 2)


@pytest.mark.parametrize("pool", [("median", 2), ("max", 0), ("max", 9)])
def test_a_pool_that_cannot_be(pool: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match=r"model\.channels"):
        Conv((1, 4, 4), 2, neuron=st.LIF(), pool=pool)


def test_what_was_put_off_holds_no_graph() -> None:
    layer = Dense(4, 3, neuron=st.LIF(), standardise=True)
    layer.deferred = []
    layer.add_gradient(torch.ones(3, 4))
    layer.flush()
    assert layer.weight.grad is not None
    assert layer.weight.grad.grad_fn is None
