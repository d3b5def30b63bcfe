"""What a network does on one part of a data set: accuracy, recall, confusion, spikes.

Only the sample stream runs, one time step after the other, so memory doesn't grow with T.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from synaptrace import inference
from synaptrace.data.dataset import Batch
from synaptrace.network import Network, mask


@dataclass(frozen=True)
class Score:
    """Counts over all samples of a split."""

    confusion: Tensor
    """(classes, classes) int64: rows are labels, columns predictions."""
    spikes: Tensor
    """(layers,) float64: spikes of each hidden layer, summed over samples, neurons and steps."""
    chances: Tensor
    """(layers,) float64: neurons × steps × samples, the spikes there could have been."""

    @property
    def samples(self) -> int:
        """Samples that were evaluated."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float | None:
        """Share of samples that are right; None without samples."""
        return int(self.confusion.trace()) / self.samples if self.samples else None

    @property
    def recall(self) -> list[float | None]:
        """For each class, the share of its samples that are right; None without samples."""
        rows = zip(self.confusion.diagonal().tolist(), self.confusion.sum(1).tolist(), strict=True)
        return [right / count if count else None for right, count in rows]

    @property
    def rates(self) -> list[float]:
        """For each hidden layer, mean spikes per neuron and step."""
        rates: list[float] = (self.spikes / self.chances.clamp(min=1)).tolist()
        return rates

    @property
    def spikes_per_inference(self) -> float | None:
        """Mean spikes of all hidden neurons over one sample; None without samples."""
        return float(self.spikes.sum()) / self.samples if self.samples else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return {
            "accuracy": self.accuracy,
            "samples": self.samples,
            "recall": self.recall,
            "confusion": self.confusion.tolist(),
            "spikes_per_inference": self.spikes_per_inference,
            "rates": self.rates,
        }


@torch.no_grad()
def evaluate(net: Network, batches: Iterable[Batch]) -> Score:
    """Run ``net`` over ``batches`` of (events (T, B, …), labels (B,), lengths (B,) or None).

    A sample's prediction is argmax of the logits at its own end; what lies beyond counts nowhere.
    """
    device, layers = net.readout.weight.device, len(net.layers)
    confusion = torch.zeros(net.classes, net.classes, dtype=torch.int64, device=device)
    spikes = torch.zeros(layers, dtype=torch.float64, device=device)
    chances = torch.zeros(layers, dtype=torch.float64, device=device)
    for events, labels, lengths in batches:
        events, labels = events.to(device), labels.to(device, torch.int64)
        lengths = None if lengths is None else lengths.to(device, torch.int64)
        steps, batch = events.shape[:2]
        fast = inference.forward(net, events, lengths)
        logits, counts = run(net, events, lengths) if fast is None else fast[:2]
        spikes += counts
        ran = batch * steps if lengths is None else lengths.clamp(max=steps).sum()
        chances += ran * torch.tensor(
            [math.prod(layer.shape) for layer in net.layers], device=device
        )
        one = confusion.new_ones(())
        confusion.index_put_((labels, logits.argmax(1)), one, accumulate=True)
    return Score(confusion.cpu(), spikes.cpu(), chances.cpu())


def run(net: Network, events: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Logits (B, classes) at each sample's end and spikes of each layer up to there (layers,)."""
    state = net.initial_state(events.shape[1])
    final = state.logits
    spikes = torch.zeros(len(net.layers), dtype=torch.int64, device=final.device)
    for t, x in enumerate(events):
        running = None if lengths is None else t < lengths
        logits, state = net.step(mask(x, running), state)
        final = logits if running is None else torch.where(running[:, None], logits, final)
        for i, layer in enumerate(state.spikes):
            spikes[i] += torch.count_nonzero(layer if running is None else layer[running])
    return final, spikes
