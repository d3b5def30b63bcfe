"""The published VGGs under TP: their size by hand, a step's memory, devices, precision."""

import pytest
import torch

import synaptrace as st
from synaptrace.build import VGG
from synaptrace.cost.meter import Meter
from synaptrace.memory import storage_bytes

NEURON = st.LIF(threshold=0.2, decay=0.53, trace_decay=0.98)  # low, so that all layers spike


def events(steps: int, batch: int, side: int = 48) -> torch.Tensor:
    g = torch.Generator().manual_seed(3)
    return torch.bernoulli(torch.full((steps, batch, 2, side, side), 0.1), generator=g)


def made(depth: int = 9, side: int = 48, **options) -> tuple[st.Network, st.TracesPropagation]:
    g = torch.Generator().manual_seed(0)
    net = st.vgg(depth, in_shape=(2, side, side), classes=10, neuron=NEURON, generator=g, **options)
    return net, st.TracesPropagation(net, generator=g)


def test_the_number_of_parameters_is_the_hand_count() -> None:
    """3×3 kernels: 2·64, 64·128, 128·256, 256·256, 256·512, 512·512 three times; 512·2·2 → 10."""
    kernels = 2 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512
    net, rule = made()
    assert sum(p.numel() for p in net.parameters()) == 9 * kernels + 512 * 4 * 10
    assert not list(rule.parameters())
    assert rule.label.weight.shape == (64 * 48 * 48, 10)
    assert {depth: len(VGG[depth]) + 1 for depth in VGG} == {6: 6, 9: 9, 12: 12}


@pytest.mark.parametrize("depth", [6, 9, 12])
def test_a_step_runs_spikes_and_keeps_the_same_memory_however_long(depth: int) -> None:
    net, rule = made(depth, side=16)
    x = events(8, 4, 16)
    rule.start(torch.tensor([0, 1, 1, 7]))
    sizes = []
    for step in x:
        rule.step(step)
        sizes.append(storage_bytes(t for kept in rule.tensors().values() for t in kept))
    assert len(set(sizes)) == 1
    assert (rule.rates > 0).all()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


def test_vgg9_at_48_pixels_stays_within_the_stated_peak() -> None:
    """Docstring of TP: beyond what is kept, five tensors of the largest layer's B + C rows.

    Besides, a step holds the weights as the forward pass sees them and their gradients; on a
    matrix unit also six bytes a weight, and no more than 16 MiB and a gradient for its work.
    """
    net, rule = made()
    labels = torch.tensor([0, 3, 3, 9])
    x = events(2, 4)
    rule.start(labels)
    rule.step(x[0])
    rows = len(labels) + 3
    largest = max(layer.weight.new_empty(layer.shape).numel() for layer in net.layers) * rows * 4
    weights = sum(p.numel() for p in net.parameters()) * 4
    widest = max(p.numel() for p in net.parameters()) * 4
    with Meter() as meter:
        rule.step(x[1])
    # u and s are replaced layer by layer, so that one layer's old and new ones live together.
    unit = weights * 6 // 4 + 2**24 + widest if any(o.packed for o in rule.operations) else 0
    assert meter.peak <= 5 * largest + weights + 4 * widest + kept(rule) + unit
    pixels = 48 * 48
    assert meter.largest[0] <= max(largest, widest, 2**24 + widest)
    assert not (meter.largest[1][:2] == (4, 4) and pixels in meter.largest[1])


def kept(rule: st.TracesPropagation) -> int:
    return storage_bytes(t for name in ("membrane", "spikes") for t in rule.state[name])


def test_a_step_reads_nothing_back_from_the_device() -> None:
    """On the meta device there are no values to read, so any wait for one would raise."""
    net, _ = made(side=16)
    net = net.to("meta")
    rule = st.TracesPropagation(net, contrast="class").to("meta")
    rule.start(torch.zeros(4, dtype=torch.int64, device="meta"))
    for x in events(2, 4, 16).to("meta"):
        logits = rule.step(x)
    assert logits.device.type == rule.finish().device.type == "meta"
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in net.parameters())


def test_bfloat16_products_keep_float32_state() -> None:
    """One layer and one step, where rounding flips few spikes; in deep nets flips add up."""
    grads = []
    for precision in ("float32", "bfloat16"):
        g = torch.Generator().manual_seed(0)
        net = st.conv([(16, ("max", 2))], in_shape=(2, 16, 16), classes=10, neuron=NEURON,
                      precision=precision, generator=g)  # fmt: skip
        rule = st.TracesPropagation(net, label_threshold=0.2, generator=g)
        rule.sequence(events(1, 4, 16), torch.tensor([0, 1, 1, 7]))
        assert (rule.rates > 0).all()
        assert {t.dtype for t in rule.state["membrane"]} == {torch.float32}
        grads.append([p.grad for p in net.parameters()])
    for full, low in zip(*grads, strict=True):
        assert full is not None
        assert low is not None
        assert low.dtype == torch.float32
        assert not torch.equal(full, low)
        assert torch.cosine_similarity(full.flatten(), low.flatten(), dim=0) > 0.99
