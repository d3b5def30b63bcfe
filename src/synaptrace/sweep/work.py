"""A study, carried out: trials one after the other, in one process or several, then the winner."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from synaptrace.compare.run import load_data, processes
from synaptrace.errors import UserError, one_line
from synaptrace.files import write_atomic
from synaptrace.sweep import plan as plans
from synaptrace.sweep.plan import ABOUT, JOURNAL, Plan
from synaptrace.sweep.score import fits, scores
from synaptrace.sweep.space import as_text
from synaptrace.sweep.study import (
    BEGUN,
    MOST_BEGUN,
    VALUES,
    WHY,
    best,
    claimed,
    ended,
    opened,
    require,
)  # fmt: skip
from synaptrace.sweep.winner import judge
from synaptrace.training import lock, schema
from synaptrace.training.loop import Diverged
from synaptrace.training.telling import left

if TYPE_CHECKING:
    import optuna

PAUSE = 0.5
"""Seconds between two looks at trials that other processes train."""


class Pruned(Exception):
    """The trial's validation is not worth going on for."""


def run(
    search: Mapping[str, Any], *, preset: str | None = None, file: Path | None = None,
    overrides: Mapping[str, str] | None = None, trials: int = 40, seeds: int = 1, final: int = 5,
    prune: plans.Pruning = "median", storage: str | None = None, out: Path | None = None,
    jobs: int = 1, progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """A whole study; the same call goes on with one that was cut off.

    Args:
        search: {"section.key": space}, each "1e-4..1e-2:log", "2..8:int", "A,B" or a list.
        preset, file, overrides: the settings around it, as `synaptrace train` takes them.
        trials: how many settings are looked at; the first are the preset's own.
        seeds: trainings of each trial, whose mean counts.
        final: fresh seeds on which winner and preset are trained, and tested, in the end.
        prune: "median", "hyperband" or "none".
        storage: a URL of Optuna's; None: a journal in ``out``.
        out: the study's directory; None: one below runs/ named by the plan.
        jobs: processes that train at once.
        progress: a line a trial on standard error.

    Returns:
        What report.json says (`judge`), and "out", the directory.

    Raises:
        UserError: settings, a space or data that can't be; Optuna isn't installed.
    """
    require()
    texts = {key: as_text(value) for key, value in search.items()}
    plan = plans.plan(
        texts, preset=preset, file=file, overrides=overrides, trials=trials, seeds=seeds,
        final=final, prune=prune, storage=storage, out=out,
    )  # fmt: skip
    return {"out": str(plan.out), **carry_out(plan, jobs, progress)}


def carry_out(plan: Plan, jobs: int = 1, progress: bool = True) -> dict[str, Any]:
    """Train what isn't trained yet, then the winner; returns what report.json says."""
    threads = finish(plan, jobs, progress)
    return judge(plan, opened(plan), jobs, threads, progress)


def finish(plan: Plan, jobs: int, progress: bool) -> int:
    """Train trials until all have their outcome; returns threads a training."""
    threads = prepare(plan, jobs)
    take_part(plan, jobs, threads, progress)
    study = opened(plan)
    while len(ended(study)) < plan.trials:  # another process trains the last ones, or was killed
        time.sleep(PAUSE)
        work(plan, threads, progress)
    return threads


def prepare(plan: Plan, jobs: int) -> int:
    """Write the plan and make its study, where they aren't there; returns threads a training.

    Raises:
        UserError: settings that the data don't suit, a storage that can't be opened; nothing is
            left behind.
    """
    positive(jobs)
    dataset = load_data(json.dumps(plan.base.data))
    fits(plan.base, dataset)
    new = not plan.out.exists()
    with lock.held(plan.out, wait=True):
        file = plan.out / ABOUT
        if file.exists():
            opened(plan, create=True, fresh=False)
            return threads_of(plan)
        threads = 1 if jobs > 1 else torch.get_num_threads()
        about = plan.about() | {"split_hash": dataset.meta.split_hash, "threads": threads}
        write_atomic(file, json.dumps(about, indent=1) + "\n")
        try:
            opened(plan, create=True)
        except UserError:
            for each in (file, plan.out / JOURNAL):
                each.unlink(missing_ok=True)
            if new:
                shutil.rmtree(plan.out)
            raise
        return threads


def positive(jobs: int) -> None:
    """Raises UserError unless there can be so many."""
    if jobs < 1:
        raise UserError(f"--jobs: {jobs} is not a positive number")


def threads_of(plan: Plan) -> int:
    """Threads of each training: as many as the study began with, as others give other bits."""
    found: int = schema.read(schema.Sweep, plan.out / ABOUT)["threads"]
    return found


def join(out: Path, jobs: int = 1, progress: bool = True) -> None:
    """Help with the trials of a study that another process began, until none is left to take.

    Raises:
        UserError: no study lies in ``out``.
    """
    require()
    positive(jobs)
    plan = plans.read(out)
    opened(plan)
    take_part(plan, jobs, threads_of(plan), progress)


def take_part(plan: Plan, jobs: int, threads: int, progress: bool) -> None:
    """`work` in ``jobs`` processes."""
    if jobs == 1:
        return work(plan, threads, progress)
    with processes(jobs, plan.out) as pool:
        for each in [pool.submit(work, plan, threads, progress) for _ in range(jobs)]:
            each.result()
    return None


def work(plan: Plan, threads: int, progress: bool) -> None:
    """Train trial after trial, until there is none to take."""
    torch.set_num_threads(threads)
    study = opened(plan)
    began, before = time.monotonic(), len(ended(study))
    while True:
        with claimed(plan, study) as trial:
            if trial is None:
                return
            attempt(plan, study, trial)
            if progress:
                done = len(ended(study))
                rest = left(time.monotonic() - began, done - before, plan.trials - done)
                print(f"{done}/{plan.trials} {said(study, trial.number)}{rest}", file=sys.stderr)


def attempt(plan: Plan, study: optuna.Study, trial: optuna.Trial) -> None:
    """Train one trial and tell the study what came of it.

    Settings that don't fit together, or that diverge, are an outcome; what is no fault of the
    settings, as a full disk, comes out, and the trial goes on another time.
    """
    from optuna.trial import TrialState

    begun = trial.user_attrs.get(BEGUN, 0)
    if begun >= MOST_BEGUN:
        trial.set_user_attr(WHY, f"its process was killed {begun} times (memory?)")
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr(BEGUN, begun + 1)
    known = study.get_trials(deepcopy=False)[trial.number].intermediate_values

    def report(epoch: int, accuracy: float) -> None:
        if epoch not in known:
            trial.report(accuracy, epoch)
        if trial.number and trial.should_prune():  # the preset is what the others are held to
            raise Pruned

    try:
        try:
            config = plan.config(trial.params)
            dataset = load_data(json.dumps(config.data))
            fits(config, dataset)
            same_split(plan, dataset.meta.split_hash)
        except UserError as error:
            raise Unfit(str(error)) from error
        values = scores(config, dataset, plan.seeds, plan.trial(trial.number), report)
    except Pruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (Unfit, Diverged) as error:
        kind = "diverged: " if isinstance(error, Diverged) else ""
        trial.set_user_attr(WHY, kind + one_line(str(error)))
        study.tell(trial, state=TrialState.FAIL)
    except BaseException:
        trial.set_user_attr(BEGUN, begun)  # interrupted, not killed
        raise
    else:
        trial.set_user_attr(VALUES, values)
        study.tell(trial, sum(values) / len(values))


class Unfit(UserError):
    """The trial's settings don't fit together, or don't fit the data."""


def same_split(plan: Plan, found: str) -> None:
    """Raises UserError where a trial would be judged on other samples than the others."""
    if found != schema.read(schema.Sweep, plan.out / ABOUT)["split_hash"]:
        raise UserError("data: these settings give another split, so accuracies can't be compared")


def said(study: optuna.Study, number: int) -> str:
    """A trial's outcome in words, and the best so far."""
    from optuna.trial import TrialState

    trial = study.get_trials(deepcopy=False)[number]
    winner = best(study)
    if trial.state == TrialState.PRUNED:
        told = f"pruned after epoch {trial.last_step} at {trial.value or 0.0:.1%}"
    elif trial.state == TrialState.FAIL:
        told = f"failed ({trial.user_attrs.get(WHY, 'no reason known')})"
    else:
        told = f"validation {trial.value:.1%}"
    end = "" if winner is None else f" (best {winner.value:.1%}, trial {winner.number})"
    return f"trial {number}: {told}{end}"
