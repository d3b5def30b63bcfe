"""Everything that changes while a network trains, and its way to a file and back."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from torch import nn

from synaptrace import __version__, rules
from synaptrace.data.dataset import Meta
from synaptrace.errors import UserError
from synaptrace.files import sweep
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.training import checkpoint, schema
from synaptrace.training.run import (
    BEST,
    CONFIG,
    LAST,
    METRICS,
    SUMMARY,
    read_metrics,
    read_summary,
    write_metrics,
)  # fmt: skip

FREE = {
    ("train", "device"), ("train", "threads"), ("train", "micro_batch"), ("train", "tensorboard"),
    ("data", "path"),
}  # fmt: skip
"""Settings that may change while a run goes on: where it computes and where its data lie."""

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
    `BEST` is what `LAST` says was picked, or `LAST` itself is. All of them carry ``run_id``, which
    nothing else has; None in a run that an earlier version began.
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
        self.written = 0  # of the lines, those that metrics.jsonl has
        self.picked: checkpoint.Tensors = {}
        self.run_id: str | None = uuid4().hex
        self.threads: int | None = None  # that the training began with; None: not known

    def begin(self, resume: bool) -> None:
        """Write the first checkpoint, or take over the run's last one.

        Raises:
            UserError: ``resume`` is false and the run holds a training, or one of other settings,
                or files of another.
        """
        if self.run is None or not (self.run / LAST).exists():
            self.threads = torch.get_num_threads()
            return self.save(LAST)
        if not resume:
            raise UserError(f"{self.run}: holds a training already; resume it or choose another")
        for name in (CONFIG, METRICS, SUMMARY, LAST, BEST):
            sweep(self.run / name)  # a kill left it half-written
        path = self.run / LAST
        tensors, meta = checkpoint.load(path)
        same_settings(meta, self.about, path)
        self.run_id, self.threads = meta.get("run_id"), meta.get("threads")
        self.at = Progress(**meta["progress"])
        self.take_lines(read_metrics(self.run))
        self.take_tensors(tensors, path)
        if self.at.picked_epoch == self.at.epoch and not self.at.batch:
            self.pick()
        elif self.at.picked_epoch is not None:
            self.picked = picked(self.run, self.about, self.run_id, self.at.picked_epoch)
        return None

    def take_tensors(self, tensors: checkpoint.Tensors, path: Path) -> None:
        """Go on with the weights and moments that ``path`` has."""
        for part, module in self.modules.items():
            checkpoint.restore(module, checkpoint.part(tensors, part), path)
        moments = checkpoint.part(tensors, "optimizer")
        checkpoint.restore_optimizer(self.optimizer, moments, self.trained)

    def tensors(self) -> dict[str, checkpoint.Tensors]:
        """All tensors that training goes on from, as a checkpoint has them."""
        parts = {part: module.state_dict() for part, module in self.modules.items()}
        return parts | {"optimizer": checkpoint.optimizer_state(self.optimizer, self.trained)}

    def take_lines(self, lines: list[dict[str, Any]]) -> None:
        """Go on with the metrics of the epochs that are done.

        Raises:
            UserError: some are missing, or of another training.
        """
        assert self.run is not None
        file = self.run / METRICS
        self.lines = lines[: self.at.epoch]
        if len(self.lines) < self.at.epoch:
            raise UserError(
                f"{file}: has {len(self.lines)} epochs, where {self.run / LAST} has done "
                f"{self.at.epoch}; put the file back, or train again from the start"
            )
        if any(line.get("run_id") != self.run_id for line in self.lines):
            raise UserError(f"{file}: is of another training than {self.run / LAST}")
        self.written = len(lines)

    def save(self, name: str) -> None:
        """Write `LAST`, and the metrics that are new; or `BEST`, without the optimizer."""
        if self.run is None:
            return
        parts = self.tensors()
        if name == BEST:
            del parts["optimizer"]
        elif self.written != len(self.lines):
            write_metrics(self.run, [{**line, "run_id": self.run_id} for line in self.lines])
            self.written = len(self.lines)
        own = {"progress": asdict(self.at), "run_id": self.run_id, "threads": self.threads}
        checkpoint.save(self.run / name, parts, {**self.about, **own})

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
        if better:
            self.at = replace(self.at, picked_epoch=line["epoch"], validation_accuracy=accuracy)
        self.at = replace(
            self.at, epoch=line["epoch"], batch=0, samples=0, totals=[],
            seconds=line["seconds"], peak_memory_bytes=line["peak_memory_bytes"],
        )  # fmt: skip
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


def defaults(rule: str) -> dict[str, Any]:
    """The options of a rule that have a default; none are known of a contributed one."""
    options = rules.options(rule).values() if rule in rules.NAMES else ()
    return {p.name: p.default for p in options if p.default is not p.empty}


def same_settings(stored: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Raises UserError, naming the first difference, unless both describe the same training.

    Of the settings in config.yaml those count that both have: another version may have others.
    An option of the rule that ``stored`` doesn't know came later and had its default.
    """
    later = defaults(wanted["rule"]["name"])
    schema.check(schema.Checkpoint, stored, path)
    for part in ("network", "rule", "data", "train"):
        for key in stored[part].keys() | wanted[part].keys():
            unknown = later.get(key) if part == "rule" else None
            differ(path, part, key, stored[part].get(key, unknown), wanted[part].get(key))
    old, new = stored["config"] or {}, wanted["config"] or {}
    for part in old.keys() & new.keys():
        was, now = old[part], new[part]
        if isinstance(was, dict) and isinstance(now, dict):
            for key in sorted(was.keys() & now.keys()):
                if (part, key) not in FREE:
                    differ(path, part, key, was[key], now[key])


def differ(path: Path, part: str, key: str, was: Any, now: Any) -> None:
    """Raises UserError if they do."""
    if was != now:
        raise UserError(f"{path}: trained with {part} {key} {was!r}, not {now!r}")


def picked(
    run: Path, about: Mapping[str, Any], run_id: str | None, epoch: int
) -> checkpoint.Tensors:
    """The weights that were picked in ``epoch``, as evaluation sees them.

    Raises:
        UserError: `BEST` can't be read, or is of another training, or of another epoch.
    """
    tensors, meta = checkpoint.load(run / BEST)
    same_settings(meta, about, run / BEST)
    if meta.get("run_id") != run_id or meta["progress"].get("picked_epoch") != epoch:
        raise UserError(f"{run / BEST}: is of another training than the files beside it")
    return checkpoint.evaluated(tensors)


def finished(run: Path, about: Mapping[str, Any]) -> tuple[dict[str, Any], checkpoint.Tensors]:
    """The summary of a run that is finished, and its picked weights.

    Raises:
        UserError: it was trained with other settings than ``about``, or its files are not all of
            one training.
    """
    summary = schema.check(schema.Summary, read_summary(run), run / SUMMARY)
    if any(line.get("run_id") != summary.get("run_id") for line in read_metrics(run)):
        raise UserError(f"{run / METRICS}: is of another training than {run / SUMMARY}")
    return summary, picked(run, about, summary.get("run_id"), summary["picked_epoch"])
