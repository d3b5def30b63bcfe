"""Fine-tuning to one user, for many users and seeds: what it gains, what it forgets, what it costs.

For each speaker a network is trained on all others; then each cell (shots, batch size, contrast,
options against forgetting) fine-tunes that network to the speaker:

    OUT/<speaker>/seed-<n>/pretrained/     a run directory
    OUT/<speaker>/seed-<n>/<cell>/         checkpoints and summary.json of one fine-tuning

where the network was trained already, and no OUT is asked for, one level below its run,

    RUN/finetune-<speaker>-<hash of its weights>_<cell>/

else in OUT/<speaker>/seed-<n>-<hash>/<cell>/, as earlier versions had it everywhere.
What was cut off goes on where it stopped, other cells may join later, and `row` tells what is
finished at any time.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from synaptrace import rules
from synaptrace.config import Config
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.keyword import fewshot, tuned
from synaptrace.keyword.adapt import Keep, adapt, check
from synaptrace.keyword.tuned import Cell
from synaptrace.names import printed
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import job, schema
from synaptrace.training import run as runs
from synaptrace.training.evaluate import evaluate
from synaptrace.training.loop import Diverged, fit

ABOUT, PRETRAINED = "finetune.json", "pretrained"
AT_ONCE = 64
"""Samples a batch where accuracy is measured, which it doesn't change."""
FORMS = ("batch", "class")

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
    """"query", or "support": a part of the support, and for the others what validated before, to
    choose settings by."""
    given: dict[Case, Path] = field(default_factory=dict)
    """Runs that are trained already."""
    data_path: str | None = None
    """Where the data of ``given`` are now, if they have moved."""
    below: bool = False
    """Each fine-tuning lies one level below its run."""

    def trained(self, case: Case) -> Path:
        """The run directory of the training before."""
        return self.given.get(case) or self.out / case[0] / f"seed-{case[1]}" / PRETRAINED

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
        data = {**config.data, "holdout_speaker": case[0]}
        if self.word is not None:
            data["leave_out"] = None if word else self.word
        return config.model_copy(update={"data": data}).with_train(seed=case[1])


