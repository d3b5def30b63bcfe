"""`synaptrace options`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Every setting that `synaptrace train --section.key VALUE` and a YAML file take: its type, default
and meaning, and the presets that set it. "of" names the data sets, models or rules that have it.

examples:
  synaptrace options                  all of them
  synaptrace options train            a section: data, model, neuron, rule, train
  synaptrace options fsdd             what a data set, a model or a rule has of its own
  synaptrace options train.device     one, and what this machine has
"""
    parser.add_argument("section", metavar="SECTION", nargs="?", help="or a name, or section.key")
    parser.add_argument("--json", action="store_true", help="print JSON, presets with their values")


def run(options: argparse.Namespace) -> int:
    from synaptrace import settings_list, text_table
    from synaptrace.config import presets

    found = settings_list.settings(options.section)
    if options.json:
        print(json.dumps([asdict(each) for each in found]))
        return 0
    count = len(presets())
    rows = [["setting", "type", "default", "meaning", "of", "set by"]]
    for each in found:
        default = "" if each.default is None else text_table.value(each.default)
        names = "all presets" if len(each.presets) == count else ", ".join(each.presets)
        rows.append([each.key, each.type, default, each.meaning, ", ".join(each.of), names])
    print(text_table.shown(rows))
    return 0
