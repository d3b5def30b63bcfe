"""Whom to fine-tune to, and how: the cells of a study, and where each of them lies.

For each speaker a network is trained on all others; then each cell (shots, batch size, contrast,
options against forgetting) fine-tunes that network to the speaker:

    OUT/<speaker>/seed-<n>/pretrained/     a run directory
    OUT/<speaker>/seed-<n>/<cell>/         checkpoints and summary.json of one fine-tuning

Data that hold all their users out of one training (``holdout_users``) need one network a seed,

    OUT/seed-<n>/pretrained/

where the network was trained already, and no OUT is asked for, one level below its run,

    RUN/finetune-<speaker>-<hash of its weights>_<cell>/

else in OUT/<speaker>/seed-<n>-<hash>/<cell>/, as earlier versions had it everywhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import torch

from synaptrace import data
from synaptrace.config import Config
from synaptrace.data.dataset import ArrayDataset, Dataset
from synaptrace.data.sets import users
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.keyword.adapt import check
from synaptrace.keyword.fewshot import SUPPORT
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.tuned import Cell
from synaptrace.training import job, schema
from synaptrace.training import run as runs

ABOUT, PRETRAINED = "finetune.json", "pretrained"
FORMS = ("batch", "class")

USERS = 4
"""Utterances of each word that a user has at least, where nobody says how many: three to learn
from, and one to judge by."""

Case = tuple[str, int]
"""A speaker and a seed."""


def digest(path: Path) -> str:
    """Eight digits that tell the weights of a run from others."""
    return hashlib.sha256(runs.find(path).read_bytes()).hexdigest()[:8]


@dataclass(frozen=True)
class Plan:
    """Whom to fine-tune to, and how."""

    config: Config
    """Of the training before; each speaker's holds out another."""
    cases: tuple[Case, ...]
    cells: tuple[Cell, ...]
    out: Path
    word: str | None = None
    """A word that the network never heard, and whose shots alone it is given."""
    judge: str = "query"
    """"query" reports; "support" is for choosing settings without a look at the query: accuracy is
    measured on a part of the support, and for the other speakers on the validation set."""
    given: dict[Case, Path] = field(default_factory=dict)
    """Runs that are trained already."""
    data_path: str | None = None
    """Where the data of ``given`` are now, if they have moved."""
    below: bool = False
    """Each fine-tuning lies one level below its run."""

    def trained(self, case: Case) -> Path:
        """The run directory of the training before."""
        speaker, seed = case
        where = self.out if shared(self.config) else self.out / speaker
        return self.given.get(case) or where / f"seed-{seed}" / PRETRAINED

    def run(self, case: Case, cell: Cell) -> Path:
        """The directory of one fine-tuning."""
        kind = "" if self.judge == "query" else f"_{self.judge}"
        hashed = digest(self.given[case]) if case in self.given else ""
        name, weights = f"{cell.name}{kind}", f"-{hashed}" if hashed else ""
        deep = self.out / case[0] / f"seed-{case[1]}{weights}" / name
        if not self.below or deep.is_dir():  # an earlier version made it
            return deep
        return runs.home(self.given[case]) / f"finetune-{case[0]}{weights}_{name}"

    def settings(self, case: Case, word: bool = False) -> Config:
        """The settings of the training before; with ``word``, its data have the new word too."""
        config = self.config
        if case in self.given:
            config = job.trained(self.given[case], self.data_path).config
        own = dict(config.data) if shared(config) else {**config.data, "holdout_speaker": case[0]}
        if self.word is not None:
            own["leave_out"] = None if word else self.word
        return config.model_copy(update={"data": own}).with_train(seed=case[1])


def cells(
    numbers: Sequence[int | None], batches: Sequence[int], contrasts: Sequence[str | None],
    keeps: Sequence[str], *, lr: float, epochs: int, alone: bool, precision: str = "float32",
) -> tuple[Cell, ...]:  # fmt: skip
    """Every combination but a batch of one under the batch contrast, which learns nothing.

    With ``alone``, each number of shots once more from random weights, under the first contrast
    and in the smallest batches, which make the most updates.

    Raises:
        UserError: a value out of range.
    """
    for contrast in contrasts:
        if contrast not in (*FORMS, None):
            raise UserError(f"--contrast: {contrast!r} is none of {', '.join(FORMS)}")
    for number in [*batches, *(n for n in numbers if n is not None)]:
        if number < 1:
            raise UserError(f"--shots, --batch: {number} is not a positive number")
    for keep in keeps:
        Keep.parse(keep)
    check(epochs, lr)
    made = [
        Cell(number, batch, contrast, keep, lr, epochs, precision=precision)
        for contrast, keep, batch, number in product(contrasts, keeps, batches, numbers)
        if (batch, contrast) != (1, "batch")
    ]
    if alone and made:
        first = [cell for cell in made if cell.contrast == made[0].contrast]
        small = min(cell.batch for cell in first)
        made += [
            replace(made[0], shots=number, batch=small, keep="none", alone=True)
            for number in numbers
        ]
    if not made:
        raise UserError("--batch: a batch of one learns nothing under the batch contrast")
    return tuple(made)


