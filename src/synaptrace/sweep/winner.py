"""The end of a study: who won, and what the test set says of it, which is read here and only here.

The winner is written down before anything of it is tested. Then it and the preset are trained
anew, on seeds that no trial has seen.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaptrace.compare.plan import DIVERGED
from synaptrace.compare.run import load_data, processes
from synaptrace.compare.table import above
from synaptrace.config import Config
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.sweep.plan import Plan
from synaptrace.sweep.study import best, ended
from synaptrace.training import job, lock, schema
from synaptrace.training import run as runs
from synaptrace.training.loop import Diverged

if TYPE_CHECKING:
    import optuna

CLOSED, REPORT = "closed.json", "report.json"
WINNER, PRESET = "winner", "preset"


def judge(
    plan: Plan, study: optuna.Study, jobs: int, threads: int, progress: bool
) -> dict[str, Any]:
    """Train and test the winner and the preset; returns, and writes, what came of it.

    Returns:
        "looked_at": trials by their state; "winner": the trial's number, "params" its settings;
        "test": for winner and preset mean, sd and values of the test accuracy at the last epoch,
        shares of 1; "verdict": better, level or worse than the preset, by two standard errors.

    Raises:
        UserError: no trial was finished; another process is at it.
    """
    with lock.held(plan.out / "final"):
        closed = close(plan, study)
        configs = {WINNER: Config(**closed["settings"]), PRESET: plan.base}
        if closed["winner_is_preset"]:
            del configs[WINNER]
        tasks = [
            (config.with_train(seed=seed), plan.out / "final" / who / f"seed-{seed}")
            for who, config in configs.items()
            for seed in plan.fresh
        ]
        train(tasks, jobs, threads, progress)
        test = {who: outcome(plan, who) for who in configs}
        test.setdefault(WINNER, test[PRESET])
        report = {**closed, "seeds": list(plan.fresh), "test": test, "verdict": verdict(test)}
        del report["settings"]
        write_atomic(plan.out / REPORT, json.dumps(report, indent=1) + "\n")
    return report


def told(out: Path) -> dict[str, Any] | None:
    """What report.json says; None before the study's end."""
    file = out / REPORT
    return schema.read(schema.Outcome, file) if file.exists() else None


def close(plan: Plan, study: optuna.Study) -> dict[str, Any]:
    """Who won, written down once: the best validation accuracy, the earliest of those level."""
    if (plan.out / CLOSED).exists():
        return schema.read(schema.Closed, plan.out / CLOSED)
    trials, first = ended(study), best(study)
    if first is None:
        raise UserError(f"{plan.out}: no trial was finished; see synaptrace sweep show {plan.out}")
    whole = plan.preset().keys() == plan.space.keys()
    config = plan.config(first.params)
    closed = {
        "winner": first.number,
        "winner_is_preset": config == plan.base,
        "validation_accuracy": first.value,
        "validation_accuracy_preset": trials[0].value if whole else None,
        "params": {key: plan.space[key].text(value) for key, value in first.params.items()},
        "settings": config.model_dump(mode="json"),
        "looked_at": {
            name: sum(each.state.name == state for each in trials)
            for name, state in (("finished", "COMPLETE"), ("pruned", "PRUNED"), ("failed", "FAIL"))
        },
    }
    write_atomic(plan.out / CLOSED, json.dumps(closed, indent=1) + "\n")
    return closed


def train(tasks: list[tuple[Config, Path]], jobs: int, threads: int, progress: bool) -> None:
    """Train what isn't trained yet of the last trainings, ``jobs`` at once."""
    left = [each for each in tasks if not done(each[1])]
    if jobs == 1:
        for index, task in enumerate(left):
            once(*task, threads)
            tell(index + 1, left, progress)
        return
    with processes(jobs, tasks[0][1].parents[1]) as pool:
        for index, each in enumerate([pool.submit(once, *task, threads) for task in left]):
            each.result()
            tell(index + 1, left, progress)


def tell(count: int, tasks: list[tuple[Config, Path]], progress: bool) -> None:
    """A line for a last training that is done."""
    if progress:
        run = tasks[count - 1][1]
        print(f"final {count}/{len(tasks)} {run.parent.name} {run.name}", file=sys.stderr)


def done(run: Path) -> bool:
    """Whether a last training has its outcome."""
    return (run / runs.SUMMARY).exists() or (run / DIVERGED).exists()


def once(config: Config, run: Path, threads: int) -> None:
    """One of the last trainings, the test set read at its end."""
    import torch

    torch.set_num_threads(threads)
    if not (run / runs.CONFIG).exists():
        runs.write_config(run, config.model_dump())
    try:
        job.once(config, run, load_data(json.dumps(config.data)), progress=False)
    except Diverged as error:
        write_atomic(run / DIVERGED, f"{error}\n")


def outcome(plan: Plan, who: str) -> dict[str, Any]:
    """Test accuracy at the last epoch over the fresh seeds; those that diverged are counted."""
    places = [plan.out / "final" / who / f"seed-{seed}" for seed in plan.fresh]
    summaries = [found for place in places if (found := runs.read_summary(place)) is not None]
    values = [v for each in summaries if (v := each["test_accuracy_last"]) is not None]
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
        "diverged": len(places) - len(summaries),
    }


def verdict(test: dict[str, Any]) -> str:
    """Better, level or worse than the preset: their means two standard errors apart, or not."""
    own, preset = test[WINNER]["values"], test[PRESET]["values"]
    if min(len(own), len(preset)) < 2:
        return "not known: too few seeds were tested"
    return "better" if above(own, preset) else "worse" if above(preset, own) else "level"
