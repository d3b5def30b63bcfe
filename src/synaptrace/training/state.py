"""Everything that changes while a network trains, and its way to a file and back."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from synaptrace import __version__
from synaptrace.data.dataset import Meta
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.training import checkpoint
from synaptrace.training.run import BEST, LAST, read_metrics, write_metrics

READOUT = "net.readout.weight"


@dataclass
class Progress:
    """Where training stands at a batch boundary."""

    epoch: int = 0
    """Epochs that are done."""
    batch: int = 0
    """Batches of the current epoch that are done."""
    updates: int = 0
    """Batches that are done in all."""
    samples: int = 0
    """Samples of the current epoch that are done."""
    totals: list[float] = field(default_factory=list)
    """Sums over them: right answers, losses, rates."""
    picked_epoch: int | None = None
    validation_accuracy: float | None = None
    """Of the picked epoch."""
    seconds: float = 0.0
    peak_memory_bytes: int = 0

    def add(self, samples: int, means: list[float]) -> None:
        """Count one more batch, with the means over its ``samples``."""
        totals = self.totals or [0.0] * len(means)
        self.totals = [t + samples * mean for t, mean in zip(totals, means, strict=True)]
        self.samples += samples
        self.batch += 1
        self.updates += 1

    @property
    def means(self) -> list[float]:
        """Over the samples of the current epoch so far: accuracy, losses, rates."""
        return [total / self.samples for total in self.totals]


class State:
    """The weights, the optimizer and the place in the run; with ``run``, kept there in files.

    Order of writing at an epoch's end: metrics, `LAST`, `BEST`. Whatever moment a kill finds,
    `LAST` is whole, metrics hold its epochs (and perhaps one more, dropped on resuming), and
    `BEST` is what `LAST` says was picked, or `LAST` itself is.
    """

    def __init__(
        self, net: Network, rule: Rule, lr: float, ema: float | None,
        about: Mapping[str, Any], run: Path | None, lr_readout: float | None = None,
    ) -> None:  # fmt: skip
        self.net, self.rule, self.about, self.run = net, rule, about, run
        self.averaged = net if ema is None else copy.deepcopy(net)
        self.modules: dict[str, nn.Module] = {"net": net, "rule": rule}
        self.trained = {
            f"{part}.{name}": parameter
            for part, module in self.modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        if ema is not None:
            self.modules["ema"] = self.averaged
        if lr_readout is not None:  # a group of its own, the last, as moments go by their place
            self.trained[READOUT] = self.trained.pop(READOUT)
        self.weights = list(self.trained.values())
        self.optimizer = adam(self.weights, lr, lr_readout)
        self.at = Progress()
        self.lines: list[dict[str, Any]] = []
        self.picked: checkpoint.Tensors = {}

    def begin(self, resume: bool) -> None:
        """Write the first checkpoint, or take over the run's last one.

        Raises:
            UserError: the run holds a training and ``resume`` is false, or one of other settings.
        """
        if self.run is None or not (self.run / LAST).exists():
            return self.save(LAST)
        if not resume:
            raise UserError(f"{self.run}: holds a training already; resume it or choose another")
        for leftover in (self.run / LAST).parent.glob(".*.safetensors"):
            leftover.unlink()  # a kill left it half-written
        path = self.run / LAST
        tensors, meta = checkpoint.load(path)
        same_settings(meta, self.about, path)
        for part, module in self.modules.items():
            checkpoint.restore(module, checkpoint.part(tensors, part), path)
        moments = checkpoint.part(tensors, "optimizer")
        checkpoint.restore_optimizer(self.optimizer, moments, self.trained)
        self.at = Progress(**meta["progress"])
        self.lines = [line for line in read_metrics(self.run) if line["epoch"] <= self.at.epoch]
        if self.at.picked_epoch == self.at.epoch and not self.at.batch:
            self.pick()
        elif self.at.picked_epoch is not None:
            self.picked = checkpoint.evaluated(checkpoint.load(self.run / BEST)[0])
        return None

    def save(self, name: str) -> None:
        """Write `LAST`, or `BEST`, which needs no optimizer."""
        if self.run is None:
            return
        parts = {part: module.state_dict() for part, module in self.modules.items()}
        if name == LAST:
            parts["optimizer"] = checkpoint.optimizer_state(self.optimizer, self.trained)
        checkpoint.save(self.run / name, parts, {**self.about, "progress": asdict(self.at)})

    def pick(self) -> None:
        """Keep the weights as evaluation sees them now, in memory and as `BEST`."""
        self.picked = {k: v.detach().clone() for k, v in self.averaged.state_dict().items()}
        self.save(BEST)

    def pick_last_without_validation(self) -> None:
        """Where nothing could pick, the last weights are the picked ones."""
        if self.at.picked_epoch is None:
            self.at.picked_epoch = self.at.epoch
            self.pick()

    def close_epoch(self, line: dict[str, Any]) -> None:
        """Take in an epoch's metrics, let validation pick, and write all of it."""
        self.lines.append(line)
        accuracy = line["validation_accuracy"]
        better = accuracy is not None and accuracy >= (self.at.validation_accuracy or 0.0)
        self.at = replace(
            self.at,
            epoch=line["epoch"],
            batch=0,
            samples=0,
            totals=[],
            picked_epoch=line["epoch"] if better else self.at.picked_epoch,
            validation_accuracy=accuracy if better else self.at.validation_accuracy,
            seconds=line["seconds"],
            peak_memory_bytes=line["peak_memory_bytes"],
        )
        if self.run is not None:
            write_metrics(self.run, self.lines)
        self.save(LAST)
        if better:
            self.pick()


def adam(
    parameters: list[nn.Parameter], lr: float, lr_last: float | None = None
) -> torch.optim.Adam:
    """Adam, fused into one pass over the weights where device and dtype allow it.

    With ``lr_last`` the last parameter has that rate, in a second group.
    """
    groups: list[dict[str, Any]] = [{"params": parameters}]
    if lr_last is not None:
        groups = [{"params": parameters[:-1]}, {"params": parameters[-1:], "lr": lr_last}]
    try:
        return torch.optim.Adam(groups, lr=lr, fused=True)
    except RuntimeError:
        return torch.optim.Adam(groups, lr=lr)


def describe(
    net: Network, rule: Rule, data: Meta, options: Mapping[str, Any],
    config: Mapping[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """What a checkpoint says about itself, JSON-able: enough to build network and rule again."""
    about: dict[str, Any] = {
        "network": net.spec, "rule": rule.spec, "data": asdict(data), "train": dict(options),
    }  # fmt: skip
    settings = json.dumps(about if config is None else config, sort_keys=True)
    about["config"] = None if config is None else dict(config)
    about["config_hash"] = hashlib.sha256(settings.encode()).hexdigest()
    about["synaptrace"], about["torch"] = __version__, str(torch.__version__)
    plain: dict[str, Any] = json.loads(json.dumps(about))  # tuples as lists, as a file has them
    return plain


def same_settings(stored: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Raises UserError, naming the first difference, unless both describe the same training."""
    for part in ("network", "rule", "data", "train"):
        for key in stored[part].keys() | wanted[part].keys():
            was, is_ = stored[part].get(key), wanted[part].get(key)
            if was != is_:
                raise UserError(f"{path}: trained with {part} {key} {was!r}, not {is_!r}")
