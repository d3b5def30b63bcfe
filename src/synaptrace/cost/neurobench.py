"""What inference costs, as NeuroBench names and defines it, on a trained network and real data.

    footprint            bytes of parameters, zeros included, and of one sample's state
    connection sparsity  share of weights that are zero
    activation sparsity  share of hidden neurons' outputs that are zero: all steps, all samples
    synaptic operations  of a sample, all its steps, on average:
      effective ACs      non-zero inputs at non-zero weights, where all inputs of that layer in
                         that step are −1, 0 or 1
      effective MACs     the same where one is another number, as after average pooling
      dense              all inputs at all weights

Not among the operations: biases, pooling, and what neurons do themselves (decay, threshold, reset).
NeuroBench's harness averages operations over samples, its paper over executions of the model, which
are time steps here: divide by ``steps``.

A weight is what an input is multiplied by, standardised or not. Whether a layer's inputs are
spikes is asked of every sample by itself, as the harness does at batch size 1; it asks a larger
batch at once, so there one sample can turn another's additions into MACs.

Source: Yik et al. 2025, "The neurobench framework for benchmarking neuromorphic computing
algorithms and systems", Nature Communications 16 (arXiv 2304.04640); the harness is the package
neurobench, here as of 2.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.dataset import Batch
from synaptrace.errors import UserError
from synaptrace.layers import Layer
from synaptrace.network import Network, State, mask


@torch.no_grad()
def measure(net: Network, batches: Iterable[Batch]) -> dict[str, Any]:
    """Run ``net`` over ``batches`` of (events (T, B, …), labels, lengths (B,) or None).

    A sample counts up to its own end. The plain path runs, one step after the other.

    Returns:
        JSON-able, with the harness's keys; beside them ``steps``, a sample's on average.

    Raises:
        UserError: no samples; events that don't fit.
    """
    device = net.readout.weight.device
    fans = list(fan_outs(net))
    acs, macs, spikes = torch.zeros(3, dtype=torch.float64, device=device)
    samples = steps = 0
    for events, _, lengths in batches:
        length, batch = events.shape[:2]
        ends = torch.full((batch,), length) if lengths is None else lengths.clamp(max=length)
        samples, steps, ends = samples + batch, steps + int(ends.sum()), ends.to(device)
        state = net.initial_state(batch)
        for t, x in enumerate(events.to(device)):
            running, before = t < ends, state
            x = net.fit(mask(x, running))
            _, state = net.step(x, before)
            for layer in state.spikes:
                spikes += torch.count_nonzero(layer[running])
            for given, (fan, _) in zip(inputs(net, x, before, state), fans, strict=True):
                rows = given[running].flatten(1)
                binary = ((rows == 0) | (rows.abs() == 1)).all(1)
                operations = (rows != 0).double() @ fan
                acs += operations[binary].sum()
                macs += operations[~binary].sum()
    if not samples:
        raise UserError("no samples to count operations on")
    rest = net.initial_state(1)
    held = [*net.parameters(), *rest.membrane, *rest.spikes, *rest.adaptation, rest.logits]
    weights = [weight for layer in [*net.layers, net.readout] for weight in connections(layer)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    neurons = sum(layer.numel() for layer in rest.spikes)
    return {
        "footprint": sum(tensor.numel() * tensor.element_size() for tensor in held),
        "connection_sparsity": zeros / sum(weight.numel() for weight in weights),
        "activation_sparsity": 1 - float(spikes) / (steps * neurons),
        "synaptic_operations": {
            "Effective_MACs": float(macs) / samples,
            "Effective_ACs": float(acs) / samples,
            "Dense": sum(float(every.sum()) for _, every in fans) * steps / samples,
        },
        "steps": steps / samples,
    }


def connections(layer: Layer) -> list[Tensor]:
    """The weights that inputs, and then the layer's own spikes, are multiplied by."""
    return [layer.forward_weight(), *([] if layer.recurrent is None else [layer.recurrent])]


def fan_outs(net: Network) -> Iterator[tuple[Tensor, Tensor]]:
    """How many non-zero weights, and how many weights, each of a layer's inputs meets.

    For all that `inputs` yields, two (inputs,) float64. At a map's border it is fewer.
    """
    for layer in [*net.layers, net.readout]:
        weight, *recurrent = connections(layer)
        outputs = layer.weight.new_ones(1, *layer.shape)
        used = (weight != 0).to(outputs)
        fan, every = (layer.back(outputs, ones) for ones in (used, torch.ones_like(used)))
        yield fan.flatten().double(), every.flatten().double()
        for own in recurrent:
            yield (own != 0).sum(0).double(), torch.ones_like(own).sum(0).double()


def inputs(net: Network, x: Tensor, before: State, after: State) -> Iterator[Tensor]:
    """All that a step multiplies by weights: each layer's input, and its own spikes of t−1."""
    for layer, own, spikes in zip(net.layers, before.spikes, after.spikes, strict=True):
        yield x
        if layer.recurrent is not None:
            yield own
        x = layer.pool(spikes)
    yield x


def terminal(found: dict[str, Any]) -> str:
    """Lines for a person."""
    lines = [f"footprint             {found['footprint']} bytes"]
    for key in ("connection_sparsity", "activation_sparsity"):
        lines.append(f"{key.replace('_', ' '):20}  {found[key]:.4f}")
    for key, count in found["synaptic_operations"].items():
        each = count / found["steps"]
        name = key.replace("_", " ")
        lines.append(f"{name:20}  {count:.1f} per inference, {each:.1f} per time step")
    return "\n".join(lines)
