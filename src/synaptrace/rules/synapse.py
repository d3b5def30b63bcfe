"""Traces of each synapse, for the rules that need them; dense layers only.

What reaches a neuron is its layer's input x and, with recurrent weights, the layer's spikes s′ of
the step before. Here they stand side by side, (B, K) with K = I or I + H; a trace of each synapse
is (B, H, K), and the layer's W and R side by side are (H, K).
"""

from __future__ import annotations

import torch
from torch import Tensor

from synaptrace.layers import Dense, Layer
from synaptrace.network import Network


def synapses(net: Network) -> list[tuple[int, int]]:
    """(H, K) of each hidden layer."""
    sizes = []
    for layer in net.layers:
        neurons, inputs = layer.weight.shape
        sizes.append((neurons, inputs if layer.recurrent is None else inputs + neurons))
    return sizes


def beside(layer: Layer, x: Tensor, spikes: Tensor) -> Tensor:
    """x (B, I) and, if recurrent, spikes (B, H) side by side, (B, K)."""
    return x if layer.recurrent is None else torch.cat([x, spikes], 1)


def accumulate(layer: Dense, g: Tensor, trace: Tensor) -> None:
    """Add ∂[W R]_ij = Σ_b g_i ε_ij to ``.grad``: g (B, H), a trace for each synapse (B, H, K)."""
    inputs = layer.weight.shape[1]
    layer.accumulate_synapses(g, trace[:, :, :inputs], trace[:, :, inputs:])
