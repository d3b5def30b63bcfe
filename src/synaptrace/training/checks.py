"""What must hold before a training starts."""

from __future__ import annotations

import math
import os
from typing import Any

import torch

from synaptrace import build as networks
from synaptrace import rules
from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError, short
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.rules.checks import check_network
from synaptrace.training import schedule
from synaptrace.training import tensorboard as board
from synaptrace.training import threads as cores


def check(
    net: Network, dataset: Dataset, *, epochs: int, lr: float, lr_final: float | None = None,
    lr_readout: float | None = None,
    update: str | int = "sequence", ema: float | None = None, device: str = "cpu",
    threads: int | None = None, tensorboard: bool = False, **_: Any,
) -> None:  # fmt: skip
    """Raises UserError where an argument of `fit` is out of range or the data don't fit."""
    check_network(net)
    if not (hasattr(dataset, "meta") and hasattr(dataset, "batches")):
        raise UserError(
            f"data: a {type(dataset).__name__} is no synaptrace Dataset; wrap DataLoaders in "
            "st.Loaders(train=…, test=…, classes=[…]), tensors in st.TensorData(events, labels)"
        )
    if isinstance(epochs, bool) or epochs < 1:
        raise UserError(f"train.epochs: {epochs} is not a positive number")
    final = lr if lr_final is None else lr_final
    if not (math.isfinite(lr) and lr > 0 and math.isfinite(final) and final >= 0):
        raise UserError(f"train.lr: can't go from {lr} to {lr_final}; rates are positive numbers")
    if lr_readout is not None and not (math.isfinite(lr_readout) and lr_readout > 0):
        raise UserError(f"train.lr_readout: {lr_readout} is not a positive number")
    if lr_readout is not None and not net.readout.weight.requires_grad:
        raise UserError("train.lr_readout: the readout's weight is frozen")
    if ema is not None and not 0 <= ema < 1:
        raise UserError(f"train.ema: {ema} is not a decay from 0 to below 1")
    schedule.every(update)
    cores.check(threads)
    find_device(device)
    if tensorboard:
        board.require()
    data = dataset.meta
    if not data.sizes.get("train"):
        raise UserError(f"data: {data.name} has no training samples")
    if len(data.classes) != net.classes:
        raise UserError(
            f"data: {data.name} has {len(data.classes)} classes, the network {net.classes}"
        )
    net.fit(torch.zeros(1, *data.shape))


def check_rule(rule: Any, net: Network) -> None:
    """Raises UserError unless ``rule`` is one that trains ``net``."""
    if not isinstance(rule, Rule):
        raise UserError(
            f"rule: {short(rule)} is none; st.rules.make(name, net) makes one, with a name of "
            "st.rules.names()"
        )
    if rule.net is not net:
        raise UserError("rule: trains another network; make one for this, st.rules.make(name, net)")


def find_device(name: str) -> torch.device:
    """The device ``name``. Raises UserError where this machine or PyTorch has none such."""
    try:
        place = torch.device(name)
        torch.zeros(1, device=place).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"train.device: {short(name)} can't be used ({short(reason)})") from error
    return place


def check_name(rule: Rule) -> None:
    """Raises UserError for a rule of the user's own that a run would name, and be read again, as
    the one that comes along."""
    if rule.name in rules.NAMES and rules.find(rule.name) is not type(rule):
        raise UserError(
            f"rule: {type(rule).__name__} has the name {rule.name!r} of one that comes along, as "
            'which its run would be read; give it its own: name = "mine"'
        )


def afford(spec: dict[str, Any]) -> None:
    """Raises UserError for a network whose weights this machine's memory can't hold."""
    memory = math.inf  # where the system doesn't say
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with torch.device("meta"):
            net = networks.build(spec)
        needed = sum(weight.nbytes for weight in net.parameters())
    except (RuntimeError, OverflowError) as error:  # more than an address can be
        raise UserError(f"model: is too large for any machine ({error})") from error
    if needed > memory:
        raise UserError(
            f"model: its weights need {needed / 2**30:.1f} GiB, and this machine has "
            f"{memory / 2**30:.1f} GiB; make it smaller"
        )
