"""`synaptrace memory`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synaptrace.compare.rule_variants import Contender
    from synaptrace.cost.workload import Workload


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
For each rule, bytes by purpose: from a count, and below it measured in a training of two short
sequences. The data are read for the shape of the network only, and not at all where --input,
--classes and --steps say it.

examples:
  synaptrace memory
  synaptrace memory --preset shd --input 700 --classes 20 --steps 100
  synaptrace memory --input 2x48x48 --classes 10 --steps 8 --batch 4 --model.kind vgg
  synaptrace memory --rules tp,bptt --process --train.device cuda
  synaptrace memory --sweep T --out docs/images
  synaptrace memory --cost 0.05 --preset shd --input 700 --classes 20 --steps 100
  synaptrace memory --budget 64KiB --input 16 --classes 10 --steps 50
  synaptrace memory --to c --preset fsdd --input 120 --classes 10 --steps 50
  synaptrace memory --to c --budget 256KiB --preset fsdd --input 120 --classes 10 --steps 50
"""
    parser.usage = "synaptrace memory [--preset NAME] [--rules A,B,…] [--section.key value …]"
    parser.add_argument("--preset", metavar="NAME", help="network, data and batch")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a YAML file of settings")
    parser.add_argument("--rules", metavar="A,B,…", help="name, or name:option=value; all of them")
    parser.add_argument("--input", metavar="SHAPE", help="of a frame: 700, or 2x34x34")
    parser.add_argument("--classes", metavar="O", type=int, help="classes")
    parser.add_argument("--steps", metavar="T", type=int, help="time steps of a sequence")
    parser.add_argument("--batch", metavar="B", type=int, help="samples in a batch")
    parser.add_argument("--counted", action="store_true", help="count only, don't measure")
    parser.add_argument("--process", action="store_true",
                        help="also by how much a fresh process grows, and the allocator's peak "
                        "on --train.device cuda")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--sweep", metavar="AXIS",
                      help="count along T, depth, width, classes or batch")  # fmt: skip
    what.add_argument("--budget", metavar="SIZE", help="what fits into 64KiB, say")
    what.add_argument("--cost", metavar="RATE", type=float,
                      help="operations, energy; RATE: the share that spikes")  # fmt: skip
    parser.add_argument("--to", metavar="TARGET", choices=["c"],
                        help="c: bytes of the programs of synaptrace export, as `size` has them; "
                        "--budget is of flash and RAM together")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path(),
                        help="where a sweep leaves its PNG and CSVs (here)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, in bytes")


def run(options: argparse.Namespace) -> int:
    from synaptrace.compare.rule_variants import DEFAULT
    from synaptrace.config import resolve
    from synaptrace.cost import memory_table, workload
    from synaptrace.errors import UserError
    from synaptrace.training.checks import find_device

    for name in ("sweep", "budget", "cost"):
        if getattr(options, name) is not None and (options.counted or options.process):
            given = "counted" if options.counted else "process"
            raise UserError(f"--{given}: doesn't go with --{name}, which only counts")
    config = resolve(preset=options.preset, file=options.config, overrides=options.settings)
    where = workload.find(
        config, frame=options.input, classes=options.classes, steps=options.steps,
        batch=options.batch,
    )  # fmt: skip
    if options.to is not None:
        return programs(where, options)
    contenders = []
    for label in options.rules.split(",") if options.rules else DEFAULT:
        one = memory_table.defined(where.spec, label)
        if isinstance(one, str):
            print(one, file=sys.stderr)
        else:
            contenders.append(one)
    if options.sweep is not None:
        return sweep(where, contenders, options)
    if options.budget is not None:
        return budget(where, contenders, options)
    if options.cost is not None:
        from synaptrace.cost import energy

        found = energy.costs(where, contenders, energy.share(options.cost))
        print(json.dumps(found) if options.json else energy.terminal(found))
        return 0
    device = find_device(config.train["device"] if options.process else "cpu")
    lines = [
        memory_table.line(
            where.spec, one, where.batch, where.steps, not options.counted, options.process, device
        )
        for one in contenders
    ]
    if options.json:
        print(json.dumps([line.about() for line in lines]))
    else:
        print(memory_table.terminal(lines))
    return 0


def programs(where: Workload, options: argparse.Namespace) -> int:
    """Bytes of the exported programs, or what fits."""
    from synaptrace.cost.budget import parse
    from synaptrace.errors import UserError
    from synaptrace.ship.c import programs as study

    for name in ("rules", "sweep", "cost", "counted", "process"):
        if getattr(options, name):
            raise UserError(f"--{name}: doesn't go with --to")
    rows = study.table(where) if options.budget is None else study.fit(where, parse(options.budget))
    print(json.dumps(rows) if options.json else study.terminal(rows))
    return 0


def sweep(where: Workload, contenders: list[Contender], options: argparse.Namespace) -> int:
    """Curves as PNG and CSV, and the crossings, printed too."""
    from synaptrace.compare.rule_variants import contender
    from synaptrace.cost import axes as study
    from synaptrace.drawing import attempt
    from synaptrace.files import write_atomic

    tp = contender(study.REFERENCE)
    if tp.label not in [one.label for one in contenders]:
        contenders.insert(0, tp)
    curves, crossed = study.sweep(where, options.sweep, contenders, tp)
    stem = options.out / f"memory-{options.sweep.lower()}"
    found = study.crossings_csv(options.sweep, crossed)
    write_atomic(stem.with_suffix(".csv"), study.as_csv(options.sweep, curves))
    write_atomic(stem.with_name(f"{stem.name}-crossings.csv"), found)
    title = study.title(where, options.sweep)
    attempt(lambda: study.draw(options.sweep, curves, crossed, stem.with_suffix(".png"), title))
    print(json.dumps([vars(each) for each in crossed]) if options.json else found, end="")
    return 0


def budget(where: Workload, contenders: list[Contender], options: argparse.Namespace) -> int:
    """What fits, for each rule."""
    from synaptrace.cost import budget as study

    size = study.parse(options.budget)
    fits = [study.fit(where, one, size) for one in contenders]
    print(json.dumps([vars(each) for each in fits]) if options.json else study.terminal(fits))
    return 0
