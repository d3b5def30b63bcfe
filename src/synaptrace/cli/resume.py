"""`synaptrace resume`."""

from __future__ import annotations

import argparse
from pathlib import Path

from synaptrace.cli.train import print_summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
The result is that of the uninterrupted run, bit for bit on the same machine.

example:
  synaptrace resume runs/20260131-120000-digits
"""
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="the run directory")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(options: argparse.Namespace) -> int:
    from synaptrace.training import job

    summary = job.resume(options.run_directory, progress=not options.quiet)
    print_summary(options.run_directory, summary, options.json)
    return 0
