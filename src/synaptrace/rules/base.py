"""What every learning rule shares: the loop over time, and explicit state between steps.

    rule.start(labels)
    for x in events:               # (T, B, …)
        logits = rule.step(x)      # adds to .grad; no autograd graph outlives the step
    logits = rule.finish()

A rule fills in `_start` and `_step` (and `_finish`, if it defers gradients). All that lives from
step to step is ``self.state`` (state.py); held.py says when the forward weights are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.network import Network, mask
from synaptrace.rules.checks import Whole, check_network, check_samples, part_of, whole
from synaptrace.rules.held import HeldWeights
from synaptrace.rules.locality import Locality as Locality
from synaptrace.rules.options import noting

__all__ = ["Locality", "Rule"]

PURPOSES = {
    "membrane": "neuron state", "spikes": "neuron state", "adaptation": "neuron state",
    "readout": "neuron state", "logits": "neuron state", "labels": "records",
    "lengths": "records", "whole_labels": "records", "whole_lengths": "records",
    "losses": "records", "rates": "records", "auxiliary": "auxiliary",
}  # fmt: skip
"""What every rule's tensors are for, by name."""


class Rule(HeldWeights):
    """A learning rule on a network; subclasses state equations, source and locality.

    Autocast changes nothing within a rule; ``precision="bfloat16"`` is the network's matter.
    The network is not a submodule: ``rule.parameters()`` are the rule's own, and the optimizer
    is given ``[*net.parameters(), *rule.parameters()]``.
    """

    name: ClassVar[str]
    """Its name in the registry."""
    adaptive: ClassVar[bool] = False
    """Whether it is defined for adaptive thresholds."""
    locality: Locality
    """A class attribute; an instance's own where options change it."""
    options: Mapping[str, Any]
    """The constructor's JSON-able options, as it was called; a rule need not fill them in."""
    unsaved: ClassVar[tuple[str, ...]] = ()
    """Options that change no result, of which ``spec`` knows nothing."""
    order: str = ""
    """How what a layer keeps beyond its weights grows, with B samples, T steps, I inputs, H neurons
    and O classes; a class attribute, an instance's own where options change it."""
    purposes: ClassVar[Mapping[str, str]] = PURPOSES
    """What the tensors of `tensors` are for, by name ("neuron state", "records", "auxiliary" or
    "saved"); one that isn't named is a trace. A subclass adds its own names to these."""
    parts: bool = True
    """Whether the gradients of a batch are the sums of its parts' (``batch`` of `start`): so where
    a sample counts `sample_weight` and learns from its batch through labels and lengths alone. A
    class attribute, an instance's own where options change it."""
    telling: Sequence[int] | None = (0, 1)
    """Steps, from 0, at which memory can be what it was at no earlier one; None: at every one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.purposes = {
            name: purpose
            for each in reversed(cls.__mro__)
            for name, purpose in vars(each).get("purposes", {}).items()
        }
        if "__init__" in vars(cls):
            cls.__init__ = noting(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, net: Network, *, generator: torch.Generator | None = None) -> None:
        check_network(net)
        super().__init__(net)
        self.__dict__.setdefault("options", {})
        if net.adaptive and not self.adaptive:
            raise UserError(f"neuron.adaptation: {self.name} knows no adaptive thresholds; set 0")
        self.generator: torch.Generator | None = None

    @property
    def spec(self) -> dict[str, Any]:
        """The JSON-able description from which `rules.build` makes the rule again."""
        return {"name": self.name, **self.options}

    def doubts(self) -> list[str]:
        """What a user should hear before a training starts, a line each."""
        return []

    # What a rule fills in.

    def _open(self, labels: Tensor) -> None:
        """Add to ``self.state`` what describes a new batch, whatever then runs it."""

    def _start(self, labels: Tensor) -> None:
        """Add to ``self.state`` what `_step` goes on from: neurons at rest, empty traces."""
        raise NotImplementedError

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        """One step: x (B, *in_shape), running (B,) bool or None where all run → logits."""
        raise NotImplementedError

    def _quickly(self, x: Tensor) -> Tensor | None:
        """The step on what `step` was given in a faster way, for the rules that have one; None
        where it can't be used, and nothing was done."""
        return None

    def _finish(self) -> None:
        """Deferred gradients, for the rules that have them."""

    def _whole(
        self, events: Tensor, optimizer: torch.optim.Optimizer | None, every: int | None
    ) -> bool:
        """All steps and the updates between them at once, for the rules that have a faster way;
        False where it can't be used, and nothing was done."""
        return False

    # The loop that users write.

    def start(
        self,
        labels: Tensor,
        *,
        steps: int | None = None,
        lengths: Tensor | None = None,
        generator: torch.Generator | None = None,
        batch: Whole | None = None,
    ) -> None:
        """Begin a batch of sequences; nothing of an earlier one remains but what is ``lasting``.

        Args:
            labels: (B,) int64, the class of each sample.
            steps: the number of steps to come, for rules that need it.
            lengths: (B,) in steps; beyond its end a sample changes no logits and no gradient.
            generator: the source of randomness, for rules that draw.
            batch: labels (N,) and lengths (N,) or None of the whole batch, where this is a part of
                it; the gradients, `losses` and `rates` of all parts then add up to the batch's.

        Raises:
            UserError: labels, lengths or a batch that don't fit; a rule that takes no parts.
        """
        self._begin(labels, steps, lengths, generator, batch)
        with torch.no_grad():
            self._start(self.state["labels"][0])

    def _begin(
        self, labels: Tensor, steps: int | None, lengths: Tensor | None,
        generator: torch.Generator | None, batch: Whole | None,
    ) -> None:  # fmt: skip
        """What every way of running a batch begins with."""
        like = self._follow_dtype()
        labels = whole("labels", labels, "(B,) int64").to(like.device)
        if labels.dim() != 1 or not len(labels):
            raise UserError(f"labels: need (B,) int64, got {tuple(labels.shape)}")
        if lengths is not None:
            lengths = whole("lengths", lengths, "whole numbers of steps").to(like.device)
        if not labels.is_meta:  # read once, here; a step reads nothing back
            check_samples(labels, lengths, self.classes)
        layers = len(self.net.layers)
        self.state = self._lasting() | {
            "labels": [labels],
            "lengths": [] if lengths is None else [lengths],
            "logits": [like.new_zeros(len(labels), self.classes)],
            "losses": [like.new_zeros(layers + 1)],
            "rates": [like.new_zeros(layers)],
        }
        if batch is not None:
            self.state |= part_of(self, labels, lengths, batch)
        self.time, self.steps, self.generator, self.open = 0, steps, generator, True
        with torch.no_grad():
            self._open(labels)

    def add_class(self, *, generator: torch.Generator | None = None) -> None:
        """Follow `Network.add_class`: what the rule holds for each class gets one more.

        Args:
            generator: draws new weights, where there are any.

        Raises:
            RuntimeError: amid a sequence.
            UserError: a rule with matrices of its own that can't grow, or a network without a
                new class.
        """
        if self.open:
            raise RuntimeError("rule.add_class amid a sequence; call rule.finish() first")
        self._add_class(generator)
        self.state = {}

    def _add_class(self, generator: torch.Generator | None) -> None:
        """One more class in the rule's own tensors, for the rules that have some."""
        if next(self.children(), None) is not None or self.state_dict():
            raise UserError(f"rule: {self.name} can't take on another class; tp can")

    def step(self, x: Tensor) -> Tensor:
        """One time step: forward, and this step's gradients added to ``.grad``.

        Args:
            x: (B, *in_shape), the input of this step.

        Returns:
            The readout's logits (B, classes), those of an ended sample unchanged.

        Raises:
            RuntimeError: no `start` before it.
            UserError: a shape that doesn't fit.
        """
        if not self.open:
            raise RuntimeError("rule.step needs rule.start(labels) first")
        logits = self._quickly(x)
        if logits is None:
            x = self._fit(x)
            lengths = self.state["lengths"]
            running = self.time < lengths[0] if lengths else None
            if not self._held:  # `sequence` has seen to both
                self._refresh()
            with torch.no_grad(), nullcontext() if self._held else self._exact():
                logits = self._step(mask(x, running), running)
        self.state["logits"] = [logits]
        vars(self)["time"] += 1  # a module's own way looks for parameters of that name first
        return logits

    def _fit(self, x: Tensor) -> Tensor:
        x = self.net.fit(x)
        if len(x) != self.batch:
            raise UserError(f"events: {len(x)} samples, but start was given {self.batch} labels")
        return x

    def finish(self) -> Tensor:
        """End the sequence: deferred gradients are added; returns the last logits.

        Raises:
            RuntimeError: no `start` before it.
        """
        if not self.open:
            raise RuntimeError("rule.finish needs rule.start(labels) first")
        with self._exact():
            self._finish()
        self.open = False
        return self.state["logits"][0].detach()

    def sequence(
        self,
        events: Tensor,
        labels: Tensor,
        *,
        lengths: Tensor | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        every: int | None = None,
        generator: torch.Generator | None = None,
        batch: Whole | None = None,
    ) -> Tensor:
        """A whole sequence at once: the same as the loop over `step`, up to rounding.

        Args:
            events: (T, B, *in_shape), T at least 1.
            labels, lengths, generator, batch: as for `start`.
            optimizer: steps every ``every`` time steps and after the last one, its gradients
                cleared afterwards; None leaves the summed gradients in ``.grad``.
            every: time steps between two updates; None updates once, at the end.

        Returns:
            logits (B, classes) at each sample's end.

        Raises:
            UserError: no step, an ``every`` below 1; events, labels or lengths that don't fit.
        """
        if not len(events):
            raise UserError("events: a sequence needs at least one step")
        if every is not None and every < 1:
            raise UserError(f"every: {every} is not a positive number of steps")
        self._begin(labels, len(events), lengths, generator, batch)
        if not self._whole(events, optimizer, every):
            with torch.no_grad():
                self._start(self.state["labels"][0])
            with self._exact(), self._holding():
                for t, x in enumerate(events, 1):
                    self.step(x)
                    if optimizer is not None and every and t % every == 0 < len(events) - t:
                        self._update(optimizer)
        logits = self.finish()
        if optimizer is not None:
            self._update(optimizer)
        return logits
