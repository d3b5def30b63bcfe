"""`synaptrace sweep`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
A space is KEY=LOW..HIGH, KEY=LOW..HIGH:log, KEY=LOW..HIGH:int, or KEY=A,B,C, where a list in
brackets is one choice; or --search names a YAML file with such lines (KEY: SPACE). Trial 0 is the
preset as it stands. Trials are judged by validation at the last epoch, the mean over --seeds, and
none reads the test set. When all are done the winner and the preset are trained anew on --final
fresh seeds, and tested. Interrupted or killed, the same command goes on where it stopped.

examples:
  synaptrace sweep --search train.lr=1e-4..1e-2:log model.hidden=[100],[200],[400] --trials 20
  synaptrace sweep --preset fsdd --search space.yaml --seeds 2 --jobs 2 --prune hyperband
  synaptrace sweep --join runs/sweep-fsdd-1a2b3c4d      from another machine, same file system
  synaptrace sweep show runs/sweep-fsdd-1a2b3c4d --best-preset best.yaml
  synaptrace train --config best.yaml
"""
    parser.usage = (
        "synaptrace sweep --search KEY=SPACE … [--preset NAME] [--section.key value …] [options]\n"
        "       synaptrace sweep --join DIR [--jobs N]\n"
        "       synaptrace sweep show DIR [--best-preset FILE] [--json]"
    )
    parser.add_argument("show", nargs="*", metavar="show DIR",
                        help="table, importance and pictures of a study")  # fmt: skip
    parser.add_argument("--search", nargs="+", metavar="KEY=SPACE", help="or one YAML file")
    parser.add_argument("--preset", metavar="NAME", help="the settings around it, and trial 0")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a YAML file of settings")
    parser.add_argument("--trials", metavar="N", type=int, default=40, help="trials (40)")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="seeds a trial (1)")
    parser.add_argument("--final", metavar="N", type=int, default=5,
                        help="fresh seeds of winner and preset in the end (5)")  # fmt: skip
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="trainings at once (1)")
    parser.add_argument("--prune", metavar="HOW", default="median",
                        help="median, hyperband or none, by epoch (median)")  # fmt: skip
    parser.add_argument("--storage", metavar="URL",
                        help="Optuna's, as sqlite:///FILE (a journal in DIR)")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, help="by default named by the plan")
    parser.add_argument("--join", metavar="DIR", type=Path, help="help with the study in DIR")
    parser.add_argument("--best-preset", metavar="FILE", type=Path,
                        help="write the best trial's settings, for --config")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from synaptrace.errors import UserError

    if options.show:
        if len(options.show) != 2 or options.show[0] != "show":
            raise UserError("sweep: the only word that it takes is show, with a directory")
        only(options, "show: a study that is there", "--best-preset", "--json")
        return show(Path(options.show[1]), options)
    if options.join is not None:
        only(options, "--join: the study has its plan", "--join", "--jobs", "--quiet")
        from synaptrace.sweep import work

        work.join(options.join, options.jobs, progress=not options.quiet)
        return 0
    return begin(options)


def only(options: argparse.Namespace, why: str, *known: str) -> None:
    """Raises UserError where the command line has other options than the ``known`` ones."""
    from synaptrace.errors import UserError
    from synaptrace.own import OPTIONS

    known = (*known, *(f"--{each}" for each in OPTIONS))
    given = (word.partition("=")[0] for word in options.given if word.startswith("--"))
    wrong = next((each for each in given if each not in known), None)
    if wrong is not None:
        told = ", ".join(each for each in known if "." not in each and each != "--join")
        raise UserError(f"{why}; {told} alone go with it, {wrong} doesn't")


def begin(options: argparse.Namespace) -> int:
    """Carry a study out, or go on with it."""
    from synaptrace.drawing import attempt
    from synaptrace.files import write_atomic
    from synaptrace.names import printed
    from synaptrace.sweep import pictures, space, table, work
    from synaptrace.sweep import plan as plans
    from synaptrace.sweep.study import opened, require

    require()
    plan = plans.plan(
        space.given(options.search or []), preset=options.preset, file=options.config,
        overrides=options.settings, trials=options.trials, seeds=options.seeds,
        final=options.final, prune=options.prune, storage=options.storage, out=options.out,
    )  # fmt: skip
    work.prepare(plan, options.jobs)
    if not options.quiet:
        name = printed(plan.out)
        print(f"sweep: {name} (help with it: synaptrace sweep --join {name})", file=sys.stderr)
    report = work.carry_out(plan, options.jobs, progress=not options.quiet)
    study = opened(plan)
    if options.best_preset is not None:
        write_atomic(options.best_preset, table.best_preset(plan, study))
    attempt(lambda: next(iter(pictures.draw(plan, study)), None))
    if options.json:
        print(json.dumps({"out": str(plan.out), **report}))
    else:
        print("\n".join([*table.described(report), f"study              {printed(plan.out)}"]))
    return 0


def show(out: Path, options: argparse.Namespace) -> int:
    """What a study has found so far."""
    from synaptrace.drawing import attempt
    from synaptrace.files import write_atomic
    from synaptrace.sweep import pictures, table
    from synaptrace.sweep import plan as plans
    from synaptrace.sweep.study import opened
    from synaptrace.sweep.winner import told

    plan = plans.read(out)
    study = opened(plan)
    report = told(out)
    if options.best_preset is not None:
        write_atomic(options.best_preset, table.best_preset(plan, study))
    attempt(lambda: next(iter(pictures.draw(plan, study)), None))
    if options.json:
        head, *rows = table.rows(plan, study.get_trials(deepcopy=False))
        print(json.dumps({
            "trials": [dict(zip(head, row, strict=True)) for row in rows],
            "importance": table.importance(study), "report": report,
        }))  # fmt: skip
        return 0
    print(table.text(plan, study))
    if report is not None:
        print("\n".join(table.described(report)))
    return 0
