"""Learning rules side by side: the same network, split, seeds and budget.

For each rule the learning rate is chosen by validation accuracy at the last epoch, from one grid
and on the first seed; then the other seeds train at that rate. Every (rule, rate, seed) is a run
directory of its own,

    OUT/<rule>/lr-<rate>/seed-<n>/

so a comparison that was cut off goes on where it stopped, and `row` tells what is finished at
any time. A training that diverges leaves `DIVERGED` behind and counts as an outcome.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

from synaptrace.config import Config, nested, resolve, validate
from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.files import read_json, write_atomic
from synaptrace.memory import storage_bytes
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.sections import section_of
from synaptrace.training import run as runs

RATES = (1e-3, 3e-3, 1e-2)
RATED = ("train.lr", "train.lr_final")
"""Settings that follow from the rates that are tried."""
DIVERGED = "diverged.txt"
ABOUT, COSTS = "comparison.json", "costs.json"

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
        return self.out / re.sub(r"[^A-Za-z0-9.=-]", "-", label) / f"lr-{rate:g}" / f"seed-{seed}"

    def config(self, task: Task) -> Config:
        """The settings of one training; its last rate is the same share of its first as theirs."""
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
            task[1]: runs.read_metrics(self.run(task))[-1]["validation_accuracy"] or 0.0
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
    file = out / ABOUT
    if file.exists() and read_json(file) != about(configs, grids, seeds):
        raise UserError(f"{file}: holds a comparison of other settings; choose another --out")
    return Plan(configs, grids, seeds, out)


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


def check(plan: Plan) -> None:
    """See that every contender can start, and that there is something to choose its rate by.

    Raises:
        UserError: data that can't be read, a rule that the network doesn't suit, several rates
            without a validation set.
    """
    from synaptrace.training import job

    for label, config in plan.configs.items():
        dataset = load_data(json.dumps(config.data))
        job.build(config, dataset)
        if not dataset.meta.sizes.get("validation") and len(plan.rates[label]) > 1:
            raise UserError(
                f"data: {dataset.meta.name} has no validation samples to choose among "
                f"{len(plan.rates[label])} rates by; give {label} a single one (--rates)"
            )


def train(plan: Plan, jobs: int = 1, progress: bool = True) -> None:
    """Train what isn't trained yet, ``jobs`` at once, each in a process of its own.

    Raises:
        UserError: as `check`, before anything is written; a training's process was killed.
    """
    from tqdm import tqdm

    check(plan)
    write = json.dumps(about(plan.configs, plan.rates, plan.seeds), indent=1)
    write_atomic(plan.out / ABOUT, write + "\n")
    total = sum(len(rates) + plan.seeds - 1 for rates in plan.rates.values())
    bar = tqdm(total=total, unit=" runs", disable=None if progress else True, dynamic_ncols=True)
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    running: dict[Future[None], Task] = {}
    began, before = monotonic(), count(plan)
    try:
        while True:
            for label in plan.configs:
                for task in plan.due(label):
                    if task not in running.values():
                        job = pool.submit(once, plan.config(task), plan.run(task), jobs)
                        running[job] = task
            done = count(plan)
            bar.n = min(done, total)
            bar.refresh()
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for job in finished:
                label, rate, seed = running.pop(job)
                try:
                    job.result()
                except BrokenProcessPool:
                    raise UserError(
                        f"{plan.run((label, rate, seed))}: its process, or one beside it, was "
                        "killed (memory?); the same command goes on where it stopped"
                    ) from None
                if progress:
                    left = (monotonic() - began) / max(count(plan) - before, 1)
                    left *= max(total - count(plan), 0)
                    tqdm.write(
                        f"{count(plan)}/{total} {label} lr {rate:g} seed {seed}: "
                        f"{outcome(plan.run((label, rate, seed)))}; about {left / 60:.0f} min left",
                        file=sys.stderr,
                    )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        bar.close()


def count(plan: Plan) -> int:
    """How many trainings have their outcome."""
    return sum(
        plan.finished(task)
        for label in plan.configs
        for task in {*plan.first(label), *plan.rest(label)}
    )


def outcome(run: Path) -> str:
    """One run's validation accuracy, or that it diverged."""
    if (run / DIVERGED).exists():
        return "diverged"
    accuracy = runs.read_metrics(run)[-1]["validation_accuracy"]
    return "done" if accuracy is None else f"validation {accuracy:.1%}"


def once(config: Config, run: Path, jobs: int) -> None:
    """One training, in a process of its own, and what its rule keeps (`COSTS`)."""
    import torch

    from synaptrace.training import job
    from synaptrace.training.loop import Diverged

    if jobs > 1:
        torch.set_num_threads(1)
    dataset = load_data(json.dumps(config.data))
    runs.write_config(run, config.model_dump())
    costs = kept(*job.build(config, dataset), dataset)
    write_atomic(run / COSTS, json.dumps(costs) + "\n")
    try:
        job.once(config, run, dataset, progress=False, pictures=False)
    except Diverged as error:
        write_atomic(run / DIVERGED, f"{error}\n")


@lru_cache(maxsize=1)
def load_data(settings: str) -> Dataset:
    """The data of a config's section, as JSON; a process that trains several times reads once."""
    from synaptrace import data

    return data.load(**json.loads(settings))


def kept(net: Network, rule: Rule, dataset: Dataset) -> dict[str, Any]:
    """Bytes that ``rule`` keeps within a sequence of one training batch, before it finishes.

    ``auxiliary_bytes``: matrices beyond the network's weights; ``state_bytes``: all else but
    labels and records.
    """
    events, labels, lengths = next(iter(dataset.batches("train")))
    rule.start(labels, steps=len(events), lengths=lengths)
    for x in events:
        rule.step(x)
    tensors = rule.tensors()
    auxiliary = tensors.pop("auxiliary", [])
    for name in ("labels", "lengths", "losses", "rates"):
        tensors.pop(name, None)
    return {
        "state_bytes": storage_bytes(t for some in tensors.values() for t in some),
        "auxiliary_bytes": storage_bytes(auxiliary),
        "batch": len(labels),
        "steps": len(events),
        "locality": vars(rule.locality),
    }


def row(plan: Plan, label: str) -> dict[str, Any]:
    """What is known of a contender so far: settings, outcomes of each seed, costs."""
    config, chosen = plan.configs[label], plan.best(label)
    tasks = plan.first(label) + [task for task in plan.rest(label) if task[1] == chosen]
    done = {
        task: summary
        for task in dict.fromkeys(tasks)
        if task[1] == chosen and (summary := runs.read_summary(plan.run(task)))
    }
    costs = [file for task in tasks if (file := plan.run(task) / COSTS).exists()]
    return {
        "rule": label,
        "lr": chosen,
        "epochs": config.train["epochs"],
        "complete": not plan.due(label),
        "diverged": [list(task[1:]) for task in tasks if (plan.run(task) / DIVERGED).exists()],
        "outcomes": list(done.values()),
        "seconds_per_epoch": seconds(plan.run(task) for task in done),
        **(read_json(costs[0]) if costs else {}),
    }


def seconds(trainings: Iterable[Path]) -> float | None:
    """The median over all epochs of all ``trainings``, with their validation and checkpoints."""
    each: list[float] = []
    for run in trainings:
        ends = [0.0, *(line["seconds"] for line in runs.read_metrics(run))]
        each += [end - start for start, end in pairwise(ends)]
    return statistics.median(each) if each else None
