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

example:
  synaptrace resume runs/20260131-120000-digits
"""
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="the run directory")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(options: argparse.Namespace) -> int:
    from synaptrace.keyword import calibrated, reopen, tuned
    from synaptrace.training import job

    run = options.run_directory
    if tuned.read(run) is not None:
        summary = reopen.resume(run, options.data_path)
        calibrated.after(run, options.data_path)
        print_tuned(run, summary, options.json)
        return 0
    summary = job.resume(run, progress=not options.quiet, data_path=options.data_path, draw=finish)
    if first():
        print_summary(run, summary, options.json)
    return 0
