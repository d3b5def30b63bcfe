"""What a rule's update needs that is not at its synapse, which every rule states of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Locality:
    """What an update needs that is not at its synapse."""

    space: bool
    """A layer learns from what it and the label tell it, without an error from other layers."""
    time: bool
    """A step learns from states kept at the synapse or neuron; nothing is run backwards."""
    auxiliary: str
    """Matrices beyond the network's weights, in sizes of O classes, H neurons; "none"."""
    update_locked: bool
    """A layer's update waits for layers above it, be it the readout's error alone."""
    weight_transport: str
    """Errors travel through transposed forward weights: "no", "yes" or "within the layer"."""
    batch: bool = False
    """A sample learns only in the company of others."""
