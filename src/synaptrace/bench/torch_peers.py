"""snnTorch's and SpikingJelly's backpropagation through time of a dense network of ours.

The same weights, neuron, surrogate and loss: logits, and gradients too, agree with this library's
BPTT. Where a package leaves a choice it is the faster: input currents of all steps at once where
it has a multi-step mode, one call for the loss of all steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from synaptrace.bench.cases import Parts
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.surrogate import ATan


def job(parts: Parts, module: Callable[[Network], nn.Module], rate: float) -> Callable[[], object]:
    """One batch: forward, backwards through time, Adam."""
    peer = module(parts.net)
    optimizer = torch.optim.Adam(peer.parameters(), lr=rate, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        loss(peer(parts.events), parts.labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return run


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over steps, the mean over samples, of logits (T, B, classes)."""
    steps, batch = logits.shape[:2]
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(steps), reduction="sum") / batch


class _Peer(nn.Module):
    """The weights of a network as bias-free linear layers."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        first = net.layers[0].neuron
        if first.surrogate != ATan() or first.reset != "soft" or net.adaptive:
            raise UserError("bench: peers have soft resets and the arc tangent of scale 1 only")
        self.alpha = net.readout_decay
        self.threshold = first.threshold
        self.sizes = [len(layer.weight) for layer in net.layers]
        self.drive = nn.ModuleList(linear(layer.weight) for layer in net.layers)
        again = [layer.recurrent for layer in net.layers]
        self.recurrent = nn.ModuleList(linear(w) for w in again if w is not None)
        self.readout = linear(net.readout.weight)


class SnnTorch(_Peer):
    """`snn.Leaky` and `snn.RLeaky`. The reset is subtracted here, for theirs comes a step late or
    is bounded to one threshold a step."""

    def __init__(self, net: Network) -> None:
        import snntorch as snn
        from snntorch import surrogate

        super().__init__(net)
        self.neurons = nn.ModuleList()
        for i, layer in enumerate(net.layers):
            settings: dict[str, Any] = {
                "beta": layer.neuron.beta, "threshold": layer.neuron.threshold,
                "spike_grad": surrogate.atan(alpha=2.0), "reset_mechanism": "none",
            }  # fmt: skip
            if self.recurrent:
                made = snn.RLeaky(linear_features=len(layer.weight), **settings)
                made.recurrent = self.recurrent[i]
            else:
                made = snn.Leaky(**settings)
            self.neurons.append(made)

    def forward(self, events: Tensor) -> Tensor:
        """(T, B, inputs) → logits (T, B, classes)."""
        batch = events.shape[1]
        membranes = [events.new_zeros(batch, neurons) for neurons in self.sizes]
        spikes = list(membranes)
        m, logits = events.new_zeros(batch, self.readout.out_features), []
        for x in events:
            for i, (drive, neuron) in enumerate(zip(self.drive, self.neurons, strict=True)):
                state = (spikes[i], membranes[i]) if self.recurrent else (membranes[i],)
                spikes[i], v = neuron(drive(x), *state)
                membranes[i] = v - self.threshold * spikes[i]
                x = spikes[i]
            m = self.alpha * m + self.readout(x)
            logits.append(m)
        return torch.stack(logits)


class SpikingJelly(_Peer):
    """`neuron.LIFNode`: many steps at once where nothing recurs, single steps else."""

    def __init__(self, net: Network) -> None:
        from spikingjelly.activation_based import neuron, surrogate

        super().__init__(net)
        self.neurons = nn.ModuleList(
            neuron.LIFNode(
                tau=1 / (1 - layer.neuron.beta), decay_input=False,
                v_threshold=layer.neuron.threshold, v_reset=None,
                surrogate_function=surrogate.ATan(alpha=2.0),
                step_mode="s" if self.recurrent else "m",
            )
            for layer in net.layers
        )  # fmt: skip

    def forward(self, events: Tensor) -> Tensor:
        """(T, B, inputs) → logits (T, B, classes)."""
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        x = events
        for i, (drive, neuron) in enumerate(zip(self.drive, self.neurons, strict=True)):
            current = drive(x)
            x = (
                self._recur(current, neuron, self.recurrent[i])
                if self.recurrent
                else neuron(current)
            )
        out = self.readout(x)
        if self.alpha == 1:
            return torch.cumsum(out, 0)
        logits = [out[0]]
        for each in out[1:]:
            logits.append(self.alpha * logits[-1] + each)
        return torch.stack(logits)

    def _recur(self, current: Tensor, neuron: nn.Module, recurrent: nn.Module) -> Tensor:
        spikes = [neuron(current[0])]
        for each in current[1:]:
            spikes.append(neuron(each + recurrent(spikes[-1])))
        return torch.stack(spikes)


def linear(weight: Tensor) -> nn.Linear:
    """A bias-free linear layer with a copy of a weight."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    made.weight = nn.Parameter(weight.detach().clone())
    return made
