"""What a training takes in memory, measured: every tensor's bytes, by what it is for.

A network and a rule are made, and trained on one sequence and another, with all tensors watched
(`synaptrace.cost.meter.Meter`). Input is streamed: one frame at a time. At the end of every step of
the second sequence what lives is sorted into `PURPOSES` by its owner, of a rule's own tensors as
the rule says (`Rule.purposes`); what lived at the highest moment beyond that is the work space. Not
counted, and nothing else: Python objects, the allocator's rounding, and buffers within one library
call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from synaptrace.cost.meter import Meter
from synaptrace.memory import id_of, storage_bytes
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.training.state import adam

PURPOSES = (
    "parameters", "gradients", "optimizer", "auxiliary", "neuron state", "traces", "saved",
    "records", "input", "work space",
)  # fmt: skip
"""What memory is for; the work space is what a step or an update needs beyond all that is kept."""

Make = Callable[[], tuple[Network, Rule]]


@dataclass
class Watch:
    """Frames of a streamed sequence (T, B, *in_shape), and what lives whenever one is asked for."""

    net: Network
    rule: Rule
    optimizer: torch.optim.Optimizer
    batch: int
    steps: int
    meter: Meter
    telling: Sequence[int] | None = None
    """The steps that are taken, the others being passed over; None: all."""
    kept: dict[str, int] = field(default_factory=dict)
    """Bytes by purpose after the step that left most."""
    unexplained: int = 0
    """Bytes alive after a step that have no owner, at most."""
    gradients: int = 0
    """Bytes of all gradients, when the optimizer gets them."""

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        draws = torch.Generator().manual_seed(0)
        shape, passed = (self.batch, *self.net.in_shape), 0
        for t in range(self.steps) if self.telling is None else self.telling:
            if t >= self.steps:
                break
            self.rule.pass_over(t - passed)
            x = self.net.readout.weight.new_empty(shape)
            if not x.is_meta:
                x.bernoulli_(0.1, generator=draws)
            yield x
            self.look(x)
            passed = t + 1
            del x
        self.rule.pass_over(self.steps - passed)

    def update(self, *arguments: object) -> None:
        """Count the gradients that the optimizer is about to use."""
        trained = [*self.net.parameters(), *self.rule.parameters()]
        self.gradients = storage_bytes(p.grad for p in trained if p.grad is not None)

    def look(self, x: Tensor) -> None:
        """Sort what lives now by purpose, each storage once; keep the fullest step's."""
        known: set[int] = set()
        kept = dict.fromkeys(PURPOSES, 0)
        for purpose, tensors in self.owned(x):
            for tensor in tensors:
                if id_of(tensor) not in known:
                    known.add(id_of(tensor))
                    kept[purpose] += tensor.untyped_storage().nbytes()
        self.unexplained = max(self.unexplained, self.meter.now - sum(kept.values()))
        if sum(kept.values()) >= sum(self.kept.values()):
            self.kept = kept

    def owned(self, x: Tensor) -> Iterator[tuple[str, list[Tensor]]]:
        """Everything that has an owner."""
        net, rule = self.net, self.rule
        layers = [*net.layers, net.readout]
        trained = [*net.parameters(), *rule.parameters()]
        yield "parameters", list(net.parameters())
        yield "gradients", [p.grad for p in trained if p.grad is not None]
        yield "gradients", [g for layer in layers for g in layer.deferred or ()]
        state = self.optimizer.state.values()
        yield "optimizer", [t for each in state for t in each.values() if isinstance(t, Tensor)]
        for name, kept in rule.tensors().items():
            yield rule.purposes.get(name, "traces"), kept
        yield "input", [x]
        yield (
            "work space",
            [*rule.forward_weights, *(o.weight for o in getattr(rule, "_label_operations", ()))],
        )


@dataclass(frozen=True)
class Measured:
    """Bytes of one training."""

    purposes: dict[str, int]
    """By purpose; they sum up to the highest mark of all that lived at once."""
    unexplained: int
    """Bytes alive between two steps that nothing owns: 0, or something leaks."""

    @property
    def total(self) -> int:
        """The most bytes alive at once."""
        return sum(self.purposes.values())


def measure(make: Make, batch: int, steps: int) -> Measured:
    """Train on a short sequence and one of ``steps`` steps, an update after each; measure that.

    Labels take turns, so that as many classes are present as can be. ``make`` is called once, and
    its network must live on the CPU.
    """
    with Meter() as meter:
        net, rule = make()
        optimizer = adam([*net.parameters(), *rule.parameters()], lr=1e-3)
        return watched(Watch(net, rule, optimizer, batch, steps, meter), min(steps, 2))


def watched(watch: Watch, before: int) -> Measured:
    """What a sequence takes, after one of ``before`` steps; while the meter is entered."""
    steps, meter, optimizer = watch.steps, watch.meter, watch.optimizer
    optimizer.register_step_pre_hook(watch.update)
    labels = torch.arange(watch.batch, device=watch.net.readout.weight.device) % watch.net.classes
    frames = cast(Tensor, watch)  # a sequence asks for its length and its frames only
    for watch.steps in (before, steps):
        meter.peak = meter.now
        watch.rule.sequence(frames, labels, optimizer=optimizer)
    peak = meter.peak
    kept = watch.kept | {"gradients": watch.gradients, "work space": 0}
    kept["work space"] = peak - sum(kept.values())
    return Measured(kept, watch.unexplained)
