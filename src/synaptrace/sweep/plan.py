"""A study's plan: which settings are searched how, by how many trials, and where it lies.

OUT/sweep.json                  this plan
OUT/journal.log                 Optuna's journal of all trials (another storage: --storage)
OUT/trial-<number>/seed-<n>/    a training of a trial: a run directory
OUT/closed.json                 the winner, written before the test set is read
OUT/final/winner|preset/seed-<n>/   trained on fresh seeds, tested
OUT/report.json                 what came of it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from synaptrace import config as settings
from synaptrace.config import Config, resolve
from synaptrace.errors import UserError, short
from synaptrace.sections import NAMED, SAID, section_of
from synaptrace.sweep.space import Choices, Range, Space, parse
from synaptrace.training import schema

ABOUT = "sweep.json"
JOURNAL = "journal.log"
Pruning = Literal["median", "hyperband", "none"]
PRUNING: tuple[Pruning, ...] = ("median", "hyperband", "none")
MOST_TRIALS = 100_000
NOT_SEARCHED = (
    "data.name", "data.path", "train.seed", "train.device", "train.threads",
    "train.paper_protocol", "train.tensorboard",
)  # fmt: skip
"""What a trial is judged on, or where it computes: no setting that validation could choose."""


@dataclass(frozen=True)
class Plan:
    """What is searched, and where."""

    base: Config
    """The preset as it stands."""
    search: dict[str, str]
    """The space of each searched setting, as text."""
    trials: int
    seeds: int
    """Trainings of a trial, from train.seed on."""
    final: int
    """Fresh seeds on which the winner and the preset are trained in the end."""
    prune: Pruning
    storage: str | None
    """Optuna's URL; None: `JOURNAL`."""
    out: Path

    @cached_property
    def space(self) -> Space:
        """The searched settings."""
        return parse(self.search)

    @property
    def seed(self) -> int:
        """The first seed of a trial; of the search too."""
        return int(self.base.train["seed"])

    @property
    def fresh(self) -> range:
        """The seeds of the end, which no trial has seen."""
        return range(self.seed + self.seeds, self.seed + self.seeds + self.final)

    @property
    def name(self) -> str:
        """The study's name in its storage: the same for the same plan."""
        key = hashlib.sha256(json.dumps(self.about(), sort_keys=True).encode()).hexdigest()[:12]
        return f"synaptrace-{key}"

    @property
    def epochs(self) -> int:
        """The most epochs that a trial may take."""
        found = self.space.get("train.epochs")
        texts = [] if found is None else found.samples
        return max([int(self.base.train["epochs"]), *map(int, texts)])

    def trial(self, number: int) -> Path:
        """The directory of a trial."""
        return self.out / f"trial-{number:04d}"

    def config(self, params: Mapping[str, Any]) -> Config:
        """The settings of a trial. Raises UserError where they don't fit together."""
        texts = {key: self.space[key].text(value) for key, value in params.items()}
        return overlaid(self.base, texts)

    def preset(self) -> dict[str, Any]:
        """The preset's own values, as far as they lie in the space."""
        found = {key: inside(self.base, key, each) for key, each in self.space.items()}
        return {key: value for key, value in found.items() if value is not None}

    def about(self) -> dict[str, Any]:
        """What `ABOUT` says."""
        return {
            "search": self.search,
            "trials": self.trials,
            "seeds": self.seeds,
            "final": self.final,
            "prune": self.prune,
            "storage": self.storage,
            "settings": self.base.model_dump(mode="json"),
        }


def overlaid(base: Config, texts: Mapping[str, str]) -> Config:
    """``base`` with some settings changed; a rate that changes alone takes its last one along.

    Raises:
        UserError: a key, or a value, that can't be.
    """
    layers = base.model_dump(exclude={"name", "seeds"})
    changes = settings.nested(texts)
    found = settings.check(base.name, settings.merge(layers, changes), 1)
    final = base.train["lr_final"]
    if "train.lr" in texts and "train.lr_final" not in texts and final is not None:
        return found.with_train(lr_final=found.train["lr"] * (final / base.train["lr"]))
    return found


def inside(base: Config, key: str, dimension: Range | Choices) -> Any:
    """The value of ``base`` as Optuna has it, where it lies in the space; else None."""
    own = value_of(base, key)
    if isinstance(dimension, Choices):
        alike = (v for v in dimension.values if value_of(overlaid(base, {key: v}), key) == own)
        return next(alike, None)
    number = isinstance(own, int | float) and not isinstance(own, bool)
    if not number or not dimension.low <= own <= dimension.high:
        return None
    return int(own) if dimension.whole else float(own)


