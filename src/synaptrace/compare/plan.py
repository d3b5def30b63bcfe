"""What a comparison trains, and where: every (rule, rate, seed) is a run directory of its own,

    OUT/<rule>/lr-<rate>/seed-<n>/

The learning rate of each rule is chosen by validation accuracy at the last epoch, from one grid and
on the first seed; then the other seeds train at that rate.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synaptrace.config import Config, check, nested, resolve, validate
from synaptrace.errors import UserError
from synaptrace.sections import SAID, section_of
from synaptrace.training import run as runs
from synaptrace.training import schema

RATES = (1e-3, 3e-3, 1e-2)
RATED = ("train.lr", "train.lr_final")
"""Settings that follow from the rates that are tried."""
DIVERGED = "diverged.txt"
ABOUT = "comparison.json"

Task = tuple[str, float, int]
"""A contender's label, a learning rate, a seed."""


@dataclass(frozen=True)
class Plan:
    """What is compared."""

    configs: dict[str, Config]
    """The settings of each contender by its label, such as tp:contrast=class."""
    rates: dict[str, tuple[float, ...]]
    """The learning rates that each contender tries."""
    seeds: int
    out: Path

    def run(self, task: Task) -> Path:
        """The run directory of one training."""
        label, rate, seed = task
        return self.out / self.folder(label) / f"lr-{rate:g}" / f"seed-{seed}"

    @staticmethod
    def folder(label: str) -> str:
        """A contender's label as the name of its directory."""
        return re.sub(r"[^A-Za-z0-9.=-]", "-", label)

    def config(self, task: Task) -> Config:
        """The settings of one training: `configs`, with its seed and rate.

        The rate goes down to the same share of itself as theirs does.
        """
        label, rate, seed = task
        given = self.configs[label].train
        final = None if given["lr_final"] is None else rate * (given["lr_final"] / given["lr"])
        return self.configs[label].with_train(lr=rate, lr_final=final, seed=seed)

    def first(self, label: str) -> list[Task]:
        """The trainings that choose the rate."""
        return [(label, rate, self.seed(label)) for rate in self.rates[label]]

    def seed(self, label: str) -> int:
        """The first seed."""
        return int(self.configs[label].train["seed"])

    def rest(self, label: str) -> list[Task]:
        """The other seeds, at the rate that was chosen; none where every rate diverged."""
        rate, first = self.best(label), self.seed(label)
        return [] if rate is None else [(label, rate, first + n) for n in range(1, self.seeds)]

    def best(self, label: str) -> float | None:
        """The rate with the best last validation accuracy; None where every one diverged.

        (Without a validation set there is one rate: see `check`.)
        """
        scores = {
            task[1]: runs.last_line(self.run(task))["validation_accuracy"] or 0.0
            for task in self.first(label)
            if runs.read_summary(self.run(task)) is not None
        }
        return max(scores, key=lambda rate: scores[rate]) if scores else None

    def finished(self, task: Task) -> bool:
        """Whether a training has its outcome."""
        run = self.run(task)
        return (run / runs.SUMMARY).exists() or (run / DIVERGED).exists()

    def due(self, label: str) -> list[Task]:
        """What can be trained now and isn't."""
        first = [task for task in self.first(label) if not self.finished(task)]
        return first or [task for task in self.rest(label) if not self.finished(task)]


