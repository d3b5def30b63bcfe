"""`synaptrace train`."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaptrace.config import resolve
from synaptrace.errors import UserError, short
from synaptrace.names import printed
from synaptrace.own import MEANINGS
from synaptrace.sections import SAID, defaults

if TYPE_CHECKING:
    from synaptrace.config import Config
    from synaptrace.data.dataset import Dataset
    from synaptrace.network import Network

FEW = 100
"""Samples below which a figure is said to stand on few."""
EPILOG = """
examples:
  synaptrace train                                     the embedded digits
  synaptrace train --preset digits-conv                another preset (see synaptrace presets)
  synaptrace train --data.name nmnist --data.path DIR  your copy of a data set
  synaptrace train --rule.contrast class --train.update step --train.lr 1e-4
  synaptrace train --config runs/…/config.yaml --seeds 5
  synaptrace train --seeds 100 --cells > cells.txt     a command a seed, for as many machines

settings (--section.key value, in a YAML file section: and below it key: value):
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG + "\n".join(settings())
    parser.usage = "synaptrace train [--preset NAME] [--section.key value …] [options]"
    parser.add_argument("--preset", metavar="NAME", help="start from these settings")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a YAML file of settings")
    parser.add_argument("--seeds", metavar="N", type=int, help="train N seeds, report mean ± s.d.")
    parser.add_argument("--cells", action="store_true",
                        help="print a command for every seed; no training")  # fmt: skip
    parser.add_argument("--seed", help="same as --train.seed")
    parser.add_argument("--device", help="same as --train.device")
    parser.add_argument("--paper-protocol", action="store_true",
                        help="also report the best test epoch, as papers do")  # fmt: skip
    parser.add_argument("--name", metavar="NAME", help="of the run, instead of its preset's")
    parser.add_argument("--out", metavar="DIR", default="runs", help="where runs go (runs)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def settings() -> list[str]:
    """One line a setting: its name, default and meaning."""
    lines = []
    known = defaults()
    for section, said in SAID.items():
        for key, field in said.items():
            name = f"{section}.{key}"
            value = known.get(name)  # as YAML has it
            told = str(value).lower() if isinstance(value, bool) else value
            default = "" if value is None else f" ({told})"
            if name not in ("model.channels", "model.depth", "model.layers"):
                lines.append(row(name, f"{field.description}{default}"))
    lines.append(row("model.channels", "conv: channels and pools, [[32, [max, 2]], …]"))
    lines.append(row("model.depth", "vgg: 6, 9 or 12"))
    lines.append(row("model.layers", "layers: [{conv: 8, pool: [max, 2]}, {dense: 64}, …]"))
    lines += [row(name, meaning) for name, meaning in MEANINGS.items()]
    lines.append(row("data.…  --rule.…", "each has options of its own: synaptrace options NAME"))
    return lines


def row(name: str, meaning: str) -> str:
    return f"  {'--' + name:<27}{meaning}"


def run(options: argparse.Namespace) -> int:
    given: dict[str, str] = dict(options.settings)
    for key in ("seed", "device"):
        if getattr(options, key) is not None:
            given[f"train.{key}"] = getattr(options, key)
    if options.paper_protocol:
        given["train.paper_protocol"] = "true"
    if options.name is not None and not re.search(r"[A-Za-z0-9]", options.name):
        raise UserError(f"--name: {short(options.name)} needs a letter or a digit")
    config = resolve(
        preset=options.preset, file=options.config, overrides=given, seeds=options.seeds
    )
    if options.cells:
        return list_cells(config, options)

    from synaptrace.training import job

    def tell(where: Path) -> None:
        if not options.quiet:
            name = printed(where)
            print(f"run: {name} (cut off? synaptrace resume {name})", file=sys.stderr)

    where, summary = job.start(
        config,
        root=options.out,
        progress=not options.quiet,
        tell=tell,
        draw=finish,
        name=options.name,
    )
    if first():
        print_summary(where, summary, options.json)
    return 0


def list_cells(config: Config, options: argparse.Namespace) -> int:
    """Make the run directory of all seeds, and print a command for each."""
    if config.seeds < 2 or options.json:
        raise UserError("--cells: needs --seeds, two at least, and no --json")

    from synaptrace.training import job, team

    if team.present().size > 1:
        raise UserError("--cells: is asked for in one process, without torchrun")
    where, _ = job.prepare(config, options.out, options.name)
    if not options.quiet:
        told = printed(where)
        print(f"run: {told} (all seeds: synaptrace resume {told})", file=sys.stderr)
    quiet = ["--quiet"] if options.quiet else []
    for seed in job.seeds_of(config):
        words = ["synaptrace", "resume", str(where), "--seed", str(seed), *quiet]
        print(shlex.join(words))
    return 0


def first() -> bool:
    """Whether this process speaks: the first of several, or the only one."""
    from synaptrace.training import team

    return team.present().rank == 0


def finish(run: Path, net: Network, dataset: Dataset) -> None:
    """What every training leaves beside its weights: pictures, and a listener's calibration."""
    from synaptrace import plots
    from synaptrace.keyword import calibrated

    plots.after_training(run, net, dataset)
    if dataset.meta.features is not None:
        calibrated.after(run)


def print_summary(where: Path, summary: dict[str, Any], as_json: bool) -> None:
    """The outcome, for a person or for a program."""
    if as_json:
        print(json.dumps({"run": str(where), **summary}, indent=2))
        return
    print("\n".join(described(summary)))
    if (line := listening(where)) is not None:
        print(f"listening          {line}")
    print(f"run                {printed(where)}")


def listening(run: Path) -> str | None:
    """What the calibration of a run that listens says; None where it has none."""
    from synaptrace.keyword import calibrated

    return calibrated.told(run)


def described(summary: dict[str, Any]) -> list[str]:
    """The outcome in lines: of one seed, or of several."""
    if "seeds" in summary:
        lines = [f"{len(summary['seeds'])} seeds: mean ± sample s.d."]
        for key, value in summary.items():
            if isinstance(value, dict) and key not in ("seconds", "samples"):
                sd = "" if value["sd"] is None else f" ± {100 * value['sd']:.2f}"
                each = " ".join(f"{100 * one:.2f}" for one in value["values"])
                lines.append(f"{key:<26} {100 * value['mean']:.2f}{sd} %   ({each})")
        lines.append(f"{'seconds':<26} {summary['seconds']['mean']:.1f} a seed")
        lines += few(summary)
        return lines
    kind = "" if summary["test_split"] == "official" else f" ({summary['test_split']} test)"
    test, last, validation = (
        None if summary[key] is None else f"{100 * summary[key]:.2f} %"
        for key in ("test_accuracy", "test_accuracy_last", "validation_accuracy")
    )
    epoch = f"epoch {summary['picked_epoch']} of {summary['epochs']}"
    picked = (
        f"{epoch}, picked by validation at {validation}{of(summary, 'validation')}"
        if validation
        else epoch
    )
    if test is None:
        lines = [f"test accuracy      none: the data have no test set ({picked})"]
    else:
        lines = [
            f"test accuracy      {test}{of(summary, 'test')}{kind}, {picked}",
            f"at the last epoch  {last}",
        ]
    best = summary.get("test_accuracy_best_paper_protocol")
    if best is not None:
        lines.append(f"paper protocol     {100 * best:.2f} %: the best of all epochs on the test "
                     "set, which so picked it")  # fmt: skip
    lines += few(summary)
    if "rehearsal_bytes" in summary:
        lines.append(f"kept to rehearse   {summary['rehearsal_bytes'] / 1024:.0f} KiB of training "
                     "utterances, for finetune")  # fmt: skip
    peak = summary["peak_memory_bytes"] / 2**20
    lines.append(f"time, memory       {summary['seconds']:.1f} s, {peak:.0f} MiB at most")
    return lines


def of(summary: Mapping[str, Any], split: str) -> str:
    """How many samples an accuracy stands on; empty where an earlier version didn't say."""
    count = summary.get("samples", {}).get(split)
    return "" if count is None else f" of {count}"


def few(summary: Mapping[str, Any]) -> list[str]:
    """A line for each split that is too small for a figure to be leant on."""
    return [
        f"few samples        {split}: {count}, of which one more or less is {100 / count:.1f} %"
        for split, count in summary.get("samples", {}).items()
        if split != "train" and 0 < count < FEW
    ]
