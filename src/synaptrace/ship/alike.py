"""What C and NIR ask of layers: of one kind, with neurons that differ in decays alone."""

from __future__ import annotations

from dataclasses import replace

from synaptrace.errors import UserError
from synaptrace.network import Network


def check(net: Network, target: str) -> None:
    """Raises UserError, naming ``target``, where the layers of ``net`` are of several sorts."""
    if len({type(layer) for layer in net.layers}) > 1:
        raise UserError(
            f"--to {target}: convolutions and dense layers in one network have no form there; "
            "--to pt2 takes any network"
        )
    first = net.layers[0].neuron
    for i, layer in enumerate(net.layers):
        if replace(layer.neuron, decay=first.decay, trace_decay=first.trace_decay) != first:
            raise UserError(
                f"--to {target}: the neurons of layer {i} differ from the first layer's in more "
                "than decays, which has no form there; --to pt2 takes any network"
            )
