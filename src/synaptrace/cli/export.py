"""`synaptrace export`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
--to c writes a folder: C99 without dependencies or allocation, weights as constants, a program
that runs it, and a test that holds it against this network (make, make test). With --learn it also
learns on the device, one utterance at a time, by Traces Propagation with the class contrast: all
weights, the readout alone, or those of some layers; these live in RAM, the others in flash.

examples:
  synaptrace export runs/20260131-120000-digits --to c --out digits-c
  synaptrace export runs/20260131-120000-fsdd --to c --out words-c --learn all --front-end
  synaptrace export runs/20260131-120000-fsdd --to c --out words-c --precision int8
"""
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="run directory")
    parser.add_argument("--to", metavar="TARGET", required=True, help="c")
    parser.add_argument("--out", metavar="PATH", type=Path, required=True, help="where it goes")
    parser.add_argument("--learn", metavar="A,…", help="c: all, readout, layers.N")
    parser.add_argument("--precision", metavar="P", default="float32",
                        help="c: of the weights, float32, int16 or int8 (float32)")  # fmt: skip
    parser.add_argument("--front-end", action="store_true",
                        help="c: also from sound to the network's input")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    from synaptrace import ship
    from synaptrace.training import job

    export = ship.target(options.to)
    trained = job.trained(options.run_directory, options.data_path)
    asked = ship.Options(
        options.run_directory, options.learn, options.precision, options.front_end
    )  # fmt: skip
    print(export(trained, options.out, asked))
    return 0
