"""`synaptrace compare`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synaptrace.compare.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Every rule gets the same network, split, seeds and epochs. Its learning rate is chosen from --rates
by validation on the first seed. A rule may have settings and rates of its own, as in
espp:train.update=step:rates=3e-5/1e-4/3e-4. Interrupted, the same command goes on where it
stopped; --table prints what is finished and trains nothing. Accuracies are the last epoch's.
Beneath the table each rule stands against the best one: a paired t-test over seeds (Holm's p).
A rule that was still rising when its epochs ended is noted, with its updates.
--cells prints a command for every training, for any number of machines that see the same files.
--tune N lets N trials (synaptrace sweep) choose each rule's rate from 1e-5 to 1e-1, not a grid.

examples:
  synaptrace compare --rules tp,tp:contrast=class,bptt,readout-only --seeds 3
  synaptrace compare --rules tp,eprop --tune 20 --seeds 5
  synaptrace compare --rules all --preset fsdd --data.path DIR --jobs 2 --out runs/rules-fsdd
  synaptrace compare --rules all --preset fsdd --data.path DIR --out runs/rules-fsdd --table
  synaptrace compare --rules tp,eprop --cells | parallel -j 8
"""
    parser.usage = "synaptrace compare --rules A,B,… [--preset NAME] [--section.key value …]"
    parser.add_argument("--rules", required=True, metavar="A,B,…",
                        help="name, or name:option=value; all: every rule")  # fmt: skip
    parser.add_argument("--preset", metavar="NAME", help="network, data and budget")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a YAML file of settings")
    parser.add_argument("--rates", metavar="X,Y,…", help="learning rates (1e-3,3e-3,1e-2)")
    parser.add_argument("--tune", metavar="N", type=int, help="trials of each rule's rate")
    parser.add_argument("--seeds", metavar="N", type=int, default=3, help="seeds (3)")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="trainings at once (1)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="by default named by the settings")
    parser.add_argument("--table", action="store_true", help="print what is finished, no training")
    parser.add_argument("--cells", action="store_true",
                        help="print a command for every training; no training")  # fmt: skip
    parser.add_argument("--cell", metavar="NAME", help="carry out one of them")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from synaptrace import rules
    from synaptrace.compare import judge, table
    from synaptrace.compare import plan as plans
    from synaptrace.compare import run as runner
    from synaptrace.drawing import attempt
    from synaptrace.errors import UserError
    from synaptrace.files import write_atomic
    from synaptrace.names import printed

    names = options.rules.split(",")
    if names == ["all"]:
        names = ["tp", "tp:contrast=class", *(name for name in rules.NAMES if name != "tp")]
    rates = plans.numbers(options.rates, ",", "--rates") if options.rates else plans.RATES
    if options.jobs < 1:
        raise UserError(f"--jobs: {options.jobs} is not a positive number")
    tune, alone = options.tune, options.cells or options.cell is not None
    if tune is not None and (options.rates or ":rates=" in options.rules):
        raise UserError("--tune: chooses the rates; no rates go with it")
    if alone and (options.table or options.json or options.jobs > 1):
        raise UserError("--cells, --cell: no --table, --json or --jobs goes with them")
    if options.cells and options.cell is not None:
        raise UserError("--cell: doesn't go with --cells, which lists them")
    plan = plans.plan(
        names, preset=options.preset, file=options.config, overrides=options.settings,
        rates=rates, seeds=options.seeds, out=options.out if tune is None else None,
    )  # fmt: skip
    if tune is not None:
        own = options.out or plan.out.with_name(f"{plan.out.name}-tune{tune}")
        plan = replace(plan, out=own)
    if not options.quiet:
        print(f"comparison: {printed(plan.out)}", file=sys.stderr)
    if options.cells:
        return list_cells(plan, options)
    if options.cell is not None:
        return carry_out(plan, options)
    if tune is not None:
        from synaptrace.sweep.tune import chosen, tuned

        if options.table:
            plan = plans.placed(chosen(plan, tune))
        else:
            plan = plans.placed(tuned(plan, tune, options.jobs, progress=not options.quiet))
    try:
        if not options.table:
            runner.train(plan, options.jobs, progress=not options.quiet)
    finally:
        if options.table or (plan.out / plans.ABOUT).exists():
            rows = [runner.row(plan, label) for label in plan.configs]
            beside = {each["rule"]: each for each in judge.pairs(rows)}
            told = [{**row, "paired": beside.get(row["rule"])} for row in rows]
            print(json.dumps(told) if options.json else table.terminal(rows))
        if (plan.out / plans.ABOUT).exists():
            write_atomic(plan.out / "table.csv", table.as_csv(rows))
            write_atomic(plan.out / "table.md", table.markdown(rows))
            first = next(iter(plan.configs.values()))
            title = f"{first.name}, {first.train['epochs']} epochs, {plan.seeds} seeds"
            attempt(lambda: table.draw(rows, plan.out / "table.png", title))
    return 0


def list_cells(plan: Plan, options: argparse.Namespace) -> int:
    """Print a command for every cell, once it is known that all can start."""
    from synaptrace.compare import cells
    from synaptrace.compare import run as runner

    if options.tune is not None:
        from synaptrace.sweep.tune import studies

        studies(plan, options.tune)
    runner.check(plan)
    print("\n".join(cells.commands(plan, options.command_line, options.tune is not None)))
    return 0


def carry_out(plan: Plan, options: argparse.Namespace) -> int:
    """Do what one cell says, with one thread."""
    import torch

    from synaptrace.compare import cells
    from synaptrace.compare import plan as plans

    tune, progress = options.tune, not options.quiet
    cell = cells.find(plan, tune is not None, options.cell)
    torch.set_num_threads(1)
    said = "tuned"
    if tune is not None:
        from synaptrace.sweep.tune import studies, tuned
        from synaptrace.sweep.work import finish

        if cell.seed is None:
            finish(studies(plan, tune)[cell.label], 1, progress)
        else:
            plan = plans.placed(tuned(plan, tune, 1, progress))
    if cell.seed is not None:
        said = cells.carry_out(plan, cell)
    if progress:
        print(f"{options.cell}: {said}", file=sys.stderr)
    return 0
