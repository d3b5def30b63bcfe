"""A network looked at: all that its layers do on some events, and what it is, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.layers import Conv, Layer

if TYPE_CHECKING:
    from synaptrace.network import Network

KINDS = ("spikes", "membrane", "trace")


@torch.no_grad()
def record(net: Network, events: Tensor, what: Sequence[str]) -> dict[str, Tensor]:
    """`Network.record`."""
    what = (what,) if isinstance(what, str) else tuple(what)
    if wrong := [each for each in what if each not in KINDS]:
        raise UserError(f"what: {wrong[0]!r} is none of {', '.join(KINDS)}")
    if not isinstance(events, Tensor) or events.dim() < 3:
        raise UserError(f"events: need a tensor (T, B, {', '.join(map(str, net.in_shape))})")
    like, (steps, batch) = net.readout.weight, events.shape[:2]
    shapes: dict[str, tuple[int, ...]] = {"readout": (net.classes,)}
    for i, layer in enumerate(net.layers):
        own = {"spikes": layer.shape, "membrane": layer.shape, "trace": layer.out_shape}
        shapes |= {f"layers.{i}.{kind}": own[kind] for kind in what}
    found = {name: like.new_zeros(steps, batch, *shape) for name, shape in shapes.items()}
    state = None
    for t, x in enumerate(events.to(like.device)):
        found["readout"][t], state = net.step(x, state)
        for i, layer in enumerate(net.layers):
            s = state.spikes[i]
            now = {"spikes": s, "membrane": state.membrane[i]}
            if "trace" in what:
                before = found[f"layers.{i}.trace"][t - 1] if t else 0.0
                now["trace"] = layer.neuron.lam * before + layer.pool(s)
            for kind in what:
                found[f"layers.{i}.{kind}"][t] = now[kind]
    return found


def described(net: Network) -> str:
    """Sizes, neurons and parameters, a line each layer."""
    count = sum(weight.numel() for weight in net.parameters())
    rows = [(f"layers.{i}", *_layer(layer), _neuron(layer)) for i, layer in enumerate(net.layers)]
    rows.append(("readout", *_layer(net.readout), f"leaky, decay {net.readout_decay:g}"))
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    sides = "×".join(map(str, net.in_shape))
    lines = [f"Network: {sides} → {net.classes} classes, {count:,} weights"]
    for name, sizes, weights, neuron in rows:
        lines.append(f"  {name:<{wide[0]}}  {sizes:<{wide[1]}}  {weights:>{wide[2]}}  {neuron}")
    return "\n".join(lines)


def _layer(layer: Layer) -> tuple[str, str]:
    """What a layer makes of what, and its number of weights."""
    outputs = "×".join(map(str, layer.out_shape))
    said = f"{type(layer).__name__} {layer.weight.shape[1]} → {outputs}"
    if isinstance(layer, Conv) and layer.kind != "none":
        said += f", pool {layer.kind} {layer.size}"
    said += ", recurrent" if layer.recurrent is not None else ""
    said += ", standardised" if layer.standardise else ""
    return said, f"{sum(weight.numel() for weight in layer.parameters()):,}"


def _neuron(layer: Layer) -> str:
    """A layer's neurons."""
    neuron = layer.neuron
    kind, scale = type(neuron.surrogate).__name__, getattr(neuron.surrogate, "scale", None)
    said = (
        f"threshold {neuron.threshold:g}, decay {neuron.beta:g}, trace decay {neuron.lam:g}, "
        f"{neuron.reset} reset, {kind}" + ("" if scale is None else f"({scale:g})")
    )
    return said + (f", adaptation {neuron.adaptation:g}" if neuron.adaptation else "")
