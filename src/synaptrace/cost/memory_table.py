"""The table of memory: each rule's bytes by purpose, counted and measured.

Rules run on PyTorch, TP too (``engine="torch"``). Compiled, a step of another rule on a dense
network takes room for the places and values of a batch's inputs, twice, and a tile of weights.
Compiled, a convolution of TP also keeps its weights packed, four bytes each, and for its work takes
a sixteenth of its padded input and a gradient; on a matrix unit six bytes each, and at most 16 MiB
and a gradient.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from synaptrace import build as networks
from synaptrace.compare.rule_variants import Contender, contender
from synaptrace.cost import count
from synaptrace.cost.process import Job, peak_memory
from synaptrace.cost.profiling import PURPOSES, Measured, measure
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.text_table import shown
from synaptrace.training.state import adam

CPU = torch.device("cpu")
Spec = dict[str, Any]
"""A network's description (`Network.spec`)."""


@dataclass(frozen=True)
class Line:
    """One rule's memory, in bytes."""

    rule: str
    order: str
    """Growth of what is kept beyond the weights, for each layer."""
    counted: dict[str, int]
    measured: dict[str, int] | None
    unexplained: int = 0
    process: int | None = None
    """Growth of a fresh process's resident memory by the same training."""
    cuda: int | None = None
    """What PyTorch's allocator had on the GPU at most, by the same training there."""

    @property
    def difference(self) -> float | None:
        """Of the counted total from the measured, as a share of it."""
        if self.measured is None:
            return None
        return sum(self.counted.values()) / sum(self.measured.values()) - 1

    def about(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "difference": self.difference}


def make(spec: Spec, one: Contender) -> tuple[Network, Rule]:
    """The network and the rule, from a fixed seed."""
    draws = generator(0, "memory")
    net = networks.build(spec, generator=draws)
    return net, one.build(net, draws)


def defined(spec: Spec, label: str) -> Contender | str:
    """The contender, or why its rule isn't defined on such a network."""
    one = contender(label, spec["readout_decay"])
    try:
        count.build(spec, one)
    except UserError as error:
        if "use a dense network" not in str(error):
            raise
        return f"{label}: {error}"
    return one


def training(spec: Spec, label: str, batch: int, steps: int, device: torch.device = CPU) -> Job:
    """Network, rule and two sequences without anything that watches them, for a fresh process.

    A tiny network is trained first, so that PyTorch's own code is there before.
    """
    job = sequences(spec, label, batch, steps, device)
    tiny = {"kind": "mlp", "inputs": 8, "hidden": [8], "recurrent": False}
    if spec["kind"] != "mlp":
        tiny = {"kind": "conv", "channels": [[4, ["max", 2]]], "in_shape": (2, 8, 8)}
    shared = ("classes", "neuron", "readout_decay", "standardise", "precision")
    sequences(tiny | {key: spec[key] for key in shared}, label, 4, 2, device)()
    return job


def sequences(spec: Spec, label: str, batch: int, steps: int, device: torch.device = CPU) -> Job:
    """A short sequence and one of ``steps``, an update after each; events are zeros."""

    def job() -> None:
        net, rule = make(spec, contender(label, spec["readout_decay"]))
        net.to(device)
        rule.to(device)
        optimizer = adam([*net.parameters(), *rule.parameters()], lr=1e-3)
        labels = torch.arange(batch, device=device) % net.classes
        events = torch.zeros(1, batch, *net.in_shape, device=device)
        for length in (min(steps, 2), steps):
            rule.sequence(events.expand(length, *events.shape[1:]), labels, optimizer=optimizer)

    return job


def cuda_peak(job: Job, device: torch.device) -> int:
    """Bytes by which ``job`` raises the peak of what PyTorch has allocated on the GPU ``device``.

    Counted are tensors, in blocks of 512 bytes, and buffers that a library call takes from the same
    allocator; not what that holds in reserve, nor CUDA's own. Run the job's libraries before, as
    `training` does, or the work space that they keep for ever is counted, too.
    """
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    job()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def line(
    spec: Spec, one: Contender, batch: int, steps: int, measured: bool = True,
    process: bool = False, device: torch.device = CPU,
) -> Line:  # fmt: skip
    """Count, and measure, one rule's training on batches of ``batch`` sequences of ``steps``.

    ``process``: run it in a process of its own, too, with the library's and the allocator's share;
    and where ``device`` is a GPU, once more there.
    """
    found: Measured | None = None
    if measured:
        found = measure(lambda: make(spec, one), batch, steps)
    return Line(
        one.label,
        count.build(spec, one)[1].order,
        count.count(spec, one, batch, steps),
        found.purposes if found else None,
        found.unexplained if found else 0,
        peak_memory(training, spec, one.label, batch, steps) if process else None,
        cuda_peak(training(spec, one.label, batch, steps, device), device)
        if process and device.type == "cuda"
        else None,
    )


def terminal(lines: Sequence[Line]) -> str:
    """KiB, two lines a rule: counted, and measured below with the difference."""
    head = ["rule", "KiB", *PURPOSES, "total", "difference %", "growth of what is kept, a layer"]
    rows = [head]
    for each in lines:
        rows.append([each.rule, "counted", *_kib(each.counted), "", each.order])
        if each.measured is not None and each.difference is not None:
            off = f"{100 * each.difference:+.2f}"
            rows.append([each.rule, "measured", *_kib(each.measured), off, ""])
        for kind, grown in (("process", each.process), ("cuda", each.cuda)):
            if grown is not None:
                blank = [""] * len(PURPOSES)
                rows.append([each.rule, kind, *blank, f"{grown / 1024:.1f}", "", ""])
    return shown(rows, keys=2)


def _kib(purposes: dict[str, int]) -> list[str]:
    values = [purposes[purpose] for purpose in PURPOSES]
    return [f"{value / 1024:.1f}" for value in [*values, sum(values)]]
