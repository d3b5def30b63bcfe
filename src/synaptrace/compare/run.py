"""A comparison, carried out: trainings in processes of their own, and a row of what came of each.

A comparison that was cut off goes on where it stopped, and `row` tells what is finished at any
time. A training that diverges leaves `DIVERGED` behind and counts as an outcome.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

from synaptrace import own_files
from synaptrace.compare import judge
from synaptrace.compare.plan import ABOUT, DIVERGED, Plan, Task, about
from synaptrace.config import Config
from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.rules.base import Rule
from synaptrace.rules.kept import kept
from synaptrace.training import lock, schema
from synaptrace.training import run as runs
from synaptrace.training.telling import left

COSTS = "costs.json"


def threads_of(plan: Plan, jobs: int) -> int:
    """Threads of each training: as many as the comparison began with, else what ``jobs`` leave.

    Another number gives other last bits, so every training of a comparison has the same.
    """
    import torch

    file = plan.out / ABOUT
    stored = schema.read(schema.Comparison, file).get("threads") if file.exists() else None
    return stored or (1 if jobs > 1 else torch.get_num_threads())


def check(plan: Plan, labels: Iterable[str] | None = None) -> None:
    """See that every contender can start, and that there is something to choose its rate by.

    Args:
        labels: the contenders; None: all.

    Raises:
        UserError: data that can't be read, a rule that the network doesn't suit, several rates
            without a validation set.
    """
    from synaptrace.training import job

    for label in plan.configs if labels is None else labels:
        config = plan.configs[label]
        dataset = load_data(json.dumps(job.recorded(config, plan.out).data))
        job.build(config, dataset)
        if not dataset.meta.sizes.get("validation") and len(plan.rates[label]) > 1:
            raise UserError(
                f"data: {dataset.meta.name} has no validation samples to choose among "
                f"{len(plan.rates[label])} rates by; give {label} a single one (--rates)"
            )


def train(plan: Plan, jobs: int = 1, progress: bool = True) -> None:
    """Train what isn't trained yet, ``jobs`` at once, each in a process of its own.

    Raises:
        UserError: as `check`, before anything is written; a training's process was killed;
            another process trains the same comparison.
    """
    check(plan)
    with lock.held(plan.out):
        work(plan, jobs, noted(plan, jobs), progress)


def noted(plan: Plan, jobs: int) -> int:
    """Write `ABOUT`, while this process holds the directory; returns threads a training."""
    threads = threads_of(plan, jobs)
    text = json.dumps(about(plan.configs, plan.rates, plan.seeds) | {"threads": threads}, indent=1)
    write_atomic(plan.out / ABOUT, text + "\n")
    return threads


def work(plan: Plan, jobs: int, threads: int, progress: bool) -> None:
    """`train`, once all is checked and the comparison is this process's."""
    from tqdm import tqdm

    from synaptrace.training.job import recorded

    total = sum(len(rates) + plan.seeds - 1 for rates in plan.rates.values())
    bar = tqdm(total=total, unit=" runs", disable=None if progress else True, dynamic_ncols=True)
    pool = fresh(jobs)
    running: dict[Future[None], Task] = {}
    began, before = monotonic(), count(plan)
    try:
        while True:
            for label in plan.configs:
                for task in plan.due(label):
                    if task not in running.values():
                        config = recorded(plan.config(task), plan.out)
                        job = pool.submit(once, config, plan.run(task), threads)
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
                    done = count(plan)
                    tqdm.write(
                        f"{done}/{total} {label} lr {rate:g} seed {seed}: "
                        + outcome(plan.run((label, rate, seed)))
                        + left(monotonic() - began, done - before, max(total - done, 0)),
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
    accuracy = runs.last_line(run)["validation_accuracy"]
    return "done" if accuracy is None else f"validation {accuracy:.1%}"


def fresh(jobs: int) -> ProcessPoolExecutor:
    """Processes for trainings, which know the parts of the user's own that this one knows."""
    return ProcessPoolExecutor(jobs, get_context("spawn"), begin, (own_files.present(),))


@contextmanager
def processes(jobs: int, place: Path) -> Iterator[ProcessPoolExecutor]:
    """`fresh` ones while the context lasts. Raises UserError, naming what is trained in ``place``,
    where one of them is killed."""
    pool = fresh(jobs)
    try:
        yield pool
    except BrokenProcessPool:
        raise UserError(
            f"{place}: a training's process was killed (memory?); the same command goes on "
            "where it stopped"
        ) from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def begin(files: Mapping[str, str]) -> None:
    """Run the user's own ``files``, and let this process end when its parent does, be it killed."""
    end_with_parent()
    own_files.load(files)


def end_with_parent() -> None:
    """Let this process end when the one that started it does, be it killed."""
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


def once(config: Config, run: Path, threads: int) -> None:
    """One training, in a process of its own, and what its rule keeps (`COSTS`).

    One that another process is at work on is waited for.
    """
    import torch

    from synaptrace.training import job
    from synaptrace.training.loop import Diverged

    torch.set_num_threads(threads)
    dataset = load_data(json.dumps(config.data))
    runs.write_config(run, config.model_dump())
    costs = costs_of(job.build(config, dataset)[1], dataset)
    write_atomic(run / COSTS, json.dumps(costs) + "\n")
    try:
        lock.patiently(lambda: job.once(config, run, dataset, progress=False))
    except Diverged as error:
        write_atomic(run / DIVERGED, f"{error}\n")


def costs_of(rule: Rule, dataset: Dataset) -> dict[str, Any]:
    """What ``rule`` keeps within a sequence of one training batch, and what it needs beyond."""
    events, labels, lengths = next(iter(dataset.batches("train")))
    found = kept(rule, events, labels, lengths)
    about = {"batch": len(labels), "steps": len(events), "locality": vars(rule.locality)}
    return {**found, **about}


@lru_cache(maxsize=1)
def load_data(settings: str) -> Dataset:
    """The data of a config's section, as JSON; a process that trains several times reads once."""
    from synaptrace import data

    return data.load(**json.loads(settings))


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
    known = schema.read(schema.Costs, costs[0]) if costs else {}
    samples = next((s["samples"].get("train") for s in done.values() if "samples" in s), None)
    budget = None
    if samples and known:
        train = config.train
        budget = judge.updates(
            samples, known["batch"], known["steps"], train["update"], train["epochs"]
        )
    return {
        "rule": label,
        "lr": chosen,
        "epochs": config.train["epochs"],
        "complete": not plan.due(label),
        "diverged": [list(task[1:]) for task in tasks if (plan.run(task) / DIVERGED).exists()],
        "outcomes": list(done.values()),
        "seconds_per_epoch": seconds(plan.run(task) for task in done),
        "updates": budget,
        "rise": judge.rise([curve(plan.run(task)) for task in done]),
        **known,
    }


def curve(run: Path) -> list[float]:
    """Validation accuracy of each epoch; without validation, training accuracy."""
    lines = runs.read_metrics(run)
    key = "train_accuracy" if lines and lines[0]["validation_accuracy"] is None else ""
    return [line[key or "validation_accuracy"] for line in lines]


def seconds(trainings: Iterable[Path]) -> float | None:
    """The median over all epochs of all ``trainings``, with their validation and checkpoints."""
    each: list[float] = []
    for run in trainings:
        ends = [0.0, *(line["seconds"] for line in runs.read_metrics(run))]
        each += [end - start for start, end in pairwise(ends)]
    return statistics.median(each) if each else None
