"""The learning rate of each rule of a comparison, from a study of its own: the same trials for all.

OUT/tune/<rule>/    the study
"""

from __future__ import annotations

from dataclasses import replace

from synaptrace.compare import plan as comparisons
from synaptrace.errors import UserError
from synaptrace.sweep.plan import ABOUT, MOST_TRIALS, Plan, read
from synaptrace.sweep.study import best, opened, require
from synaptrace.sweep.work import finish

RATE = "train.lr"
SPACE = "1e-5..1e-1:log"
"""Of every rule: two decades below and one above the rates that a comparison tries."""


def study(plan: comparisons.Plan, label: str, trials: int) -> Plan:
    """The study that tunes one contender, on the comparison's first seed."""
    out = plan.out / "tune" / plan.folder(label)
    return Plan(plan.configs[label], {RATE: SPACE}, trials, 1, 2, "none", None, out)


def tuned(
    plan: comparisons.Plan, trials: int, jobs: int = 1, progress: bool = True
) -> comparisons.Plan:
    """The comparison, each contender at the rate that ``trials`` trials of it found.

    One of which every trial failed has no rate.

    Raises:
        UserError: Optuna isn't installed, a number of trials that can't be, a directory that holds
            other studies.
    """
    require()
    if not 1 <= trials <= MOST_TRIALS:
        raise UserError(f"--tune: {trials} is not a number from 1 to {MOST_TRIALS}")
    studies = {label: study(plan, label, trials) for label in plan.configs}
    for each in studies.values():
        if (each.out / ABOUT).exists() and read(each.out).about() != each.about():
            raise UserError(f"{each.out}: holds another study; choose another --out")
    rates: dict[str, tuple[float, ...]] = {}
    for label, each in studies.items():
        finish(each, jobs, progress)
        found = best(opened(each))
        rates[label] = () if found is None else (float(found.params[RATE]),)
    return replace(plan, rates=rates)
