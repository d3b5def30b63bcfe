"""A network's forward pass under autograd with paths held constant: the judge of local rules."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.network import Network
from synaptrace.neuron import reset, spike


class Step(NamedTuple):
    """What each hidden layer did in a step, and the logits; differentiable."""

    x: list[Tensor]
    v: list[Tensor]
    spikes: list[Tensor]
    out: list[Tensor]
    logits: Tensor


def unrolled(
    net: Network,
    x: Tensor,
    *,
    states: bool = False,
    inputs: bool = False,
    resets: bool = False,
    recurrence: bool = False,
) -> Iterator[Step]:
    """Steps of x (T, B, …). What is True is held constant: all ``states`` of the step before, each
    layer's ``inputs``, the spikes in ``resets``, the spikes that go round in the ``recurrence``."""
    u: list[Tensor | float] = [0.0] * len(net.layers)
    s = [torch.zeros(x.shape[1], *layer.shape, dtype=x.dtype) for layer in net.layers]
    logits = torch.zeros(x.shape[1], net.classes, dtype=x.dtype)
    for frame in x:
        step = Step([], [], [], [], logits)
        for i, layer in enumerate(net.layers):
            frame = frame.detach() if inputs else frame
            step.x.append(frame)
            v = layer.current(frame, s[i].detach() if recurrence else s[i], layer.forward_weight())
            v = v + layer.neuron.beta * u[i]
            spikes = spike(layer.neuron, v)
            u[i] = reset(layer.neuron, v, spikes.detach() if resets else spikes)
            s[i], frame = spikes, layer.pool(spikes)
            if states:
                u[i], s[i] = u[i].detach(), spikes.detach()
            step.v.append(v)
            step.spikes.append(spikes)
            step.out.append(frame)
        drive = frame.flatten(1) @ net.readout.forward_weight().t()
        logits = net.readout_decay * (logits.detach() if states else logits) + drive
        yield step._replace(logits=logits)


def hidden_gradients(net: Network, total: Tensor) -> dict[str, Tensor]:
    """Autograd's gradient of ``total`` with respect to every hidden weight, by name."""
    named = {k: p for k, p in net.named_parameters() if k.startswith("layers")}
    return dict(zip(named, torch.autograd.grad(total, list(named.values())), strict=True))


def weight_gradients(
    net: Network, i: int, g: Tensor, x: Tensor, spikes: Tensor
) -> dict[str, Tensor]:
    """gᵀ x and gᵀ s of layer i by name, whatever the layer does with its weights."""
    layer = net.layers[i]
    drive = (layer.current(x.detach(), spikes.detach(), layer.forward_weight()) * g.detach()).sum()
    named = dict(layer.named_parameters(prefix=f"layers.{i}"))
    return dict(zip(named, torch.autograd.grad(drive, list(named.values())), strict=True))


def add(total: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    """Add gradients to those of the same names."""
    for name, value in more.items():
        total[name] = total.get(name, 0.0) + value


def discounted(values: list[Tensor], decay: float) -> Tensor:
    """Σ_k decay^(n−1−k) values[k] over the n values, as the sum it is."""
    terms = [decay ** (len(values) - 1 - k) * value.detach() for k, value in enumerate(values)]
    return torch.stack(terms).sum(0)
