"""`synaptrace record`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Asks for each word in turn and writes DIR/<word>/<number>.wav: a data set of the kind folder.
A terminal shows the level as you speak. Left with q or Ctrl-C, the same command goes on. Needs
pip install 'synaptrace[audio]'.

examples:
  synaptrace record mywords --words lamp,door,stop --count 8
  synaptrace train --preset fsdd --data.name folder --data.path mywords
  synaptrace record mywords --words lamp,seven --run RUN    as RUN hears them
  synaptrace finetune RUN --words mywords
"""
    parser.add_argument("folder", metavar="DIR", type=Path, help="where the recordings go")
    parser.add_argument("--words", metavar="A,B,…", required=True, help="what to say")
    parser.add_argument("--count", metavar="N", type=int, default=5, help="times each word (5)")
    parser.add_argument(
        "--seconds", metavar="S", type=float, help="of a recording (1, or as RUN's)"
    )
    parser.add_argument(
        "--rate", metavar="HZ", type=int, help="samples a second (16000, or as RUN's)"
    )
    parser.add_argument("--run", metavar="RUN", type=Path, dest="like",
                        help="rate and length as this run was trained with")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    from synaptrace.errors import UserError
    from synaptrace.keyword import microphone, record
    from synaptrace.names import printed

    rate, seconds = 16000, 1.0
    if options.like is not None:
        from synaptrace.training import job

        trained = job.trained(options.like)
        if trained.features is None:
            raise UserError(f"{options.like}: was not trained on sound")
        rate = int(trained.features["mel"]["rate"])
        seconds = float(trained.config.data.get("seconds", 1.0))
    rate = rate if options.rate is None else options.rate
    seconds = seconds if options.seconds is None else options.seconds
    if not 0.1 <= seconds <= 60 or rate < 1000:
        raise UserError("--seconds, --rate: need 0.1 to 60 s, at 1000 Hz at least")
    words = options.words.split(",")
    record.check(words, options.count)
    microphone.library()  # says what is missing before anybody speaks

    def ask(prompt: str) -> str:
        try:
            return input(prompt)
        except EOFError:
            return "q"

    def show(block: Tensor) -> None:
        print(f"\r  {record.meter(block)}", end="", file=sys.stderr, flush=True)

    def take() -> Tensor:
        if not sys.stderr.isatty():
            return microphone.record(rate, seconds)
        samples = microphone.record(rate, seconds, show)
        print(f"\r  {record.meter(samples)}", file=sys.stderr)
        return samples

    written = record.record(options.folder, words, options.count, rate, take, ask)
    print(f"{len(written)} recordings in {printed(options.folder)}")
    return 0
