"""Pictures of a study: how validation rose, what mattered, and the settings of every trial."""

from __future__ import annotations

import math
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaptrace.drawing import BLUE, GREY, RED, figure, plain, save, whole
from synaptrace.sweep.plan import Plan
from synaptrace.sweep.space import Choices
from synaptrace.sweep.study import best
from synaptrace.sweep.table import importance

if TYPE_CHECKING:
    import optuna

HISTORY, IMPORTANCE, PARALLEL = "history.png", "importance.png", "parallel.png"
FINISHED, PRUNED, BEST = BLUE, GREY, RED


def draw(plan: Plan, study: optuna.Study) -> list[Path]:
    """All that there is something to draw of, in the study's directory."""
    trials = study.get_trials(deepcopy=False)
    done = [each for each in trials if each.state.name == "COMPLETE"]
    if not done:
        return []
    made = [history(plan, trials, plan.out / HISTORY), parallel(plan, study, plan.out / PARALLEL)]
    shares = importance(study)
    return [*made, bars(shares, plan.out / IMPORTANCE)] if shares else made


def history(plan: Plan, trials: list[optuna.trial.FrozenTrial], path: Path) -> Path:
    """Validation accuracy trial by trial, and the best so far."""
    picture = figure(7, 4)
    axis = picture.subplots()
    for state, colour, label in (("COMPLETE", FINISHED, "finished"), ("PRUNED", PRUNED, "pruned")):
        some = [each for each in trials if each.state.name == state and each.value is not None]
        places = [each.number for each in some]
        axis.plot(places, [100 * (each.value or 0.0) for each in some], "o", color=colour,
                  label=label if some else None)  # fmt: skip
    failed = [each.number for each in trials if each.state.name == "FAIL"]
    if failed:
        axis.plot(failed, [0.02] * len(failed), "x", color=BEST, label="failed",
                  transform=axis.get_xaxis_transform())  # fmt: skip
    done = [each for each in trials if each.state.name == "COMPLETE"]
    so_far = accumulate((100 * (each.value or 0.0) for each in done), max)
    axis.step([each.number for each in done], list(so_far), where="post", color=BEST,
              label="best so far")  # fmt: skip
    axis.set(xlabel="trial", ylabel="validation accuracy [%]", title=plain(plan.base.name))
    whole(axis)
    axis.legend(fontsize=8)
    return save(picture, path)


def bars(shares: dict[str, float], path: Path) -> Path:
    """The importance of each setting."""
    picture = figure(7, 0.4 * len(shares) + 1.2)
    axis = picture.subplots()
    names = list(reversed(shares))
    axis.barh([plain(name) for name in names], [shares[name] for name in names], color=FINISHED)
    axis.set(xlabel="share of the variance of validation (fANOVA)", xlim=(0, 1))
    axis.grid(alpha=0.3, axis="x")
    return save(picture, path)


def parallel(plan: Plan, study: optuna.Study, path: Path) -> Path:
    """A line a trial through its settings to its validation accuracy; the best on top."""
    done = [each for each in study.get_trials(deepcopy=False) if each.state.name == "COMPLETE"]
    values = [100 * (each.value or 0.0) for each in done]
    low, high = min(values), max(values)
    keys = list(plan.space)
    first = best(study)
    picture = figure(1.9 * (len(keys) + 1) + 1.5, 4.2)
    axis = picture.subplots()
    for trial, value in sorted(zip(done, values, strict=True), key=lambda each: each[1]):
        share = (value - low) / ((high - low) or 1.0)
        heights = [height(plan, key, trial.params[key]) for key in keys]
        top = first is not None and trial.number == first.number
        axis.plot([*heights, share], color=BEST if top else FINISHED, lw=2.2 if top else 1,
                  alpha=1 if top else 0.15 + 0.6 * share, zorder=3 if top else 2)  # fmt: skip
    for place, key in enumerate(keys):
        axis.axvline(place, color="#444444", lw=0.8)
        for at, label in marks(plan, key):
            axis.annotate(plain(label), (place, at), fontsize=7, xytext=(3, 0),
                          textcoords="offset points", va="center")  # fmt: skip
    axis.axvline(len(keys), color="#444444", lw=0.8)
    for at, number in ((0, low), (1, high)):
        axis.annotate(f"{number:.1f}", (len(keys), at), fontsize=7, xytext=(3, 0),
                      textcoords="offset points", va="center")  # fmt: skip
    axis.set_xticks(range(len(keys) + 1), [*map(plain, keys), "validation [%]"], fontsize=8)
    axis.set(yticks=[], ylim=(-0.06, 1.06), xlim=(-0.2, len(keys) + 0.4))
    return save(picture, path)


def height(plan: Plan, key: str, value: Any) -> float:
    """Where a value lies on its axis, from 0 to 1."""
    each = plan.space[key]
    if isinstance(each, Choices):
        return each.values.index(value) / (len(each.values) - 1)
    low, high, here = (math.log(v) if each.log else v for v in (each.low, each.high, value))
    return float((here - low) / (high - low))


def marks(plan: Plan, key: str) -> list[tuple[float, str]]:
    """The labels of an axis, and where they stand."""
    each = plan.space[key]
    values = each.values if isinstance(each, Choices) else (each.low, each.high)
    return [(height(plan, key, v), v if isinstance(v, str) else f"{v:g}") for v in values]
