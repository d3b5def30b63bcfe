"""`synaptrace memory`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
For each rule, bytes by purpose: from a count, and below it measured in a training of two short
sequences. The data are read for the shape of the network only, and not at all where --input,
--classes and --steps say it.

examples:
  synaptrace memory
  synaptrace memory --preset shd --input 700 --classes 20 --steps 100
  synaptrace memory --input 2x48x48 --classes 10 --steps 8 --batch 4 --model.kind vgg
  synaptrace memory --rules tp,bptt,eprop:kappa=0 --model.hidden [64] --counted --json
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
    parser.add_argument("--json", action="store_true", help="print JSON, in bytes")


def run(options: argparse.Namespace) -> int:
    from synaptrace.config import resolve
    from synaptrace.study import ledger, setting
    from synaptrace.study.contenders import DEFAULT

    config = resolve(preset=options.preset, file=options.config, overrides=options.settings)
    where = setting.setting(
        config, frame=options.input, classes=options.classes, steps=options.steps,
        batch=options.batch,
    )  # fmt: skip
    labels = options.rules.split(",") if options.rules else DEFAULT
    lines = []
    for label in labels:
        one = ledger.defined(where.spec, label)
        if isinstance(one, str):
            print(one, file=sys.stderr)
            continue
        measured = not options.counted
        lines.append(ledger.line(where.spec, one, where.batch, where.steps, measured))
    if options.json:
        print(json.dumps([line.about() for line in lines]))
    else:
        print(ledger.terminal(lines))
    return 0
