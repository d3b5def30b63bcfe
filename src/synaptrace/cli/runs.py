"""`synaptrace runs`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
A run is finished, running, cut off (synaptrace resume goes on with it), diverged or broken.
Accuracies are of the epoch that validation picked, the mean over seeds; of what isn't finished,
the best validation so far. Keys for --sort and --where are those of --json.

examples:
  synaptrace runs
  synaptrace runs --where data=fsdd --sort test
  synaptrace runs runs/rules-fsdd --where "rule=tp*" --where state=finished --json
"""
    parser.add_argument("directory", metavar="DIR", type=Path, nargs="?", default=Path("runs"),
                        help="where to look, and below (runs)")  # fmt: skip
    parser.add_argument("--sort", metavar="KEY", default="when", help="ascending by it (when)")
    parser.add_argument("--where", metavar="KEY=VALUE", action="append", default=[],
                        help="these alone; may be given again; * stands for anything")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON, with all keys")


def run(options: argparse.Namespace) -> int:
    from synaptrace import runs
    from synaptrace.names import printed
    from synaptrace.text_table import shown

    found = runs.listed(options.directory, sort=options.sort, where=options.where)
    if options.json:
        print(json.dumps(found))
        return 0
    rows = [["name", "data", "rule", "validation %", "test %", "when", "state", "run", "problem"]]
    for each in found:
        shares = (each[key] for key in ("validation", "test"))
        rows.append([
            *(printed(runs.told(each[key])) for key in ("name", "data", "rule")),
            *("" if share is None else f"{100 * share:.2f}" for share in shares),
            *(printed(runs.told(each[key])) for key in ("when", "state", "run", "problem")),
        ])  # fmt: skip
    print(shown(rows))
    return 0