def plan(
    contenders: Sequence[str], *, preset: str | None = None, file: Path | None = None,
    overrides: dict[str, str] | None = None, rates: Sequence[float] = RATES, seeds: int = 3,
    out: Path | None = None,
) -> Plan:  # fmt: skip
    """Check every contender's settings before anything is trained or written.

    Args:
        contenders: rules, each ``name`` or ``name:option=value:option=value``, options that
            aren't named being the rule's own defaults whatever the preset says; one with a
            dot is a setting of another section (espp:train.update=step), and ``rates=1e-4/3e-4``
            is a grid of its own.
        preset, file, overrides: the settings that all share, as `config.resolve` takes them.
        rates: learning rates for contenders without a grid of their own.
        seeds: how many, from train.seed on.
        out: None: a directory below runs/ named by the settings, the same for the same ones.

    Raises:
        UserError: a rule, option, rate or number of seeds that can't be; a directory that holds
            a comparison of other settings.
    """
    if seeds < 1:
        raise UserError(f"--seeds: {seeds} is not a positive number")
    if len(set(contenders)) < len(contenders) or not contenders:
        raise UserError("--rules: needs at least one rule, each once")
    base = dict(overrides or {})
    for key in base:
        if key.startswith("rule.") or key in RATED:
            raise UserError(f"--{key}: a comparison takes --rules name:option=value and --rates")
    configs: dict[str, Config] = {}
    grids: dict[str, tuple[float, ...]] = {}
    for label in contenders:
        own, grid = contender(label)
        if any(key in RATED for key in own):
            raise UserError(f"--rules: {label!r}: learning rates are name:rates=1e-4/3e-4")
        found = resolve(preset=preset, file=file, overrides={**base, **own})
        said = nested(own)["rule"]  # a preset's rule may be this one, with options nobody named
        rule = validate("rule", section_of("rule", said["name"]), said)
        configs[label] = found.model_copy(update={"rule": rule})
        grids[label] = grid or tuple(rates)
    if out is None:
        text = json.dumps(about(configs, grids, seeds), sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:8]
        out = Path("runs") / f"compare-{configs[contenders[0]].name}-{key}"
    return placed(Plan(configs, grids, seeds, out))


def placed(plan: Plan) -> Plan:
    """The plan. Raises UserError where its directory holds a comparison of other settings."""
    file = plan.out / ABOUT
    if file.exists() and without_threads(file) != about(plan.configs, plan.rates, plan.seeds):
        raise UserError(f"{file}: holds a comparison of other settings; choose another --out")
    return plan


def read(out: Path) -> Plan:
    """The plan of the comparison in ``out``. Raises UserError where there is none."""
    if not (out / ABOUT).is_file():
        raise UserError(f"{out}: no comparison lies there (it has no {ABOUT})")
    found = schema.read(schema.Comparison, out / ABOUT)
    configs = {
        label: check(given["name"], {key: given[key] for key in SAID}, 1)
        for label, given in found["settings"].items()
    }
    if not configs or configs.keys() != found["rates"].keys():
        raise UserError(f"{out / ABOUT}: is damaged (its rates are of other rules)")
    rates = {label: tuple(grid) for label, grid in found["rates"].items()}
    return Plan(configs, rates, found["seeds"], out)


def without_threads(file: Path) -> dict[str, Any]:
    """What `ABOUT` says, but for the threads of a training, which are no setting of a plan."""
    found = schema.read(schema.Comparison, file)
    return {key: value for key, value in found.items() if key != "threads"}


def about(
    configs: dict[str, Config], rates: dict[str, tuple[float, ...]], seeds: int
) -> dict[str, Any]:
    """What `ABOUT` says of a comparison."""
    return {
        "rates": {label: list(grid) for label, grid in rates.items()},
        "seeds": seeds,
        "settings": {label: config.model_dump(mode="json") for label, config in configs.items()},
    }


def contender(label: str) -> tuple[dict[str, str], tuple[float, ...]]:
    """``name:option=value`` as overrides, and the rates it names, if it does.

    Raises:
        UserError: it isn't of that form.
    """
    name, *options = label.split(":")
    found = {"rule.name": name}
    rates: tuple[float, ...] = ()
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UserError(f"--rules: {label!r} should be name:option=value")
        if key == "rates":
            rates = numbers(value, "/", f"--rules: {label!r}")
        else:
            found[key if "." in key else f"rule.{key}"] = value
    return found, rates


def numbers(text: str, separator: str, where: str) -> tuple[float, ...]:
    """Positive finite numbers. Raises UserError, naming ``where``, for anything else."""
    try:
        found = tuple(float(part) for part in text.split(separator))
    except ValueError:
        raise UserError(f"{where}: {text!r} should be numbers with {separator!r} between") from None
    if not all(0 < number < math.inf for number in found):
        raise UserError(f"{where}: {text!r} should be positive numbers")
    return found
