"""What a training takes in memory, counted without numbers: on PyTorch's meta device.

A network and a rule are made there, and trained as in `profiling`. No operation computes anything,
so that it takes no time that grows with their sizes, and every tensor's bytes are known all the
same. Only the steps at which memory can be another than before are taken (`Rule.telling`); of a
rule whose memory grows with every step a few, from which the line goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from synaptrace import build as networks
from synaptrace.compare.rule_variants import Contender
from synaptrace.cost.blind import Blind
from synaptrace.cost.profiling import Make, Watch, watched
from synaptrace.errors import UserError, one_line
from synaptrace.network import Network
from synaptrace.rules.base import Rule

FEW = 5
"""Steps after which memory that grows with time does so along a line."""


class Moments(torch.optim.Optimizer):
    """Adam's state, without its arithmetic: the fused one, which takes no work space, isn't known
    on the meta device."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters, {})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make the moments that Adam would have, and nothing else."""
        for parameter in (p for group in self.param_groups for p in group["params"]):
            state = self.state[parameter]
            if parameter.grad is not None and not state:
                state["step"] = parameter.new_empty(())
                state["exp_avg"] = torch.empty_like(parameter)
                state["exp_avg_sq"] = torch.empty_like(parameter)


def bare(spec: dict[str, Any]) -> Network:
    """The network of ``spec`` (`Network.spec`) without numbers in it, however large it is."""
    with torch.device("meta"):
        return networks.build(spec)


def build(spec: dict[str, Any], one: Contender) -> tuple[Network, Rule]:
    """Network and rule without numbers in them.

    Raises:
        UserError: a rule that isn't defined on such a network.
    """
    net = bare(spec)
    with torch.device("meta"):
        return net, one.build(net)


def count(spec: dict[str, Any], one: Contender, batch: int, steps: int) -> dict[str, int]:
    """Bytes by purpose (`profiling.PURPOSES`) of a training with Adam, updated once a sequence."""

    def make() -> tuple[Network, Rule]:
        return build(spec, one)

    return counted(make, batch, steps)


def counted(make: Make, batch: int, steps: int) -> dict[str, int]:
    """The same of what ``make`` makes on the meta device."""
    found, grows = run(make, batch, steps)
    if not grows or steps <= FEW:
        return found
    before, _ = run(make, batch, FEW - 1)
    return {key: n + (n - before[key]) * (steps - FEW) for key, n in found.items()}


def run(make: Make, batch: int, steps: int) -> tuple[dict[str, int], bool]:
    """Bytes by purpose, and whether the rule's memory grows with every step; then at most `FEW`
    are taken.

    Raises:
        UserError: a rule of one's own that does what needs numbers, or makes tensors elsewhere.
    """
    with Blind() as meter:
        net, rule = make()
        meter.present, grows = min(batch, net.classes), rule.telling is None
        optimizer = Moments([*net.parameters(), *rule.parameters()])
        steps = min(steps, FEW) if grows else steps
        watch = Watch(net, rule, optimizer, batch, steps, meter, rule.telling)
        try:
            return watched(watch, before=1).purposes, grows
        except RuntimeError as error:
            if type(rule).__module__.startswith("synaptrace.rules."):
                raise
            raise UserError(
                f"rule {rule.name}: can't be counted without numbers ({one_line(str(error))}); "
                "make its tensors where their sources are (device=), or use memory --process"
            ) from error