def cells(
    numbers: Sequence[int | None], batches: Sequence[int], contrasts: Sequence[str | None],
    keeps: Sequence[str], *, lr: float, epochs: int, alone: bool,
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
        Cell(number, batch, contrast, keep, lr, epochs)
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

    Raises:
        UserError: data without speakers, an unknown one, a directory of other settings.
    """
    if seeds < 1:
        raise UserError(f"--seeds: {seeds} is not a positive number")
    if "holdout_speaker" not in config.data:
        raise UserError(f"--speaker: {config.data['name']} can't hold a speaker out")
    check_batches(config, chosen)
    if word is not None and "leave_out" not in config.data:
        raise UserError(f"--word: {config.data['name']} can't leave a word out")
    known = job.load_data(config).meta.speakers
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
        held = config.data.get("holdout_speaker")
        if held is None:
            raise UserError(
                f"{path}: was trained on every speaker; train with --data.holdout_speaker NAME"
            )
        if speaker not in (None, "all") and held not in speaker.split(","):
            raise UserError(f"--speaker: {path} holds out {held}, not {speaker}")
        check_batches(config, chosen)
        case = (str(held), int(config.train["seed"]))
        if case in given:
            raise UserError(f"{path}: same speaker and seed as {given[case]}")
        given[case] = path
    below = out is None
    if out is None and len(paths) > 1:
        key = hashlib.sha256(repr(sorted(map(str, paths))).encode()).hexdigest()[:8]
        out = Path("runs") / f"finetune-{key}"
    out = out or runs.home(paths[0]) / "finetune"
    return Plan(config, tuple(given), tuple(chosen), out, None, judge, given, data_path, below)


def train(plan: Plan, progress: bool = True) -> None:
    """Train and fine-tune what isn't finished, one after the other; what diverges is left out."""
    due = [each for each in product(plan.cases, plan.cells) if summary(plan, *each) is None]
    lost: set[Case] = set()
    for number, (case, cell) in enumerate(due, 1):
        if case in lost:
            continue
        run = plan.trained(case)
        try:
            pretrain(plan, case, progress)
            run = plan.run(case, cell)
            found = once(plan, case, cell)
        except Diverged as error:
            print(f"{number}/{len(due)} {printed(run)}: {error}", file=sys.stderr)
            if run == plan.trained(case):  # so no other cell has a network either
                lost.add(case)
            continue
        if progress:
            before, after = (100 * (found[key]["query"] or 0) for key in ("before", "after"))
            print(
                f"{number}/{len(due)} {printed(case[0])} seed {case[1]} {cell.name}: "
                f"query {before:.1f} % before, {after:.1f} % after",
                file=sys.stderr,
            )


def pretrain(plan: Plan, case: Case, progress: bool) -> None:
    """Train on the other speakers, or go on with it; nothing where that is done."""
    run = plan.trained(case)
    if case in plan.given or runs.read_summary(run) is not None:
        return
    config = plan.settings(case)
    data = load(config)
    runs.write_config(run, config.model_dump())
    if progress:
        name = printed(run)
        print(f"training without {printed(case[0])}, seed {case[1]}: {name}", file=sys.stderr)
    net, rule = job.build(config, data)
    fit(
        net, rule, data, **config.train, run=run, resume=True, progress=False,
        config=config.model_dump(),
    )  # fmt: skip


@lru_cache(maxsize=2)  # a study of a new word needs the data without it and with it in turn
def _load(text: str) -> ArrayDataset:
    data = job.load_data(Config(**json.loads(text)))
    if not isinstance(data, ArrayDataset):
        raise UserError(f"data: {data.meta.name} has no speakers to fine-tune to")
    return data


def load(config: Config) -> ArrayDataset:
    """The data set, read once for many cells."""
    return _load(json.dumps(config.model_dump(include={"name", "data"}) | NOTHING))


def known_data(trained: job.Trained, data_path: str | None) -> ArrayDataset:
    """What a network was trained on before it was ever fine-tuned.

    Raises:
        UserError: it has moved to ``data_path``, and isn't the same there.
    """
    data = load(trained.config)
    if data_path is not None and tuned.read(trained.run) is None:
        trained.verify(data.meta)
    return data


NOTHING: dict[str, Any] = {"model": {}, "neuron": {}, "rule": {}, "train": {}}
"""The sections that data don't depend on."""


@dataclass(frozen=True)
class Sight:
    """Data as one fine-tuning sees them."""

    seen: ArrayDataset
    """In the splits "train", what it learns from, and those of ``parts``."""
    rows: list[int]
    """What it learns from."""
    buffer: list[int]
    """What it rehearses."""
    parts: dict[str, list[int]]
    """What it is measured on: "query", "general", and "new" where there is a new word."""


def sight(plan: Plan, case: Case, cell: Cell) -> Sight:
    """What is learned from, rehearsed and measured in one fine-tuning.

    Raises:
        UserError: data that can't be read, or aren't those that were trained on.
    """
    speaker, seed = case
    trained = job.trained(plan.trained(case), plan.data_path)
    if plan.data_path is not None:
        known_data(trained, plan.data_path)  # which verifies that they are the same
    data = load(plan.settings(case, word=True))
    classes = [*trained.classes, *([] if plan.word is None else [plan.word])]
    data = fewshot.view(data, _lists(data), classes=classes, features=trained.features)
    user = fewshot.user(data, speaker)
    support, judged, others = user.support, user.query, user.general
    if plan.judge == "support":
        support, judged = fewshot.cut(data, support)
        others = data.index["validation"].tolist() if "validation" in data.index else []
    new = None if plan.word is None else data.meta.classes.index(plan.word)
    if new is not None:
        support = [row for row in support if int(data.labels[row]) == new]
    rows, keep = fewshot.draw(data, support, cell.shots, seed), Keep.parse(cell.keep)
    buffer = fewshot.draw(data, user.known, keep.rehearse, seed) if keep.rehearse else []
    if new is not None:
        buffer = [row for row in buffer if int(data.labels[row]) != new]
    parts = {"query": judged, "general": others}
    if new is not None:
        parts["new"] = [row for row in judged if int(data.labels[row]) == new]
        for part in ("query", "general"):
            parts[part] = [row for row in parts[part] if int(data.labels[row]) != new]
    seen = fewshot.view(data, parts | {"train": rows}, batch_size=AT_ONCE)
    return Sight(seen, rows, buffer, parts)


def once(plan: Plan, case: Case, cell: Cell, run: Path | None = None) -> dict[str, Any]:
    """Fine-tune one network in its directory, or go on with it, and measure it before and after.

    Args:
        run: the directory; None: as `Plan.run` names it.
    """
    speaker, seed = case
    run = plan.run(case, cell) if run is None else run
    base, config = plan.trained(case), plan.settings(case, word=True)
    sees = sight(plan, case, cell)
    seen, rows, parts = sees.seen, sees.rows, sees.parts
    net, rule = prepare(plan, case, cell, seen)
    before = measure(net, seen, parts)
    tuned.write(
        run, base, cell=cell, seed=seed, speaker=speaker, word=plan.word, judge=plan.judge,
        data_path=plan.data_path,
    )  # fmt: skip
    done = adapt(
        net, rule, seen, rows, batch_size=cell.batch, epochs=cell.epochs, lr=cell.lr,
        update=config.train["update"], keep=Keep.parse(cell.keep), buffer=sees.buffer, seed=seed,
        run=run, config=config.model_dump(),
    )  # fmt: skip
    found = {
        "speaker": speaker, "seed": seed, **vars(cell), "word": plan.word, "judge": plan.judge,
        "samples": len(rows), "words": len(set(seen.labels[rows].tolist())),
        "sizes": {part: len(some) for part, some in parts.items()},
        "before": before, "after": measure(net, seen, parts), **done,
    }  # fmt: skip
    runs.write_summary(run, found)
    (run / runs.LAST).unlink(missing_ok=True)  # the picked weights are written; it needs no more
    return found


def prepare(plan: Plan, case: Case, cell: Cell, data: ArrayDataset) -> tuple[Network, Rule]:
    """The network to fine-tune and its rule, for ``data`` as they are seen."""
    path = plan.trained(case)
    if cell.alone:
        config = job.trained(path).config
        if cell.contrast is not None:
            named = {**config.rule, "contrast": cell.contrast}
            config = config.model_copy(update={"rule": named})
        return job.build(config, data)
    net, rule = learner(path, cell.contrast)
    if plan.word is not None:
        net.add_class()
        rule.add_class(generator=generator(case[1], "word"))
    return net, rule


def learner(path: Path, contrast: str | None) -> tuple[Network, Rule]:
    """The network and the rule of a run, the rule with the ``contrast`` that is asked for.

    Raises:
        UserError: as `runs.load` does; a rule that has no contrast.
    """
    net, rule = runs.load(path, rule=True)
    if contrast in (None, rule.options.get("contrast")):
        return net, rule
    if "contrast" not in rule.options:
        raise UserError(f"--contrast: {rule.name} has none")
    other = rules.build(net, **{**rule.spec, "contrast": contrast})
    other.load_state_dict(rule.state_dict())
    return net, other


def _lists(data: ArrayDataset) -> dict[str, list[int]]:
    return {split: rows.tolist() for split, rows in data.index.items()}


def measure(net: Network, data: ArrayDataset, parts: Iterable[str]) -> dict[str, float | None]:
    """Accuracy on each part, None where it has no samples."""
    return {part: evaluate(net, data.batches(part)).accuracy for part in parts}


def summary(plan: Plan, case: Case, cell: Cell) -> dict[str, Any] | None:
    """What came of one fine-tuning, and its directory; None before its end."""
    run = plan.run(case, cell)
    found = runs.read_summary(run)
    return None if found is None else {"run": str(run), **found}


def rows(plan: Plan) -> Iterator[tuple[Cell, list[dict[str, Any]]]]:
    """Each cell, and what is finished of it."""
    for cell in plan.cells:
        found = (summary(plan, case, cell) for case in plan.cases)
        yield cell, [each for each in found if each is not None]
