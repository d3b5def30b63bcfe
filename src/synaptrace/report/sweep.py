"""The report of a sweep: its trials, what mattered, and the network of the best one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synaptrace.drawing import BLUE, LINES, RED
from synaptrace.errors import UserError
from synaptrace.report import charts, facts, network
from synaptrace.report.page import Chart, Part, Section, Table, Text
from synaptrace.report.run import series
from synaptrace.sweep import plan as plans
from synaptrace.sweep import table
from synaptrace.sweep.pictures import height, marks
from synaptrace.sweep.plan import Plan
from synaptrace.sweep.space import Choices
from synaptrace.sweep.study import best, opened
from synaptrace.sweep.winner import told
from synaptrace.training import run as runs

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def sections(out: Path, sample: int, data_path: str | None) -> list[Section]:
    """The tabs. Raises UserError where its files can't be read, or without Optuna."""
    plan = plans.read(out)
    study = opened(plan)
    trials = study.get_trials(deepcopy=False)
    first, report, shares = best(study), told(out), table.importance(study)
    parts: list[Part] = []
    if report is not None:
        parts.append(Text("\n".join(table.described(report)), code=True))
    else:
        parts.append(Text("The study isn't finished; the test set hasn't been read."))
    parts.append(history(trials))
    if shares:
        parts.append(charts.bars("Importance of each setting", shares,
                                 "share of the variance of validation (fANOVA)"))  # fmt: skip
    looked: list[Section] = []
    own: list[Part] = []
    if first is not None:
        where = plan.trial(first.number) / f"seed-{plan.seed}"
        looked = network.sections(where, sample, data_path, f"Of trial {first.number}, the best")
        config = plan.config(first.params)
        own = facts.settings(config, "Settings of the best trial that differ from the preset")
    summary = None if first is None else runs.read_summary(where)
    return [
        Section("Outcome", [*parts, *own]),
        Section("Trials", [
            *parallel(plan, trials), Table(table.rows(plan, trials), "Every trial"),
        ]),
        Section("Curves", curves(plan, trials)),
        *looked,
        facts.environment(summary),
        Section("Repeat", facts.repeat(command(plan), plan.out / plans.ABOUT, "plan")),
    ]  # fmt: skip


def history(trials: list[FrozenTrial]) -> Chart:
    """Validation accuracy trial by trial."""
    known = {
        state: {t.number: 100 * t.value for t in trials
                if t.state.name == state and t.value is not None}
        for state in ("COMPLETE", "PRUNED")
    }  # fmt: skip
    return charts.trials("Validation accuracy, trial by trial", known["COMPLETE"], known["PRUNED"])


def ranked(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The finished trials, the best first."""
    done = [each for each in trials if each.state.name == "COMPLETE"]
    return sorted(done, key=lambda each: (-(each.value or 0.0), each.number))


def curves(plan: Plan, trials: list[FrozenTrial]) -> list[Chart]:
    """Validation accuracy of the best trials, epoch by epoch, on the first seed."""
    named = {}
    for trial in ranked(trials)[:LINES]:
        lines = runs.read_metrics(plan.trial(trial.number) / f"seed-{plan.seed}")
        named[f"trial {trial.number}"] = series(lines, "validation_accuracy", 100)
    title = "Validation accuracy of the best trials, first seed"
    return charts.curves(title, named, "epoch", "validation accuracy [%]")


def parallel(plan: Plan, trials: list[FrozenTrial]) -> list[Chart]:
    """A line a trial through its settings to its validation accuracy; the best on top."""
    done = ranked(trials)
    if not done:
        return []
    values = [100 * (each.value or 0.0) for each in done]
    low, high = min(values), max(values)
    keys, data = list(plan.space), []
    for rank, (trial, value) in reversed(list(enumerate(zip(done, values, strict=True)))):
        share = (value - low) / ((high - low) or 1.0)
        told = [f"{key} {table.short_value(trial.params, key)}" for key in keys]
        data.append({
            "type": "scatter", "mode": "lines+markers", "x": list(range(len(keys) + 1)),
            "y": [*(height(plan, key, trial.params[key]) for key in keys), share],
            "line": {"color": BLUE if rank else RED, "width": 1.5 if rank else 3},
            "opacity": 1.0 if not rank else 0.25 + 0.5 * share,
            "text": [charts.said(t) for t in [*told, f"validation {value:.2f} %"]],
            "hovertemplate": f"trial {trial.number}: %{{text}}<extra></extra>",
        })  # fmt: skip
    ends = [
        {"x": place, "y": at, "text": charts.said(label), "showarrow": False, "xanchor": "left",
         "xshift": 5, "font": {"size": 10}}
        for place, key in enumerate(keys) for at, label in marks(plan, key)
        if isinstance(plan.space[key], Choices) or at in (0, 1)
    ]  # fmt: skip
    ends += [{"x": len(keys), "y": at, "text": f"{v:.1f}", "showarrow": False, "xanchor": "left",
              "xshift": 5, "font": {"size": 10}} for at, v in ((0, low), (1, high))]  # fmt: skip
    names = [charts.said(each) for each in [*keys, "validation [%]"]]
    layout = charts.layout(
        360, annotations=ends, margin={"l": 24, "r": 48, "t": 30, "b": 42},
        xaxis={"tickvals": list(range(len(names))), "ticktext": names, "automargin": True,
               "range": [-0.2, len(keys) + 0.35], "showgrid": True},
        yaxis={"showticklabels": False, "range": [-0.06, 1.06], "showgrid": False,
               "zeroline": False},
    )  # fmt: skip
    return [Chart("Settings of every finished trial", data, layout, "The best one is vermilion.")]


def command(plan: Plan) -> str | None:
    """The command that makes this very plan; None where none was found."""
    preset = facts.preset_of(plan.base)
    try:
        own = {key: value for key, (value, _) in facts.differing(plan.base).items()}
        texts = {key: facts.written(value) for key, value in own.items()}
        plans.plan(
            plan.search, preset=preset, overrides=texts, trials=plan.trials, seeds=plan.seeds,
            final=plan.final, prune=plan.prune, storage=plan.storage, out=plan.out,
        )  # fmt: skip
    except UserError:  # it would be another study
        return None
    storage = [] if plan.storage is None else ["--storage", plan.storage]
    return facts.command([
        "sweep", "--search", *(f"{key}={space}" for key, space in plan.search.items()),
        "--preset", preset, *facts.options(own), "--trials", str(plan.trials),
        "--seeds", str(plan.seeds), "--final", str(plan.final), "--prune", plan.prune, *storage,
        "--out", str(plan.out),
    ])  # fmt: skip
