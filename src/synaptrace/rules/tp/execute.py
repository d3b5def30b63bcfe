"""How a step, or a sequence, of Traces Propagation runs: the only place where that is decided.

    plain     `step.step`: all rows at once
    blocks    `blocks.step`: the rows in blocks, where there are more classes than a block
    native    `native.sequence`: a whole sequence of a dense network, compiled;
              `native_step`: one step of it

All give the same up to rounding. In a convolutional network the first two take a layer's work from
`operations.Native` where it can be used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim import optimizer as hooks

from synaptrace.errors import UserError
from synaptrace.inference import overridden, unfit
from synaptrace.native import maps
from synaptrace.rules.tp import blocks, native, native_step
from synaptrace.rules.tp import step as plain
from synaptrace.stepping import watched

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation

BLOCK = blocks.BLOCK
ROWS = 8192
"""Most class rows of the native engine, which keeps traces, membranes and errors of all of them."""
Kept = native.Memory
EVERYWHERE = (hooks._global_optimizer_pre_hooks, hooks._global_optimizer_post_hooks)
"""Hooks that PyTorch calls at the steps of all optimizers."""
ODD = ("amsgrad", "maximize", "differentiable", "capturable")
"""Options of Adam that the native engine hasn't."""


def step(
    rule: TracesPropagation,
) -> Callable[[TracesPropagation, Tensor, Tensor | None], Tensor]:
    """How the rule's next step is done."""
    return blocks.step if len(rule.targets) > rule.block else plain.step


def natively(rule: TracesPropagation, x: Tensor) -> Tensor | None:
    """Do the next step natively; None where that can't be, and nothing was done.

    Args:
        x: as `Rule.step` was given it.

    Raises:
        UserError: a shape that doesn't fit.
    """
    if rule.engine == "torch" or type(x) is not Tensor or watched():
        return None
    known = rule.kept.step
    if isinstance(known, native_step.Learning):
        logits = known.advance(rule, x)
        if logits is not None:
            return logits
    x = rule._fit(x).flatten(1).contiguous()
    if not isinstance(known, native_step.Learning) or not known.takes(x):
        rule.kept.step = None
        if unfit(rule.net, x) or variant(rule) or obstacle(rule, x, None, None):
            return None
        if len(rule.targets) > rule.block or native_step.obstacle(rule):
            return None
        earlier, known = known, native_step.Learning(rule, x)
        if earlier is not None:
            known.follow(earlier)
        rule.kept.step = known
    return known.advance(rule, x)


def maps_natively(rule: TracesPropagation) -> bool:
    """Whether the work on maps is the native engine's."""
    return rule.engine != "torch" and maps.obstacle(rule.net) is None


INERT = (
    "tensors", "state_dict", "load_state_dict", "spec", "losses", "rates", "add_class", "doubts",
    "_add_class",
)  # fmt: skip
"""Methods of a rule that have no part in a sequence, which a subclass may have of its own."""
MIRRORED = ("kind", "temperature", "margin", "eligibility")
"""Settings of `Contrast` and `Presynaptic` that the native engine has; of others, the defaults."""


def whole(
    rule: TracesPropagation, events: Tensor, optimizer: Optimizer | None, every: int | None
) -> bool:
    """Do a whole sequence natively; False where that can't be, and nothing was done.

    Raises:
        UserError: the rule's engine is "native", and can't be used.
    """
    if rule.engine == "torch":
        return False
    rule._fit(events[0])
    reason = variant(rule) or obstacle(rule, events, optimizer, every)
    if reason is not None:
        if rule.engine == "native" and maps.obstacle(rule.net) is not None:
            raise UserError(f"rule.engine: the native one can't be used: {reason}")
        return False
    lengths = rule.state["lengths"][0] if rule.state["lengths"] else None
    known = {id(p) for p, _ in native.trained(rule)}
    adam = optimizer is not None and plain_adam(optimizer, known)
    native.sequence(rule, events, lengths, optimizer, every, rule.kept, adam=adam)
    rule.time = len(events)
    return True


def obstacle(
    rule: TracesPropagation, events: Tensor, optimizer: Optimizer | None, every: int | None
) -> str | None:
    """Why the engine can't do this sequence; None where it can."""
    reason = unfit(rule.net, events)
    if reason is not None:
        return reason
    if len(rule.targets) > ROWS:
        return f"it has at most {ROWS} class rows"
    like = rule.net.readout.weight
    label = [w for w in (rule.label.weight, rule.label.recurrent) if w is not None]
    if not all(native.fits(w, like) for w in label):
        return "it needs contiguous weights of one dtype"
    if not all(native.fits(p.grad, like) for p, _ in native.trained(rule) if p.grad is not None):
        return "it needs contiguous gradients"
    if optimizer is None or every is None or every >= len(events):
        return None
    if rule.label.standardise:
        return "it updates standardised weights only at the end of a sequence"
    return None


def plain_adam(optimizer: Optimizer, known: set[int]) -> bool:
    """Whether the engine can take the optimizer's place between steps, as it does Adam's on
    parameters with these ids where nobody hears of it; else it calls the optimizer."""
    if type(optimizer) is not Adam:
        return False
    own = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    if any(own) or any(EVERYWHERE):
        return False
    if not (of_pytorch(optimizer.step) and of_pytorch(optimizer.zero_grad)):
        return False
    for group in optimizer.param_groups:
        if any(group[k] for k in ("weight_decay", *ODD)):
            return False
        if any(id(p) not in known and p.grad is not None for p in group["params"]):
            return False
        for p in group["params"]:
            moments = [optimizer.state.get(p, {}).get(name) for name in ("exp_avg", "exp_avg_sq")]
            if not all(native.fits(each, p) for each in moments if each is not None):
                return False
    return True


def of_pytorch(method: Any) -> bool:
    """Whether a method is PyTorch's with all that wraps it, as a learning-rate schedule does to
    see that it was called (which it does see: a sequence ends with a call)."""
    while method is not None:
        function = getattr(method, "__func__", method)
        if not getattr(function, "__globals__", {}).get("__name__", "").startswith("torch."):
            return False
        method = getattr(function, "__wrapped__", None)
    return True


def variant(rule: TracesPropagation) -> str | None:
    """What the rule has that the native engine hasn't; None where there is nothing."""
    from synaptrace.rules.tp.rule import TracesPropagation

    changed = overridden(rule, TracesPropagation, *INERT)
    if changed:
        return f"it doesn't know a {changed} of your own"
    for chosen in (rule.contrast, rule.presynaptic):
        for each in fields(chosen):
            if each.name not in MIRRORED and getattr(chosen, each.name) != each.default:
                return f"it knows no {each.name}"
    return None