def plan(
    config: Config, speakers: Sequence[str], seeds: int, chosen: Sequence[Cell], *,
    out: Path | None = None, word: str | None = None, judge: str = "query",
) -> Plan:  # fmt: skip
    """A study that trains before it fine-tunes; ``speakers`` ["all"] are all there are.

    Where the data can hold all their users out of one training, several speakers are so trained.

    Raises:
        UserError: data without speakers, an unknown one, a directory of other settings.
    """
    if seeds < 1:
        raise UserError(f"--seeds: {seeds} is not a positive number")
    if "holdout_speaker" not in config.data:
        raise UserError(f"--speaker: {config.data['name']} can't hold a speaker out")
    check_batches(config, chosen)
    if word is not None and "leave_out" not in data.options(config.data["name"]):
        raise UserError(f"--word: {config.data['name']} can't leave a word out")
    config = asked_of(config, speakers)
    known = heard(config, job.load_data(config))
    speakers = known if list(speakers) == ["all"] else speakers
    for speaker in speakers:
        if speaker not in known:
            raise UserError(
                f"--speaker: {config.data['name']} has no speaker {speaker!r}; it has "
                + ", ".join(known[:8])
            )
    about = {"settings": config.model_dump(), "word": word}
    text = json.dumps(about, sort_keys=True, indent=1)
    if out is None:
        key = hashlib.sha256(text.encode()).hexdigest()[:8]
        out = Path("runs") / f"finetune-{config.name}-{key}"
    file = out / ABOUT
    if file.exists() and schema.read(schema.Study, file) != json.loads(text):
        raise UserError(f"{file}: holds a study of other settings; choose another --out")
    first = int(config.train["seed"])
    cases = tuple(product(speakers, range(first, first + seeds)))
    made = Plan(config, cases, tuple(chosen), out, word, judge)
    job.load_data(made.settings(cases[0]))
    write_atomic(file, text)
    return made


def shared(config: Config) -> bool:
    """Whether one network is fine-tuned to each of the users that its data hold out."""
    return config.data.get("holdout_users") is not None


def together(config: Config) -> Config:
    """The settings with all users held out of one training, where the data can do that."""
    if shared(config) or "holdout_users" not in data.options(config.data["name"]):
        return config
    return config.model_copy(update={"data": {**config.data, "holdout_users": USERS}})


def asked_of(config: Config, speakers: Sequence[str]) -> Config:
    """The settings with which networks for ``speakers`` are trained, as `plan` takes them."""
    several = list(speakers) == ["all"] or len(speakers) > 1
    return together(config) if several else config


def least(config: Config, speakers: Sequence[str]) -> int | None:
    """Utterances of a word that each of ``speakers`` has to learn from, at least, where users
    share a training; None elsewhere, where nothing is known of it."""
    users_of = asked_of(config, speakers).data.get("holdout_users")
    return None if users_of is None else max(1, int(SUPPORT * int(users_of)))


def heard(config: Config, dataset: Dataset) -> Sequence[str]:
    """Whom a network can be fine-tuned to: the users that are held out, or else every speaker."""
    if not shared(config) or not isinstance(dataset, ArrayDataset) or dataset.speaker is None:
        return dataset.meta.speakers
    own = dataset.speaker[dataset.index[users.SPLIT]]
    return [dataset.meta.speakers[number] for number in torch.unique(own).tolist()]


def asked(path: Path, config: Config, speakers: Sequence[str]) -> Sequence[str]:
    """Of those whom the run ``path`` holds out, the ``speakers``; without any, all.

    Raises:
        UserError: it holds nobody out, or others.
    """
    if shared(config):
        held = heard(config, job.load_data(config))
        others = [name for name in speakers if name not in held]
    elif config.data.get("holdout_speaker") is None:
        raise UserError(
            f"{path}: was trained on every speaker; train with --data.holdout_speaker NAME"
        )
    else:  # the others are held out by other runs
        held = [str(config.data["holdout_speaker"])]
        others = [] if held[0] in speakers else list(speakers)
    if others:
        raise UserError(
            f"--speaker: {path} holds out {', '.join(held[:8])}, not {','.join(others)}"
        )
    return [name for name in held if name in speakers or not speakers]


def check_batches(config: Config, chosen: Sequence[Cell]) -> None:
    """Raises UserError where a cell has one sample under the batch contrast of ``config``."""
    own = config.rule.get("contrast", "batch" if config.rule["name"] == "tp" else None)
    if own == "batch" and any(cell.batch == 1 and cell.contrast is None for cell in chosen):
        raise UserError(
            "--batch: one utterance has no contrast under the batch contrast of this network's "
            "rule; add --contrast class, or a larger --batch"
        )


def plan_of(
    paths: Sequence[Path], speaker: str | None, chosen: Sequence[Cell], *,
    out: Path | None = None, judge: str = "query", data_path: str | None = None,
) -> Plan:  # fmt: skip
    """A study of runs that are trained already, each with a speaker held out.

    Args:
        data_path: where their data are now, if they have moved.

    Raises:
        UserError: a run without one, or with another than ``speaker``; two of the same.
    """
    given: dict[Case, Path] = {}
    for path in paths:
        config = job.trained(path, data_path).config
        names = asked(path, config, [] if speaker in (None, "all") else str(speaker).split(","))
        check_batches(config, chosen)
        for case in product(names, [int(config.train["seed"])]):
            if case in given:
                raise UserError(f"{path}: same speaker and seed as {given[case]}")
            given[case] = path
    below = out is None
    if out is None and len(paths) > 1:
        key = hashlib.sha256(repr(sorted(map(str, paths))).encode()).hexdigest()[:8]
        out = Path("runs") / f"finetune-{key}"
    out = out or runs.home(paths[0]) / "finetune"
    return Plan(config, tuple(given), tuple(chosen), out, None, judge, given, data_path, below)
