"""Readout only: its gradient is autograd's, and there is no other."""

import pytest

import spiking
from synaptrace.rules import build

NETWORKS = {
    "dense": spiking.dense,
    "recurrent": lambda: spiking.dense(7, 6, recurrent=True),
    "adaptive": lambda: spiking.dense(neuron={"adaptation": 0.2, "reset": "hard"}),
    "conv": spiking.conv,
    "standardised": lambda: spiking.conv(standardise=True),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_readout_learns_exactly_and_nothing_else_does(kind: str) -> None:
    net = NETWORKS[kind]()
    x = spiking.events(net)
    expected = spiking.gradients(build(net, "bptt"), x)
    found = spiking.gradients(build(net, "readout-only"), x)
    assert net.layers[0].weight.grad is None
    spiking.assert_same(found, {"readout.weight": expected["readout.weight"]})
