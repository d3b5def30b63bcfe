"""Networks: shapes, counts, streaming against whole sequences, lengths, devices."""

import pytest
import torch

import synaptrace as st
from synaptrace.build import build

LOUD = st.LIF(threshold=0.3)


def events(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.bernoulli(torch.full(shape, 0.4), generator=torch.Generator().manual_seed(seed))


def networks() -> list[st.Network]:
    g = torch.Generator().manual_seed(0)
    return [
        st.mlp(12, [9, 8], 4, neuron=LOUD, recurrent=True, gain=3.0, generator=g),
        st.conv([(5, ("max", 2)), (4, ("aavg", 2))], in_shape=(3, 2, 2), classes=4, neuron=LOUD,
                generator=g, standardise=True),
    ]  # fmt: skip


@pytest.mark.parametrize("depth", [6, 9, 12])
def test_vgg_has_the_parameters_counted_by_hand(depth: int) -> None:
    channels = {
        6: [64, 128, 256, 512, 512],
        9: [64, 128, 256, 256, 512, 512, 512, 512],
        12: [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512],
    }[depth]
    by_hand = sum(9 * a * b for a, b in zip([2, *channels], channels, strict=False))
    by_hand += 512 * 2 * 2 * 10
    net = st.vgg(depth, in_shape=(2, 48, 48), classes=10)
    assert sum(p.numel() for p in net.parameters()) == by_hand
    if depth == 9:
        assert by_hand == 9_237_632  # 1152+73728+294912+589824+1179648+3·2359296, and 20480


def test_a_vgg_step_learns_in_every_layer() -> None:
    g = torch.Generator().manual_seed(0)
    neuron = st.LIF(threshold=1.0, decay=0.53, trace_decay=0.98)
    net = st.vgg(9, in_shape=(2, 48, 48), classes=10, neuron=neuron, generator=g)
    rule = st.TracesPropagation(net, generator=g)
    rule.start(torch.tensor([0, 3, 3, 7]))
    rule.step(events(4, 2, 48, 48))
    size = kept(rule)
    for t in range(2):
        rule.step(events(4, 2, 48, 48, seed=t))
    assert kept(rule) == size
    assert (rule.rates > 0).all()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def kept(rule: st.TracesPropagation) -> int:
    return sum(t.untyped_storage().nbytes() for group in rule.tensors().values() for t in group)


@pytest.mark.parametrize("net", networks(), ids=["dense", "conv"])
def test_streaming_equals_the_whole_sequence(net: st.Network) -> None:
    x = events(7, 5, *((12,) if len(net.in_shape) == 1 else (3, 2, 2)))
    whole = net(x)
    state = None
    for frame in x:
        logits, state = net.step(frame, state)
    assert torch.equal(logits, whole)
    assert whole.requires_grad
    assert torch.equal(net.predict(x), whole.argmax(1))
    assert net.predict(x).unique().numel() > 1 or whole.std() > 0


@pytest.mark.parametrize("net", networks(), ids=["dense", "conv"])
def test_nothing_beyond_a_samples_end_counts(net: st.Network) -> None:
    x = events(7, 3, *((12,) if len(net.in_shape) == 1 else (3, 2, 2)))
    lengths = torch.tensor([7, 4, 1])
    padded = x.clone()
    for i, n in enumerate(lengths):
        padded[n:, i] = float("nan")
    together = net(padded, lengths)
    for i, n in enumerate(lengths.tolist()):
        assert torch.allclose(net(x[:n, i : i + 1])[0], together[i], atol=1e-6)


def test_the_gradient_of_the_forward_pass_is_the_surrogates() -> None:
    net = st.mlp(4, [3], 2, neuron=st.LIF(threshold=0.2, surrogate=st.ATan(2.0)))
    x = torch.ones(1, 1, 4)
    net(x)[0, 1].backward()
    v = x[0] @ net.layers[0].weight.t()
    slope = st.ATan(2.0)(v - 0.2) * net.readout.weight[1]
    assert torch.allclose(net.layers[0].weight.grad, slope.t() @ x[0])


@pytest.mark.parametrize("net", [*networks(), st.vgg(6, in_shape=(2, 8, 8), classes=3)])
def test_a_spec_builds_the_same_network(net: st.Network) -> None:
    again = build(net.spec)
    again.load_state_dict(net.state_dict())
    assert again.spec == net.spec
    x = events(3, 2, *net.in_shape)
    assert torch.equal(again(x), net(x))


def test_decays_may_differ_from_layer_to_layer() -> None:
    net = st.mlp(4, [3, 3], 2, neuron=st.LIF(decay=[0.5, 0.9], trace_decay=0.7))  # type: ignore[arg-type]
    assert [layer.neuron.decay for layer in net.layers] == [0.5, 0.9]
    with pytest.raises(ValueError, match=r"neuron\.decay: 2 numbers for 3"):
        st.mlp(4, [3, 3, 3], 2, neuron=st.LIF(decay=(0.5, 0.9)))


def test_bad_settings_are_named() -> None:
    for bad, key in [({"decay": 1.5}, "decay"), ({"reset": "none"}, "reset")]:
        with pytest.raises(ValueError, match=rf"neuron\.{key}"):
            st.LIF(**bad)
    with pytest.raises(ValueError, match=r"model\.depth"):
        st.vgg(7, in_shape=(2, 8, 8), classes=2)
    with pytest.raises(ValueError, match="doesn't fit"):
        st.mlp(4, [3], 2)(torch.zeros(2, 1, 5))


@pytest.mark.parametrize("standardised", [False, True])
def test_bfloat16_products_keep_float32_state(standardised: bool) -> None:
    torch.manual_seed(0)
    plain = st.conv([(8, ("max", 2)), (8, ("none", 1))], in_shape=(2, 6, 6), classes=3,
                    neuron=LOUD, gain=3.0, standardise=standardised)  # fmt: skip
    mixed = build({**plain.spec, "precision": "bfloat16"})
    mixed.load_state_dict(plain.state_dict())
    grads = []
    for net in (plain, mixed):
        rule = st.TracesPropagation(net, label_threshold=0.3)
        rule.load_state_dict({"label.weight": torch.linspace(-1, 1, 8 * 36 * 3).view(-1, 3)})
        rule.sequence(events(4, 6, 2, 6, 6), torch.arange(6) % 3)
        kept = [t for group in rule.tensors().values() for t in group if t.is_floating_point()]
        assert {t.dtype for t in kept} == {torch.float32}
        assert (rule.rates > 0).all()
        grads.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    assert not torch.equal(*grads)
    assert torch.nn.functional.cosine_similarity(*grads, dim=0) > 0.9


def test_a_step_never_leaves_its_device() -> None:
    """On the meta device, reading a value or mixing in a host tensor is an error."""
    net = st.conv([(4, ("max", 2)), (4, ("aavg", 2))], in_shape=(2, 6, 6), classes=3).to("meta")
    rule = st.TracesPropagation(net, contrast="class", train_label=True)
    labels, x = torch.zeros(4, dtype=torch.int64), torch.zeros(4, 2, 6, 6, device="meta")
    rule.start(labels.to("meta"), lengths=labels.to("meta"))
    for _ in range(2):
        assert rule.step(x).is_meta
    for parameter in [*net.parameters(), *rule.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.is_meta


def test_a_decision_is_taken_when_a_class_is_clear() -> None:
    net = st.mlp(4, [8], 2, neuron=st.LIF(threshold=0.05), gain=3.0)
    net.readout.weight.data = torch.stack([torch.ones(8), -torch.ones(8)])
    net.layers[0].weight.data.fill_(1.0)
    events = torch.zeros(6, 3, 4)
    events[2:, 1], events[:, 2] = 1.0, 1.0
    classes, ends = net.decide(events, 0.99)
    assert ends.tolist() == [6, 3, 1]
    assert classes.tolist() == [0, 0, 0]
    assert net.decide(events, 0.99, torch.tensor([2, 2, 2]))[1].tolist() == [2, 2, 1]
    assert net.decide(events, 1.5)[1].tolist() == [6, 6, 6]
    with pytest.raises(ValueError, match="confidence"):
        net.decide(events, 0.0)


def test_an_adaptive_threshold_rises_by_a_spike_and_falls_back() -> None:
    neuron = st.LIF(threshold=1.0, decay=0.0, adaptation=0.5, adaptation_decay=0.8)
    net = st.mlp(1, [1], 2, neuron=neuron)
    torch.nn.init.ones_(net.layers[0].weight)
    state, fired = None, []
    for _ in range(8):
        _, state = net.step(torch.tensor([[1.3]]), state)
        fired.append(int(state.spikes[0]))
    threshold, spikes = 1.0, []  # 1, 1.5, 1.4, 1.32, 1.256: five steps from one to the next
    for _ in range(8):
        spikes.append(int(threshold <= 1.3))
        threshold = 1.0 + 0.8 * (threshold - 1.0) + 0.5 * spikes[-1]
    assert fired == spikes == [1, 0, 0, 0, 1, 0, 0, 0]
    assert build(net.spec).layers[0].neuron == neuron
    with pytest.raises(ValueError, match=r"neuron\.adaptation: tp"):
        st.TracesPropagation(net)
    for key in ("adaptation", "adaptation_decay"):
        with pytest.raises(ValueError, match=rf"neuron\.{key}: -1"):
            st.LIF(**{key: -1.0})
