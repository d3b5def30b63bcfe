"""The report of a comparison: its rules side by side, and the network of the best one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaptrace.compare import judge, table
from synaptrace.compare import plan as plans
from synaptrace.compare import run as runner
from synaptrace.compare.plan import Plan
from synaptrace.errors import UserError
from synaptrace.report import charts, facts, network
from synaptrace.report.page import Chart, Part, Section, Table, Text

Row = dict[str, Any]


def sections(out: Path, sample: int, data_path: str | None) -> list[Section]:
    """The tabs. Raises UserError where its files can't be read."""
    plan = plans.read(out)
    rows = [runner.row(plan, label) for label in plan.configs]
    scored = {row["rule"]: values for row in rows if (values := table.accuracies(row))}
    scored = dict(sorted(scored.items(), key=lambda each: -statistics.fmean(each[1])))
    pairs = judge.pairs(rows)
    tested = [Table(judge.lines(pairs), "Each rule against the best one")] if pairs else []
    first = next(iter(plan.configs.values()))
    named = {table.brief(label): values for label, values in scored.items()}
    best = next(iter(scored), None)
    looked: list[Section] = []
    if best is not None and (rate := plan.best(best)) is not None:
        run = plan.run((best, rate, plan.seed(best)))
        whose = f"Of {best}, best on the test set, seed {plan.seed(best)}"
        looked = network.sections(run, sample, data_path, whose)
    note = "A line a seed, as training stored it; the ring is their mean."
    dots = charts.dots("Test accuracy at the last epoch", named, "%", note) if named else None
    return [
        Section("Outcome", [
            *([dots] if dots else [Text("No training is finished yet.")]),
            Table([table.COLUMNS, *table.ordered(rows)], "The rules"), *tested,
            *facts.settings(first, f"Settings of {first.rule['name']} that differ from the preset"),
        ]),
        Section("Curves", curves(plan, rows)),
        Section("Bytes", state(rows)),
        *looked,
        facts.environment(next((o for row in rows for o in row["outcomes"]), None)),
        Section("Repeat", facts.repeat(command(plan), plan.out / plans.ABOUT, "settings")),
    ]  # fmt: skip


def curves(plan: Plan, rows: Sequence[Row]) -> list[Chart]:
    """Validation accuracy of each rule at its rate, the mean over seeds."""
    named = {}
    for row in rows:
        tasks = [(row["rule"], row["lr"], outcome["seed"]) for outcome in row["outcomes"]]
        found = [runner.curve(plan.run(task)) for task in tasks]
        mean = [100 * statistics.fmean(each) for each in zip(*found, strict=True)]
        named[table.brief(row["rule"])] = list(range(1, len(mean) + 1)), mean
    title = "Validation accuracy, the mean over seeds"
    return charts.curves(title, named, "epoch", "validation accuracy [%]")


def state(rows: Sequence[Row]) -> list[Part]:
    """Bytes that each rule keeps within a sequence."""
    kib = {
        table.brief(row["rule"]): (row["state_bytes"] + row["auxiliary_bytes"]) / 1024
        for row in rows
        if "state_bytes" in row
    }
    kib = dict(sorted(kib.items(), key=lambda each: each[1]))
    note = "State of a batch before the sequence ends, and fixed matrices; measured."
    return [charts.bars("Training state and auxiliary matrices", kib, "KiB, logarithmic", note,
                        type="log")] if kib else []  # fmt: skip


def command(plan: Plan) -> str | None:
    """The command that makes this very plan; None where none was found."""
    grids = [grid for label, grid in plan.rates.items() if ":rates=" not in label]
    shared = grids[0] if grids else plans.RATES
    first = next(iter(plan.configs))
    try:
        own, _ = plans.contender(first)
        texts = {
            key: facts.written(value)
            for key, (value, _) in facts.differing(plan.configs[first]).items()
            if not key.startswith("rule.") and key not in plans.RATED and key not in own
        }
        preset = facts.preset_of(plan.configs[first])
        plans.plan(
            list(plan.configs), preset=preset, overrides=texts, rates=shared, seeds=plan.seeds,
            out=plan.out,
        )  # fmt: skip
    except UserError:  # it would be another comparison
        return None
    rates = ["--rates", ",".join(f"{rate:g}" for rate in shared)] if grids else []
    return facts.command([
        "compare", "--rules", ",".join(plan.configs), "--preset", preset,
        *facts.own_files(*plan.configs.values()), *facts.options(texts),
        *rates, "--seeds", str(plan.seeds), "--out", str(plan.out),
    ])  # fmt: skip
