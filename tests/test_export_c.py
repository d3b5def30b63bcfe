"""The C that is exported: the same spikes, logits and weights as Python, in strict C99."""

import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import c_learner
import c_program
from synaptrace.build import conv, mlp
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.mel import Mel
from synaptrace.data.audio.stream import causal_step
from synaptrace.errors import UserError
from synaptrace.neuron import LIF
from synaptrace.seeds import generator
from synaptrace.ship.c import fixed, front_end, plan, rehearsal, twin, vectors
from synaptrace.surrogate import FastSigmoid, Triangle

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (gcc)")

VARIANT = {"eligibility": True, "temperature": "auto"}
HARD = {"reset": "hard", "decay": (0.8, 0.7), "trace_decay": (0.9, 0.8),
        "surrogate": FastSigmoid(2.0)}  # fmt: skip
CASES = {
    "published": ({"hidden": [16]}, "all", None),
    "variant": ({"hidden": [16], "recurrent": True, "rule": VARIANT}, "all", None),
    "deep": (
        {"hidden": [16, 12], "recurrent": True, "rule": VARIANT, "gain": 2.0, "neuron": HARD},
        "all", None,
    ),
    "every step": (
        {"hidden": [16, 12], "gain": 2.0, "rule": {"temperature": 2.0},
         "neuron": {"surrogate": Triangle(0.5)}}, "all", 1,
    ),
    "first layer": ({"hidden": [16, 12], "gain": 2.0, "rule": VARIANT}, "layers.0", None),
    "two parts": ({"hidden": [16, 12], "gain": 2.0, "rule": VARIANT}, "readout,layers.0", 3),
    "second layer": ({"hidden": [16, 12], "gain": 2.0, "rule": VARIANT}, "layers.1", None),
    "readout": ({"hidden": [16, 12], "gain": 2.0, "readout_decay": 0.9}, "readout", None),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_whole_fine_tuning_gives_the_same_weights(name: str, tmp_path: Path):
    """C is a NumPy model with its order of sums to the last bit; PyTorch's rule is within 1e-8.

    That is more than 1e-9 (6.4e-9 were measured, second layer): roundings of 1e-15 in a gradient,
    of sums in another order, count rate / eps = 1e5 times as much in Adam where the gradient is
    below eps, and add up over 50 updates. Given the same gradients, PyTorch's Adam is within 1e-12;
    with SGD so is PyTorch's rule.
    """
    options, learn, every = CASES[name]
    net, rule = c_program.dense(**options)
    made, _ = c_program.write(tmp_path, net, rule, learn)
    c_program.compile(tmp_path)
    net.double()
    rule.double()
    events, labels = c_program.sequences(net, 50, 12)
    weights = vectors.trained(net, made)
    before = vectors.flat(weights)
    for weight in net.parameters():
        weight.requires_grad_(any(weight is each for each in weights))
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    logits, rates = [], torch.zeros(len(net.layers), dtype=torch.float64)
    for x, label in zip(events, labels, strict=True):
        said = rule.sequence(x[:, None], label[None], optimizer=optimizer, every=every)
        logits.append(said[0].detach().numpy())
        rates += rule.rates / len(labels)
    assert float(rates.min()) > 0.03  # it spikes
    got, learned = c_program.run(tmp_path, net, events, labels, every, 1e-3)
    np.testing.assert_allclose(got, np.array(logits), atol=1e-9, rtol=0)
    wanted = vectors.flat(weights)
    assert np.abs(wanted - before).max() > 5e-3
    np.testing.assert_allclose(learned, wanted, atol=1e-8, rtol=0)

    net, rule = c_program.dense(**options)
    model = c_learner.Learner(net, rule, made, np.float64)
    weight = torch.from_numpy(model.flat("weight")).requires_grad_()
    adam = torch.optim.Adam([weight], lr=1e-3)

    def update() -> None:
        weight.grad = torch.from_numpy(model.flat("gradient"))
        adam.step()
        model.update(1e-3)

    said = [model.sequence(x, label, update, every) for x, label in pairs(events, labels)]
    assert np.array_equal(got, said)
    assert np.array_equal(learned, model.flat("weight"))
    np.testing.assert_allclose(learned, weight.detach().numpy(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["variant", "deep", "every step", "two parts", "readout"])
def test_learning_in_float32_is_the_models_bit_for_bit(name: str, tmp_path: Path):
    options, learn, every = CASES[name]
    net, rule = c_program.dense(**options)
    made, _ = c_program.write(tmp_path, net, rule, learn)
    c_program.compile(tmp_path, "float", extra=[])
    events, labels = c_program.sequences(net, 50, 12)
    got, learned = c_program.run(tmp_path, net, events, labels, every, 1e-3)
    model = c_learner.Learner(net, rule, made, np.float32)
    before = model.flat("weight")
    update = partial(model.update, 1e-3)
    said = [model.sequence(x, label, update, every) for x, label in pairs(events, labels)]
    assert np.array_equal(got, said)
    assert np.array_equal(learned, model.flat("weight"))
    assert (learned != before).mean() > 0.3


def pairs(events: torch.Tensor, labels: torch.Tensor) -> list[tuple[np.ndarray, int]]:
    return list(zip(events.numpy(), labels.tolist(), strict=True))


def test_rehearsal_and_anchor_are_those_of_a_batch_of_two(tmp_path: Path):
    net, rule = c_program.dense([16, 12], recurrent=True, gain=2.0, rule=VARIANT)
    old, old_labels = c_program.sequences(net, 9, 12)
    kept = rehearsal.store([each.float().numpy() for each in old[:7]], old_labels[:7].tolist())
    assert 2**-8 <= kept.unit <= 2**-6
    made, _ = c_program.write(tmp_path, net, rule, "all", kept=kept)
    c_program.compile(tmp_path)
    events, labels = c_program.sequences(net, 20, 12)
    got, learned = c_program.run(tmp_path, net, events, labels, None, 1e-3)
    net.double()
    rule.double()
    weights = vectors.trained(net, made)
    before = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    drawn, logits, seed = set(), [], 1
    for x, label in zip(events, labels, strict=True):
        for by in (13, -17, 5):
            seed = (seed ^ (seed << by if by > 0 else seed >> -by)) % 2**32
        drawn.add(seed % 7)
        again = torch.from_numpy(kept.sequences[seed % 7] * kept.unit)
        pair, both = torch.stack([x, again], 1), torch.stack([label, old_labels[seed % 7]])
        logits.append(rule.sequence(pair, both, optimizer=optimizer)[0].detach().numpy())
        with torch.no_grad():
            for weight, old_weight in zip(weights, before, strict=True):
                weight.lerp_(old_weight, 0.01)
    assert len(drawn) > 4
    np.testing.assert_allclose(got, np.array(logits), atol=1e-9, rtol=0)
    np.testing.assert_allclose(learned, vectors.flat(weights), atol=1e-8, rtol=0)


def test_sgd_with_momentum_is_pytorchs(tmp_path: Path):
    net, rule = c_program.dense([16], recurrent=True, rule=VARIANT)
    made, _ = c_program.write(tmp_path, net, rule, "all")
    c_program.compile(tmp_path, extra=["-DADAM=0"])
    events, labels = c_program.sequences(net, 50, 12)
    _, learned = c_program.run(tmp_path, net, events, labels, None, 1e-3)
    net.double()
    rule.double()
    weights = vectors.trained(net, made)
    before = vectors.flat(weights)
    optimizer = torch.optim.SGD(weights, lr=1e-3, momentum=0.9)
    for x, label in zip(events, labels, strict=True):
        rule.sequence(x[:, None], label[None], optimizer=optimizer)
    assert np.abs(vectors.flat(weights) - before).max() > 1e-2
    np.testing.assert_allclose(learned, vectors.flat(weights), atol=1e-12, rtol=0)


CONVS = {
    "max": [(4, ("max", 2)), (3, ("none", 1))],
    "average": [(4, ("avg", 2)), (3, ("aavg", 2))],
    "even": [(4, ("avg", 2)), (3, ("aavg", 1))],
    "one": [(5, ("max", 3))],
}


def network(kind: str, **options):
    if kind == "dense":
        return c_program.dense([16, 12], recurrent=True, gain=2.0, readout_decay=0.9)[0]
    neuron = LIF(threshold=0.2, reset="hard" if kind == "max" else "soft")
    return conv(
        CONVS[kind], in_shape=(2, 7, 6), classes=4, neuron=neuron, gain=2.0, readout_decay=0.9,
        generator=generator(0, "weights"), **options,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["dense", *CONVS])
def test_float32_is_the_twin_bit_for_bit_and_double_is_float64(kind: str, tmp_path: Path):
    net = network(kind, **({"standardise": True} if kind == "one" else {}))
    c_program.write(tmp_path, net, None, None)
    events, labels = c_program.sequences(net, 6, 12)
    events = events.float().double()
    c_program.compile(tmp_path, "float")
    got, _ = c_program.run(tmp_path, net, events, labels)
    said, spikes = twin.run(net, events.transpose(0, 1).numpy())
    assert spikes.min() > 5
    assert len({row.tobytes() for row in said}) == 6
    assert np.array_equal(got.astype(np.float32), said)
    c_program.compile(tmp_path, "double")
    got, _ = c_program.run(tmp_path, net, events, labels)
    weights = [layer.forward_weight() for layer in net.layers]
    assert all(weight.abs().max() > 0 for weight in weights)
    if kind != "one":  # standardised once, in float32
        with torch.no_grad():
            wanted = net.double()(events.transpose(0, 1)).numpy()
        np.testing.assert_allclose(got, wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("precision", ["int16", "int8"])
@pytest.mark.parametrize("kind", ["dense", "max", "even", "one"])
def test_whole_numbers_are_the_twins(kind: str, precision: str, tmp_path: Path):
    net = network(kind)
    entry = fixed.Input(10, 1500)
    _, whole = c_program.write(tmp_path, net, None, None, precision=precision, entry=entry)
    assert whole is not None
    events, labels = c_program.sequences(net, 6, 12)
    events *= 2  # some are cut off
    assert float(events.max()) > 1500 / 2**10
    c_program.compile(tmp_path, "float")
    got, _ = c_program.run(tmp_path, net, events, labels)
    said, spikes = fixed.run(whole, events.transpose(0, 1).numpy())
    assert spikes.min() > 5
    assert np.array_equal(got, said)
    # Nothing overflows (the sanitizers look on), be inputs and sequences as large as they may.
    draws = torch.Generator().manual_seed(5)
    most = torch.randint(0, 2, (3, 4 * 12, *net.in_shape), generator=draws).double() * 2e6 - 1e6
    most[0] = 1e6
    got, _ = c_program.run(tmp_path, net, most, labels[:3])
    assert np.array_equal(got, fixed.run(whole, most.transpose(0, 1).numpy())[0])
    # They say what float32 says, as closely as their bits let them.
    if precision == "int16":
        with torch.no_grad():
            wanted = net(events.clamp(max=1500 / 2**10).float().transpose(0, 1)).numpy()
        scale = np.abs(wanted).max() / np.abs(said).max()
        assert np.corrcoef(said.ravel() * scale, wanted.ravel())[0, 1] > 0.97


def heard(form: str, mel: Mel, encoding: str = "features") -> Features:
    """Features whose statistics are those of a sound."""
    draws = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(mel.rate, generator=draws, dtype=torch.float64)
    return Features(mel, form, encoding, 0.3).measured([mel.power(sound)[:, None]])


MELS = [
    Mel(8000, 30.0, 20.0), Mel(16000, 25.0, 10.0, 20, 100.0, 7000.0), Mel(100, 260, 260, 2, 1, 40),
]  # fmt: skip


@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize("encoding", ["features", "delta"])
@pytest.mark.parametrize("form", ["causal", "pcen", "relative"])
def test_the_front_end_hears_the_same(form: str, encoding: str, mel: Mel, tmp_path: Path):
    ears = heard(form, mel, encoding)
    net = mlp(ears.channels, [4], 3, generator=generator(0, "weights"))
    c_program.write(tmp_path, net, None, None, ears=ears)
    hops = 40
    draws = torch.Generator().manual_seed(2)
    swell = torch.linspace(0, 0.9, hops * mel.stride, dtype=torch.float64)
    sound = swell * torch.rand(len(swell), generator=draws, dtype=torch.float64)
    sound[: 5 * mel.stride] = 0
    stream, frames = None, []
    for hop in sound.split(mel.stride):
        events, stream = causal_step(ears, stream, hop)
        frames.append(events)
    wanted = torch.cat(frames).numpy()
    assert np.abs(wanted).max() > 1
    c_program.compile(tmp_path)
    done = subprocess.run(["./driver"], cwd=tmp_path, input=sound.numpy().tobytes(),
                          capture_output=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = np.frombuffer(done.stdout).reshape(hops, -1)
    if encoding == "delta":
        rises, falls = np.split(got.astype(int), 2, 1)
        assert np.array_equal(got, wanted)
        assert min(rises.sum(), falls.sum()) > 20
        assert np.all(rises * falls == 0)
    else:
        np.testing.assert_allclose(got, wanted, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(
    "spec", [{"form": "clip"}, {"form": "causal", "encoding": "lif"}, None]
)  # fmt: skip
def test_ears_that_c_has_not(spec):
    made = None if spec is None else Features(Mel(8000), **spec).spec
    with pytest.raises(UserError, match="--front-end"):
        front_end.find(made)


def test_a_name_does_not_end_its_comment(tmp_path: Path):
    net, _ = c_program.dense([8])
    c_program.write(tmp_path, net, None, None, name='a */ #error "b"\n\\')
    c_program.compile(tmp_path)


def test_more_weights_than_a_device_has():
    with torch.device("meta"):
        net = mlp(4000, [3000], 10)
    with pytest.raises(UserError, match="12030000 weights are more than"):
        plan.plan(net)


def test_weights_too_large_for_whole_numbers():
    net, _ = c_program.dense([8])
    net.layers[0].weight.data *= 1e6
    made = plan.plan(net, precision="int8")
    with pytest.raises(UserError, match="weights of layer 1 are too large"):
        fixed.fix(net, made, fixed.Input(0, 1), 12)
    uneven = network("average")
    with pytest.raises(UserError, match="places of different sizes"):
        fixed.fix(uneven, plan.plan(uneven, precision="int8"), fixed.Input(0, 1), 12)


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang")
@pytest.mark.parametrize("real", ["float", "double"])
def test_clang_takes_it_without_a_warning(real: str, tmp_path: Path):
    net, rule = c_program.dense([16, 12], recurrent=True, rule=VARIANT)
    c_program.write(tmp_path, net, rule, "all")
    c_program.compile(tmp_path, real, "clang", [])
    c_program.write(tmp_path / "conv", network("average"), None, None)
    c_program.compile(tmp_path / "conv", real, "clang", [])
