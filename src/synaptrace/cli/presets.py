"""`synaptrace presets`."""

from __future__ import annotations

import argparse
import json

from synaptrace.config import preset_text, presets, read_preset
from synaptrace.text_table import shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Presets named …-paper are the published settings, with the published figure; a plain name is our
own recipe for the data set.

examples:
  synaptrace presets                  what there is
  synaptrace presets digits           one preset's settings, as a YAML file to start from
"""
    parser.add_argument("name", metavar="NAME", nargs="?", help="print this preset's YAML")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    if options.name:
        settings = read_preset(options.name)
        print(json.dumps(settings) if options.json else preset_text(options.name), end="")
        return 0
    table = {name: read_preset(name) for name in presets()}
    if options.json:
        print(json.dumps(table))
        return 0
    rows = [["preset", "description", "published"]]
    rows += [[k, each["description"], each.get("published", "")] for k, each in table.items()]
    print(shown(rows))
    return 0
