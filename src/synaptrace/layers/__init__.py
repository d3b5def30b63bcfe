"""Dense and convolutional layers: what a layer does with spikes, and with a local error.

A rule asks a layer for `current`, `pool`, `unpool`, `back` and `accumulate`, and never what kind
it is.
Rows come first everywhere; a row is a sample, or a class of the target stream.

Optional weight standardisation, Ŵ = 1.8 (W − mean) / sqrt(var · fan_in + 1e-5) per output unit
(biased variance), and its chain rule live inside `forward_weight` and `accumulate`. A layer is
never called as a module, so forward hooks on it don't fire; those on a network fire when the
network is called.
"""

from synaptrace.layers.conv import NO_POOL, Conv, Pool
from synaptrace.layers.dense import Dense
from synaptrace.layers.gradients import (
    DeferredGradient,
    Shape,
    add_gradient,
    add_product,
    add_synapses,
    initial,
    standardise,
    standardise_gradient,
)

Layer = Dense | Conv
"""A layer of either kind."""

__all__ = [
    "NO_POOL",
    "Conv",
    "DeferredGradient",
    "Dense",
    "Layer",
    "Pool",
    "Shape",
    "add_gradient",
    "add_product",
    "add_synapses",
    "initial",
    "standardise",
    "standardise_gradient",
]
