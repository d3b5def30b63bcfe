"""`synaptrace resume`."""

from __future__ import annotations

import argparse
from pathlib import Path

from synaptrace.cli.finetune import print_tuned
from synaptrace.cli.train import finish, first, print_summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
The result is that of the uninterrupted run, bit for bit on the same machine; a fine-tuning too is
gone on with. Data that have moved since: --data.path DIR.

examples:
  synaptrace resume runs/20260131-120000-digits
  synaptrace resume runs/20260131-120000-digits --seed 3   one of its seeds, elsewhere another
"""
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="the run directory")
    parser.add_argument("--seed", metavar="N", type=int, help="of several seeds, this one alone")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(options: argparse.Namespace) -> int:
    from synaptrace.errors import UserError
    from synaptrace.keyword import calibrated, reopen, tuned
    from synaptrace.training import job

    run, seed = options.run_directory, options.seed
    if tuned.read(run) is not None:
        if seed is not None:
            raise UserError(f"--seed: {run} is a fine-tuning, of one seed")
        summary = reopen.resume(run, options.data_path)
        calibrated.after(run, options.data_path)
        print_tuned(run, summary, options.json)
        return 0
    summary = job.resume(
        run, progress=not options.quiet, data_path=options.data_path, draw=finish, seed=seed
    )
    if first():
        print_summary(run if seed is None else run / f"seed-{seed}", summary, options.json)
    return 0
