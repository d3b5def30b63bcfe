"""The published TP procedure, transcribed literally with autograd: slow, and the judge.

It shares no code with the rule. A second stream carries a row for every sample of the batch, the
similarities are B×B, and `torch.autograd` differentiates each step's loss; every state of step
t−1 and every layer's input is detached. Source: arXiv 2509.13053.

Where the rule has eligibility the membrane's own path stays, u^{t−1} = v^{t−1} − a constant, the
weights are the same throughout the sequence, and each step's loss goes back along it. Resets,
traces, recurrent spikes and inputs are detached as before. The graph grows with the sequence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from synaptrace.network import Network
    from synaptrace.rules.tp import TracesPropagation


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: float, kind: str, a: float) -> Tensor:
        ctx.save_for_backward(v)
        ctx.settings = threshold, kind, a
        return (v >= threshold).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (v,), (threshold, kind, a) = ctx.saved_tensors, ctx.settings
        xi = v - threshold
        if kind == "atan":
            slope = a / (1 + (math.pi * xi) ** 2)
        elif kind == "fast_sigmoid":
            slope = 1 / (1 + a * xi.abs()) ** 2
        else:
            slope = a * torch.relu(1 - xi.abs())
        return grads[0] * slope, None, None, None


class Oracle:
    """The published procedure on a copy of a network's and a rule's weights.

    ``parameters`` holds the copies by their public names; `step` adds to their ``.grad``.
    """

    def __init__(self, net: Network, rule: TracesPropagation) -> None:
        self.spec, self.neuron = net.spec, net.spec["neuron"]
        named = {**dict(net.named_parameters()), **net_buffers(rule)}
        self.parameters = {k: v.detach().clone() for k, v in named.items()}
        for name, value in self.parameters.items():
            value.requires_grad_(name != "label.recurrent")
        self.parameters["label.weight"].requires_grad_(rule.train_label)
        self.label_threshold, self.by_class = rule.label_threshold, rule.contrast.kind == "class"
        self.shape = net.layers[0].shape
        self.maps = [layer.in_shape if len(layer.in_shape) == 3 else None for layer in net.layers]
        self.pools = [
            [layer.kind, layer.size] if hasattr(layer, "kind") else ["none", 1]
            for layer in net.layers
        ]
        self.depth = len(net.layers)
        self.eligibility, self.contrast = rule.presynaptic.eligibility, rule.contrast

    def start(self, labels: Tensor, lengths: Tensor | None = None) -> None:
        """A fresh state for a batch with ``labels`` (B,) and ``lengths`` (B,)."""
        self.labels, self.lengths, self.t = labels, lengths, 0
        targets = torch.arange(self.spec["classes"]) if self.by_class else labels
        one_hot = F.one_hot(targets, self.spec["classes"])
        self.y = one_hot.to(self.parameters["readout.weight"].dtype)
        self.rows = labels if self.by_class else torch.arange(len(labels))
        self.state: dict[str, Tensor | float] = {}
        self.logits: Tensor | float = 0.0
        self.spikes = [0.0] * self.depth

    def _weight(self, name: str) -> Tensor:
        w = self.parameters[name]
        if not self.spec["standardise"]:
            return w
        flat = w.flatten(1)
        mean, var = flat.mean(1, keepdim=True), flat.var(1, unbiased=False, keepdim=True)
        return (1.8 * (flat - mean) / (var * flat.shape[1] + 1e-5).sqrt()).view_as(w)

    def _stream(self, which: str, i: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """One stream through layer i: its pooled spikes and its trace, differentiable once."""
        n, key = self.neuron, f"{which}{i}"
        label = which == "y" and i == 0
        source = "label" if label else f"layers.{i}"
        u, s, z = (self.state.get(f"{key}.{k}", 0.0) for k in "usz")
        weight, seen = self._weight(f"{source}.weight"), None if label else self.maps[i]
        x = x if seen is None else x.reshape(-1, *seen)
        current = F.conv2d(x, weight, padding=1) if weight.dim() == 4 else x.flatten(1) @ weight.t()
        current = current.view(-1, *self.shape) if label else current
        if f"{source}.recurrent" in self.parameters and not isinstance(s, float):
            current = current + s @ self.parameters[f"{source}.recurrent"].t()
        threshold = self.label_threshold if label else n["threshold"]
        v = each(n["decay"], i) * u + current
        s = _Fire.apply(v, threshold, n["surrogate"], n["scale"])  # type: ignore[no-untyped-call]
        out = pool(s, self.pools[i])
        z = each(n["trace_decay"], i) * z + out
        spikes = s.detach()
        u = v - threshold * spikes if n["reset"] == "soft" else v - (v * spikes).detach()
        kept = {f"{key}.u": u if self.eligibility else u.detach()}
        self.state.update(kept | {f"{key}.s": spikes, f"{key}.z": z.detach()})
        return out, z

    def _temperature(self, y: Tensor) -> Tensor | float:
        """τ of target rows y, one a class that is there: from distances of all pairs if "auto"."""
        if self.contrast.temperature != "auto":
            return self.contrast.temperature
        if not self.by_class:  # every sample has a row: the first of each class
            y = y[[self.labels.tolist().index(c) for c in sorted(set(self.labels.tolist()))]]
        rows = points(y)
        if len(rows) < 2:
            return 1.0
        apart = (rows[:, None] - rows[None]).square().sum(2).mean(2)
        mean = apart.sum() / (len(rows) * (len(rows) - 1))
        return torch.clamp(mean / 2 / self.contrast.margin, min=1.0)

    def step(self, x: Tensor) -> Tensor:
        """One step: x (B, …) → logits (B, classes); gradients are added to ``.grad``."""
        run = torch.ones_like(self.labels, dtype=torch.bool)
        if self.lengths is not None:
            run = self.t < self.lengths
        keep = torch.ones(len(self.y), dtype=torch.bool) if self.by_class else run
        batch, below, source = len(self.labels), self.state.get("label", 0.0), self.y
        below = each(self.neuron["trace_decay"], 0) * below + self.y
        self.state["label"], total = below, torch.zeros((), dtype=x.dtype)
        for i in range(self.depth):
            x, z = self._stream("z", i, x.detach())
            source, y = self._stream("y", i, source.detach())
            self.spikes[i] += float(x.detach().mean())
            distance = pairwise(below)[:, keep]
            target = torch.softmax(-distance, 1)[self.rows]
            similar = (
                torch.einsum("bcp,dcp->bd", points(z), points(y))[:, keep] / points(z).shape[2]
            ) / self._temperature(y.detach())
            loss = F.cross_entropy(similar, target.detach(), reduction="none")
            total = total + (loss * run).sum() / batch
            below = y.detach()
        drive = x.detach().flatten(1) @ self._weight("readout.weight").detach().t()
        membrane: Tensor = self.spec["readout_decay"] * self.logits + drive
        if not isinstance(self.logits, float):
            membrane = torch.where(run[:, None], membrane, self.logits)
        self.logits = membrane
        error = membrane.softmax(1) - F.one_hot(self.labels, self.spec["classes"])
        # The published readout takes the trace where autograd would take the spikes.
        readout = self.parameters["readout.weight"]
        trace = z.detach().flatten(1)
        total = total + ((error * run[:, None]) * (trace @ readout.t())).sum() / batch
        torch.autograd.backward(total, retain_graph=self.eligibility)
        self.t += 1
        return membrane


def points(trace: Tensor) -> Tensor:
    """(B, channels, pixels), one pixel where dense."""
    return trace.flatten(2) if trace.dim() > 2 else trace[:, :, None]


def pairwise(trace: Tensor) -> Tensor:
    """Euclidean distances of all pairs, the mean over pixels where there are some."""
    rows = points(trace)
    return (rows[:, None] - rows[None] + 1e-9).square().sum(2).sqrt().mean(2)


def pool(s: Tensor, kind: list[Any]) -> Tensor:
    """Spikes (B, c, h, w) pooled, by kind and size."""
    name, size = kind
    kinds: dict[str, Any] = {
        "max": F.max_pool2d,
        "avg": F.avg_pool2d,
        "aavg": F.adaptive_avg_pool2d,
    }
    out: Tensor = s if name == "none" else kinds[name](s, size)
    return out


def each(value: Any, i: int) -> float:
    """Layer i's number, of one for all or one for each."""
    return float(value if isinstance(value, float | int) else value[i])


def net_buffers(rule: TracesPropagation) -> dict[str, Tensor]:
    """The label projection's weights by name, trained or not."""
    kept = {"label.weight": rule.label.weight, "label.recurrent": rule.label.recurrent}
    return {k: v for k, v in kept.items() if v is not None}
