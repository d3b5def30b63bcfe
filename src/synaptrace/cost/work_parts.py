"""What every rule's work space is built from: layers that fire, the readout, copies of weights."""

from __future__ import annotations

from synaptrace.cost.sizes import Case, Layer


def fired(layer: Layer) -> int:
    """What a layer's step leaves (`rules.stream.Fired`), for a sample: v, ψ, s′ and p(s)."""
    return 3 * layer.neurons + layer.pooled


def firing(layer: Layer) -> int:
    """The highest moment of a layer's step: v, v − θ, ψ, u′, s′ and the pooled spikes."""
    return 5 * layer.neurons + layer.pooled + layer.indices


def unpooling(layer: Layer) -> int:
    """An error on its way back through the pooling, beside the one that came; 0 without any."""
    if not layer.pooled:
        return 0
    return layer.neurons + (3 * layer.outputs if layer.pool == "max" else 0)


def readout(c: Case) -> int:
    """Five rows of classes; or three, and the gradient before it is summed up."""
    rows = c.batch * c.classes
    return max(5 * rows, 3 * rows + (c.readout if c.standardised else 0))


def kernels(c: Case) -> int:
    """Copies of the weights that live through a sequence: all where they are standardised, else
    those of convolutions, channels last."""
    own = c.readout if c.standardised else 0
    return own + sum(x.weights for x in c.layers if c.standardised or x.convolution)


def update(c: Case) -> int:
    """The chain rule through the standardisation takes two of the largest matrix, and four
    numbers a row."""
    if not c.standardised:
        return 0
    rows = [(c.readout, c.classes), *((layer.weights, layer.channels) for layer in c.layers)]
    return max(2 * weights + 4 * channels for weights, channels in rows)