def value_of(config: Config, key: str) -> Any:
    """A setting; its default where the settings leave it out."""
    section, _, option = key.partition(".")
    values = getattr(config, section)
    if option in values:
        return values[option]
    fields = section_of(section, values.get(NAMED[section][0]) if section in NAMED else None)
    return fields.model_fields[option].default


def plan(
    search: Mapping[str, str], *, preset: str | None = None, file: Path | None = None,
    overrides: Mapping[str, str] | None = None, trials: int = 40, seeds: int = 1, final: int = 5,
    prune: Pruning = "median", storage: str | None = None, out: Path | None = None,
) -> Plan:  # fmt: skip
    """Check the space against the settings before anything is trained or written.

    Args:
        search: the space of each setting, as `space.parse` takes it.
        preset, file, overrides: what is searched around, as `config.resolve` takes them.
        out: None: a directory below runs/ named by the plan, the same for the same one.

    Raises:
        UserError: a key or a space that can't be; a directory that holds another study.
    """
    for option, number, least in (("trials", trials, 1), ("seeds", seeds, 1), ("final", final, 2)):
        if not least <= number <= MOST_TRIALS:
            raise UserError(f"--{option}: {number} is not a number from {least} to {MOST_TRIALS}")
    if prune not in PRUNING:
        raise UserError(f"--prune: {short(prune)} should be one of {', '.join(PRUNING)}")
    base = resolve(preset=preset, file=file, overrides=overrides, seeds=1)
    made = Plan(base, dict(search), trials, seeds, final, prune, storage, out or Path())
    for key, dimension in made.space.items():
        check(base, made.space, key, dimension)
        if overrides and key in overrides:
            raise UserError(f"--{key}: is searched already; leave one of the two out")
    if out is None:
        stem = f"sweep-{base.name}-{made.name.rpartition('-')[2][:8]}"
        made = Plan(base, dict(search), trials, seeds, final, prune, storage, Path("runs") / stem)
    if (made.out / ABOUT).exists() and read(made.out).about() != made.about():
        raise UserError(f"{made.out / ABOUT}: holds another study; choose another --out")
    return made


def read(out: Path) -> Plan:
    """The plan of the study in ``out``. Raises UserError where there is none."""
    if not (out / ABOUT).is_file():
        raise UserError(f"{out}: no study of a sweep lies there (it has no {ABOUT})")
    found = schema.read(schema.Sweep, out / ABOUT)
    layers = {key: found["settings"][key] for key in SAID}
    base = settings.check(found["settings"]["name"], layers, 1)
    keys = ("search", "trials", "seeds", "final", "prune", "storage")
    return Plan(base, **{key: found[key] for key in keys}, out=out)


def check(base: Config, space: Space, key: str, dimension: Range | Choices) -> None:
    """Raises UserError unless there is such a setting, and it takes such values."""
    section = key.partition(".")[0]
    named: list[dict[str, str]] = [{}]
    if section in NAMED:  # where the rule is searched too, an option needs to be one rule's only
        names = space.get(f"{section}.{NAMED[section][0]}")
        if isinstance(names, Choices):
            named += [{f"{section}.{NAMED[section][0]}": name} for name in names.values]
    known = options(base, named)
    if key not in known:
        ends = [each for each in known if each.endswith(f".{key.rpartition('.')[2]}")]
        near = ends or get_close_matches(key, known, n=1, cutoff=0.6)
        same = [each for each in known if each.startswith(f"{section}.")]
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(same or known)}"
        raise UserError(f"--search: {short(key)} is no setting; {hint}")
    if key in NOT_SEARCHED:
        raise UserError(f"--search: {key} can't be chosen by validation; set it with --{key}")
    *ends, last = dimension.samples
    for text in ends:
        possible(base, named, key, text)
    try:
        possible(base, named, key, last)
    except UserError as error:
        if isinstance(dimension, Choices) or dimension.whole:
            raise
        raise UserError(f"{error} (whole numbers: LOW..HIGH:int)") from None


def options(base: Config, named: list[dict[str, str]]) -> list[str]:
    """Every setting of ``base``, and of the rules or models that are searched."""
    found: dict[str, None] = {}
    for section in SAID:
        whose: set[str | None] = {None}
        if section in NAMED:
            whose = {str(getattr(base, section)[NAMED[section][0]])}
            whose |= {v for each in named for k, v in each.items() if k.startswith(f"{section}.")}
        for name in sorted(whose, key=str):
            found |= {f"{section}.{key}": None for key in section_of(section, name).model_fields}
    return list(found)


def possible(base: Config, named: list[dict[str, str]], key: str, text: str) -> None:
    """Raises UserError where no rule (or model) that is searched takes ``text`` for ``key``."""
    first: UserError | None = None
    for names in named:
        try:
            overlaid(base, {**names, key: text})
        except UserError as error:
            first = first or error
        else:
            return
    assert first is not None
    raise UserError(f"--search: {first}")
