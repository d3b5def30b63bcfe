"""A study in text: its trials, what mattered, what came of the winner; and a preset of the best."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import yaml

from synaptrace import text_table
from synaptrace.errors import UserError
from synaptrace.sweep.plan import Plan
from synaptrace.sweep.study import VALUES, WHY, best, ended
from synaptrace.sweep.winner import PRESET, WINNER

if TYPE_CHECKING:
    import optuna

STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def rows(plan: Plan, trials: list[optuna.trial.FrozenTrial]) -> list[list[str]]:
    """A head and a row a trial: finished ones first, the best on top."""
    head = ["trial", "validation %", "± s.d.", "state", "epochs", *plan.space, "seconds", "note"]
    order = list(STATES)
    known = [each for each in trials if each.state.name in STATES]
    known.sort(key=lambda t: (order.index(t.state.name), -(t.value or 0.0), t.number))
    return [head, *(row(plan, each) for each in known)]


def row(plan: Plan, trial: optuna.trial.FrozenTrial) -> list[str]:
    """A trial's cells."""
    values = trial.user_attrs.get(VALUES, [])
    took = trial.duration
    notes = ["the preset"] if trial.number == 0 and trial.params == plan.preset() else []
    return [
        str(trial.number),
        "" if trial.value is None else f"{100 * trial.value:.2f}",
        f"{100 * statistics.stdev(values):.2f}" if len(values) > 1 else "",
        STATES[trial.state.name],
        "" if trial.last_step is None else str(trial.last_step),
        *(short_value(trial.params, key) for key in plan.space),
        "" if took is None else f"{took.total_seconds():.1f}",
        "; ".join([*notes, *filter(None, [trial.user_attrs.get(WHY)])]),
    ]


def short_value(params: dict[str, Any], key: str) -> str:
    """A searched value, in four digits where it is a number."""
    value = params.get(key)
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def importance(study: optuna.Study) -> dict[str, float]:
    """Shares of the variance of validation that each setting explains (fANOVA), the largest first.

    Empty where too few trials are finished, or all are level.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)))
    except (ValueError, RuntimeError):
        return {}


def described(report: dict[str, Any]) -> list[str]:
    """The end of a study in lines (`winner.judge`)."""
    looked = report["looked_at"]
    told = ", ".join(f"{count} {state}" for state, count in looked.items() if count)
    own = report["validation_accuracy_preset"]
    preset = "" if own is None else f"; the preset {own:.2%}"
    found = " ".join(f"--{key} {value}" for key, value in report["params"].items())
    lines = [
        f"trials looked at   {sum(looked.values())} ({told})",
        f"winner             trial {report['winner']}, validation "
        f"{report['validation_accuracy']:.2%}{preset}",
        f"its settings       {found}",
    ]
    if report["winner_is_preset"]:
        return [
            *lines,
            f"test set, preset   {spread(report['test'][PRESET])}",
            "on fresh seeds     the winner is the preset itself: no trial was better by validation",
        ]
    verdict = report["verdict"]
    beside = {
        "better": " than the preset",
        "worse": " than the preset",
        "level": " with the preset",
    }
    return [
        *lines,
        f"test set, winner   {spread(report['test'][WINNER])}",
        f"test set, preset   {spread(report['test'][PRESET])}",
        f"on fresh seeds     the winner is {verdict}{beside.get(verdict, '')} "
        "(by two standard errors of the difference)",
    ]


def spread(test: dict[str, Any]) -> str:
    """Mean ± s.d. over seeds, in per cent."""
    if test["mean"] is None:
        return "none: no seed was tested"
    sd = "" if test["sd"] is None else f" ± {100 * test['sd']:.2f}"
    lost = f"; {test['diverged']} more diverged" if test["diverged"] else ""
    return f"{100 * test['mean']:.2f}{sd} % over {len(test['values'])} seeds{lost}"


def text(plan: Plan, study: optuna.Study) -> str:
    """The table, and below it what mattered."""
    lines = [text_table.shown(rows(plan, study.get_trials(deepcopy=False)))]
    shares = importance(study)
    if shares:
        told = "  ".join(f"{key} {share:.2f}" for key, share in shares.items())
        lines.append(f"importance         {told}")
    return "\n".join(lines)


def best_preset(plan: Plan, study: optuna.Study) -> str:
    """A YAML file of the best trial's settings, to be given to --config.

    Raises:
        UserError: no trial is finished yet.
    """
    trial, count = best(study), len(ended(study))
    if trial is None:
        raise UserError(f"--best-preset: {plan.out} has no finished trial yet")
    config = plan.config(trial.params)
    about = f"trial {trial.number} of {count} around {plan.base.name}: validation {trial.value:.2%}"
    settings = config.model_dump(mode="json", exclude={"seeds"})
    for key in ("device", "threads"):
        settings["train"].pop(key, None)
    content = {"name": config.name, "description": f"found by synaptrace sweep, {about}"}
    return yaml.safe_dump({**content, **settings}, sort_keys=False, allow_unicode=True)
