"""Learning in int16: the C is its NumPy model bit for bit, and follows the float64 rule."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import c_program
from synaptrace.build import mlp
from synaptrace.errors import UserError
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import (
    count,
    fixed,
    learning_fixed,
    learning_twin,
    plan,
    rehearsal,
    vectors,
)
from synaptrace.surrogate import Triangle
from test_export_c import CASES as FLOAT

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (gcc)")

CASES = {name: FLOAT[name] for name in ("variant", "deep", "every step", "two parts", "readout")}
ENTRY = fixed.Input(12, 2**12)


def written(tmp_path: Path, options: dict, learn: str, kept=None):
    """An exported network, its twin and the sequences it learns from."""
    net, rule = c_program.dense(**options)
    made, whole = c_program.write(
        tmp_path, net, rule, learn, precision="int16", entry=ENTRY, kept=kept
    )
    learner = learning_twin.Learner(whole, made, learning_fixed.learning(net, rule, made, whole))
    events, labels = c_program.sequences(net, 15, 12)
    return net, rule, learner, events, labels


def learn(learner, events, labels, every: int | None, rate: float) -> np.ndarray:
    said = []
    for x, label in zip(events, labels.tolist(), strict=True):
        stored = learner.whole.input.store(x.reshape(len(x), -1).float().numpy())
        said.append(learner.sequence(stored, label, rate=rate, every=every))
        learner.update(rate)
    return np.array(said)


@pytest.mark.parametrize("name", CASES)
def test_a_whole_fine_tuning_is_the_twins_bit_for_bit(name: str, tmp_path: Path):
    options, what, every = CASES[name]
    net, _, learner, events, labels = written(tmp_path, options, what)
    before = learner.flat("weight")
    c_program.compile(tmp_path, "float", extra=c_program.SANE if name == "deep" else [])
    got, learned = c_program.run(tmp_path, net, events, labels, every, 0.01)
    assert np.array_equal(got, learn(learner, events, labels, every, 0.01))
    assert (learner.flat("weight") != before).mean() > 0.3
    assert np.array_equal(learned, learner.flat("weight"))


def test_gradients_follow_float64(tmp_path: Path):
    options = CASES["deep"][0]
    net, rule, learner, events, labels = written(tmp_path, options, "all")
    some = vectors.Sequences(
        tuple(x.float().numpy() for x in events[:4]), tuple(labels[:4].tolist())
    )
    for x, label in zip(some.events, some.labels, strict=True):
        learner.sequence(learner.whole.input.store(x), label, 0.25)
    got = np.concatenate([block.gradient.ravel() / 2**16 for block in learner.blocks])
    exact = copy.deepcopy(net).double()
    twin = rule.double()
    wanted = np.zeros_like(got)
    for x, label in zip(some.events, some.labels, strict=True):
        one = vectors.Sequences((x,), (label,))
        wanted += 0.25 * vectors.learn(copy.deepcopy(exact), twin, learner.plan, one)[1]
    assert np.corrcoef(got, wanted)[0, 1] > 0.97
    assert np.abs(got).sum() == pytest.approx(np.abs(wanted).sum(), rel=0.1)


def test_rehearsal_and_anchor_are_the_twins(tmp_path: Path):
    old, old_labels = c_program.sequences(c_program.dense([8])[0], 7, 12)
    kept = rehearsal.store([each.float().numpy() for each in old], old_labels.tolist())
    net, _, learner, events, labels = written(tmp_path, CASES["variant"][0], "all", kept)
    c_program.compile(tmp_path, "float", extra=[])
    events, labels = events[:10], labels[:10]
    got, learned = c_program.run(tmp_path, net, events, labels, None, 0.01)
    said, seed = [], 1
    for x, label in zip(events, labels.tolist(), strict=True):
        for by in (13, -17, 5):
            seed = (seed ^ (seed << by if by > 0 else seed >> -by)) % 2**32
        said.append(learner.sequence(learner.whole.input.store(x.float().numpy()), label, 0.5))
        again = (kept.sequences[seed % 7] * kept.unit).astype(np.float32)
        learner.sequence(learner.whole.input.store(again), kept.labels[seed % 7], 0.5)
        learner.update(0.01)
        learner.anchor(0.01)
    assert np.array_equal(got, np.array(said))
    assert np.array_equal(learned, learner.flat("weight"))


def test_nothing_overflows_at_the_bounds(tmp_path: Path):
    """Inputs as large as they may be, and a rate that drives weights to where they stop."""
    net, _, learner, events, labels = written(tmp_path, CASES["deep"][0], "all")
    c_program.compile(tmp_path, "float")  # the sanitizers look on
    events = torch.full_like(events[:6], 1e6)
    got, learned = c_program.run(tmp_path, net, events, labels[:6], 1, 100.0)
    assert np.array_equal(got, learn(learner, events, labels[:6], 1, 100.0))
    assert np.array_equal(learned, learner.flat("weight"))
    assert any((np.abs(block.weight) == block.most).mean() > 0.1 for block in learner.blocks)


def test_what_whole_numbers_do_not_learn(tmp_path: Path):
    for options, pattern in (
        ({"rule": {"temperature": 0.1}}, "rule.temperature of 0.25 to 1024, not 0.1"),
        ({"neuron": {"surrogate": Triangle(20.0)}}, "scale of 20 is too steep"),
    ):
        net, rule = c_program.dense([8], **options)
        made = plan.plan(net, rule, "all", "int16")
        whole = fixed.fix(net, made, ENTRY, 12)
        with pytest.raises(UserError, match=pattern):
            learning_fixed.learning(net, rule, made, whole)
    c_program.write(tmp_path, *c_program.dense([8]), "all", precision="int16", entry=ENTRY)
    with pytest.raises(AssertionError, match="in whole numbers there is no Adam"):
        c_program.compile(tmp_path, "float", extra=["-DADAM=1"])


def test_budgets_of_learning():
    """The readout in 64 KiB of RAM; 96 recurrent units in 160 KiB in int16."""
    bytes_of = {}
    for precision, what in (("float32", "readout"), ("int16", "readout"),
                            ("float32", "layers.0"), ("int16", "layers.0")):  # fmt: skip
        with torch.device("meta"):
            net = mlp(120, [200 if what == "readout" else 96], 10, recurrent=True)
            rule = TracesPropagation(net, contrast="class")
        made = replace(plan.plan(net, rule, what, precision), adam=False)
        bytes_of[precision, what] = count.ram(count.count(made))
    assert bytes_of["float32", "readout"] <= 64 * 1024
    assert bytes_of["int16", "readout"] < bytes_of["float32", "readout"] / 1.5
    assert bytes_of["int16", "layers.0"] <= 160 * 1024
    assert bytes_of["int16", "layers.0"] < 0.6 * bytes_of["float32", "layers.0"]


@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang")
@pytest.mark.parametrize("what", ["all", "readout"])
def test_clang_takes_it_without_a_warning(what: str, tmp_path: Path):
    written(tmp_path, CASES["deep"][0], what)
    c_program.compile(tmp_path, "float", "clang", [])
