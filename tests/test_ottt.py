"""OTTT: exact for the last hidden layer of a feed-forward network whose readout doesn't remember.

Its sums everywhere else are judged in test_stllr.py, as the special case that it is there.
"""

import pytest
import torch
from torch.nn import functional as F

import spiking
from synaptrace.rules import build
from unrolled import hidden_gradients, unrolled

NETWORKS = {
    "dense": lambda **options: spiking.dense(7, 6, **options),
    "conv": lambda **options: spiking.conv(standardise=True, **options),
}


@pytest.mark.parametrize("beta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("kind", NETWORKS)
def test_exact_for_the_last_hidden_layer(kind: str, beta: float) -> None:
    net = NETWORKS[kind](readout_decay=0.0, neuron={"decay": beta})
    x, labels = spiking.events(net), spiking.labels()
    found = spiking.gradients(build(net, "ottt"), x)
    total = sum(F.cross_entropy(step.logits, labels) for step in unrolled(net, x, resets=True))
    expected = hidden_gradients(net, total)
    last, below = "layers.1.weight", "layers.0.weight"
    spiking.assert_same({last: found[last]}, {last: expected[last]})
    same = torch.allclose(found[below], expected[below])
    assert same == (beta == 0), "below, what a layer did earlier to the one above is left out"
