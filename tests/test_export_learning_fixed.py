"""Learning in int16: the C is its NumPy model bit for bit, and follows the float64 rule."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import c_program
from synaptrace.neuron import FastSigmoid, Triangle
from synaptrace.ship.c import fixed, learning_fixed, learning_twin

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (gcc)")

VARIANT = {"eligibility": True, "temperature": "auto"}
HARD = {"reset": "hard", "decay": (0.8, 0.7), "trace_decay": (0.9, 0.8),
        "surrogate": FastSigmoid(2.0)}  # fmt: skip
CASES = {
    "variant": ({"hidden": [16], "recurrent": True, "rule": VARIANT}, "all", None),
    "deep": (
        {"hidden": [16, 12], "recurrent": True, "rule": VARIANT, "gain": 2.0, "neuron": HARD},
        "all", None,
    ),
    "every step": (
        {"hidden": [16, 12], "gain": 2.0, "rule": {"temperature": 2.0},
         "neuron": {"surrogate": Triangle(0.5)}}, "all", 1,
    ),
    "two parts": ({"hidden": [16, 12], "gain": 2.0, "rule": VARIANT}, "readout,layers.0", 3),
    "second layer": ({"hidden": [16, 12], "gain": 2.0, "rule": VARIANT}, "layers.1", None),
    "readout": ({"hidden": [16, 12], "gain": 2.0, "readout_decay": 0.9}, "readout", None),
}  # fmt: skip
ENTRY = fixed.Input(12, 2**12)


def written(tmp_path: Path, options: dict, learn: str, kept=None):
    """An exported network, its twin and the sequences it learns from."""
    net, rule = c_program.dense(**options)
    made, whole = c_program.write(
        tmp_path, net, rule, learn, precision="int16", entry=ENTRY, kept=kept
    )
    learner = learning_twin.Learner(whole, made, learning_fixed.learning(net, rule, made, whole))
    events, labels = c_program.sequences(net, 50, 12)
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
    c_program.compile(tmp_path, "float")
    got, learned = c_program.run(tmp_path, net, events, labels, every, 0.01)
    assert np.array_equal(got, learn(learner, events, labels, every, 0.01))
    assert (learner.flat("weight") != before).mean() > 0.3
    assert np.array_equal(learned, learner.flat("weight"))
