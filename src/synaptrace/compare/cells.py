"""A comparison as cells: commands of their own, for machines that share nothing but files.

    RULE/lr-<rate>/seed-<first>   one rate of a grid, or
    RULE/tune                     a study of the rate (--tune), by validation
    RULE/seed-<n>                 a seed at the rate that was chosen

The first two kinds are the first phase. The order is free all the same: a seed's cell trains what
is missing to choose its rate, and waits for what others are training. A cell that has its outcome
is left alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from synaptrace.compare import run as runner
from synaptrace.compare.plan import ABOUT, Plan, Task, placed
from synaptrace.errors import UserError, short
from synaptrace.training import lock
from synaptrace.training.job import recorded

JOBS = 2
"""A cell has one thread, as each training has where several run at once."""


@dataclass(frozen=True)
class Cell:
    """What one command carries out."""

    label: str
    rate: float | None = None
    """None: the one that was chosen."""
    seed: int | None = None
    """None: the study that chooses the rate."""


def listed(plan: Plan, tune: bool) -> dict[str, Cell]:
    """Every cell by its name; those that choose rates come first."""
    choosing: dict[str, Cell] = {}
    training: dict[str, Cell] = {}
    for label in plan.configs:
        place, begin = plan.folder(label), 0
        if tune:
            choosing[f"{place}/tune"] = Cell(label)
        elif len(plan.rates[label]) > 1:
            begin = 1
            for task in plan.first(label):
                choosing[str(plan.run(task).relative_to(plan.out))] = Cell(*task)
        for seed in range(plan.seed(label) + begin, plan.seed(label) + plan.seeds):
            training[f"{place}/seed-{seed}"] = Cell(label, None, seed)
    return choosing | training


def commands(plan: Plan, words: Sequence[str], tune: bool) -> list[str]:
    """A line of shell for each cell, made of the command line ``words`` that asked for them."""
    asked = ["synaptrace", *(word for word in words if word != "--cells")]
    if not any(word == "--out" or word.startswith("--out=") for word in words):
        asked += ["--out", str(plan.out)]
    return [shlex.join([*asked, "--cell", name]) for name in listed(plan, tune)]


def find(plan: Plan, tune: bool, name: str) -> Cell:
    """The cell of that name. Raises UserError where there is none."""
    cells = listed(plan, tune)
    if name not in cells:
        raise UserError(f"--cell: {short(name)} is no cell of this comparison; --cells lists them")
    return cells[name]


def carry_out(plan: Plan, cell: Cell) -> str:
    """Train a cell that has a seed, after what its rate is chosen by; returns the outcome in words.

    Raises:
        UserError: as `run.train`; another comparison lies in the directory.
    """
    assert cell.seed is not None
    if cell.rate is not None:
        return settled(plan, (cell.label, cell.rate, cell.seed))
    for task in plan.first(cell.label):
        settled(plan, task)
    rate = plan.best(cell.label)
    if rate is None:
        return "no rate to train at: every one diverged"
    return settled(plan, (cell.label, rate, cell.seed))


def settled(plan: Plan, task: Task) -> str:
    """The outcome of one training, carried out here unless another process does or did it."""
    if not plan.finished(task):
        runner.check(plan, [task[0]])
        if not (plan.out / ABOUT).exists():
            with lock.held(plan.out, wait=True):
                runner.noted(placed(plan), JOBS)
        config = recorded(plan.config(task), plan.out)
        runner.once(config, plan.run(task), runner.threads_of(plan, JOBS))
    return runner.outcome(plan.run(task))
