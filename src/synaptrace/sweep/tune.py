"""The learning rate of each rule of a comparison, from a study of its own: the same trials for all.

OUT/tune/<rule>/    the study
"""

from __future__ import annotations

from dataclasses import replace

from synaptrace.compare import plan as comparisons
from synaptrace.errors import UserError
from synaptrace.sweep.plan import ABOUT, MOST_TRIALS, Plan, read
from synaptrace.sweep.study import best, ended, opened, require
from synaptrace.sweep.work import finish

RATE = "train.lr"
SPACE = "1e-5..1e-1:log"
"""Of every rule: two decades below and one above the rates that a comparison tries."""


def study(plan: comparisons.Plan, label: str, trials: int) -> Plan:
    """The study that tunes one contender, on the comparison's first seed."""
    out = plan.out / "tune" / plan.folder(label)
    return Plan(plan.configs[label], {RATE: SPACE}, trials, 1, 2, "none", None, out)


def studies(plan: comparisons.Plan, trials: int) -> dict[str, Plan]:
    """The study of every contender, begun or not.

    Raises:
        UserError: Optuna isn't installed, a number of trials that can't be, a directory that holds
            other studies.
    """
    require()
    if not 1 <= trials <= MOST_TRIALS:
        raise UserError(f"--tune: {trials} is not a number from 1 to {MOST_TRIALS}")
    found = {label: study(plan, label, trials) for label in plan.configs}
    for each in found.values():
        if (each.out / ABOUT).exists() and read(each.out).about() != each.about():
            raise UserError(f"{each.out}: holds another study; choose another --out")
    return found


def tuned(
    plan: comparisons.Plan, trials: int, jobs: int = 1, progress: bool = True
) -> comparisons.Plan:
    """The comparison, each contender at the rate that ``trials`` trials of it found.

    One of which every trial failed has no rate.

    Raises:
        UserError: as `studies`.
    """
    for each in studies(plan, trials).values():
        finish(each, jobs, progress)
    return chosen(plan, trials)


def chosen(plan: comparisons.Plan, trials: int) -> comparisons.Plan:
    """`tuned`, of studies that are finished. Raises UserError where one isn't."""
    rates: dict[str, tuple[float, ...]] = {}
    for label, each in studies(plan, trials).items():
        made = opened(each) if (each.out / ABOUT).exists() else None
        done = 0 if made is None else len(ended(made))
        if made is None or done < trials:
            raise UserError(f"{each.out}: {done} of {trials} trials are done; no rate is chosen")
        found = best(made)
        rates[label] = () if found is None else (float(found.params[RATE]),)
    return replace(plan, rates=rates)
