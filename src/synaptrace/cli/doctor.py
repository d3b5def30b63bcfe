"""`synaptrace doctor`."""

from __future__ import annotations

import argparse
import json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Versions, the native engine, threads, data, caches, extras and GPUs, each with what to do about it.
The exit code is 0 unless something is broken.

examples:
  synaptrace doctor
  synaptrace doctor --json      to be sent along with a report of a fault
"""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from synaptrace import doctor
    from synaptrace.names import printed
    from synaptrace.text_table import shown

    found = doctor.findings()
    if options.json:
        print(json.dumps([asdict(each) for each in found]))
    else:
        rows = [[e.about, e.kind, printed(e.found), printed(e.advice)] for e in found]
        print(shown([["what", "state", "found", "what to do"], *rows]))
    return 1 if any(each.kind == "broken" for each in found) else 0
