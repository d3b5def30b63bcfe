"""`synaptrace listen`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synaptrace import builtin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from synaptrace.keyword.calibrate import Calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
RUN was trained on sound with features that stream, --data.form causal, pcen or relative (as the
presets fsdd and speechcommands, and your own recordings by default). Prints a line a word: when it
was known in seconds, the word and its probability; a ? where no word is likely enough. With --json
also where silence and sound begin.

Training and fine-tuning leave a calibration, by which a probability means what it says and what is
none of the words is refused; --false-alarms-per-hour X takes the confidence from its curve (see
synaptrace evaluate RUN --streams). The silence level follows the noise unless it is given.
A file of another rate or of several channels is mixed down and resampled as it is read.
--mic needs pip install 'synaptrace[audio]'; Ctrl-C ends it.

examples:
  synaptrace listen keywords --mic
  synaptrace listen runs/20260131-120000-fsdd --wav meeting.wav
  synaptrace listen runs/20260131-120000-fsdd --mic --json --confidence 0.8
"""
    parser.epilog += f"\n{builtin.about()}\n"
    parser.add_argument("run_directory", metavar="RUN", type=Path,
                        help="a run directory, or one of its checkpoints")  # fmt: skip
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--wav", metavar="FILE", type=Path, help="a file of any length")
    source.add_argument("--mic", action="store_true", help="the microphone")
    for name, kind, default, purpose in (
        ("decay", "X", 0.95, "the readout's, per frame"),
        ("hold", "S", 0.2, "seconds of silence that end a word"),
        ("longest", "S", 1.5, "seconds of sound after which to decide anyway"),
    ):
        parser.add_argument(f"--{name}", metavar=kind, type=float, default=default,
                            help=f"{purpose} ({default:g})")  # fmt: skip
    parser.add_argument("--silence", metavar="DB", type=float,
                        help="level below which it is silent, in dB of full scale")  # fmt: skip
    parser.add_argument("--confidence", metavar="P", type=float,
                        help="probability that a word needs (0.45; uncalibrated 0.5)")  # fmt: skip
    parser.add_argument("--false-alarms-per-hour", metavar="X", type=float, dest="alarms",
                        help="as many at most, by the calibration; --confidence wins")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def run(options: argparse.Namespace) -> int:
    from synaptrace.data.audio.features import Features
    from synaptrace.errors import UserError
    from synaptrace.keyword import calibrated, microphone
    from synaptrace.keyword.decide import Report, Settings, likeliest
    from synaptrace.keyword.listen import as_dict, listen, sound
    from synaptrace.names import printed
    from synaptrace.training import job

    settings = Settings(options.decay, options.silence, options.hold, options.longest)
    said = ""
    if options.confidence is not None:
        settings = replace(settings, confidence=options.confidence)
    trained = job.trained(options.run_directory, options.data_path)
    if trained.features is None:
        raise UserError(f"{options.run_directory}: was not trained on sound")
    calibration = calibrated.read(trained.run, trained.net)
    if options.confidence is None:
        confidence, said = chosen(options, calibration)
        settings = replace(settings, confidence=confidence)
    judge = likeliest if calibration is None else calibration
    features = Features.from_spec(trained.features)
    rate, size = features.mel.rate, features.mel.stride
    blocks = microphone.blocks(rate, size) if options.mic else sound(options.wav, rate, 50 * size)

    def announced() -> Iterator[Tensor]:
        """The blocks, and after the first, when there is sound, what is said of confidence."""
        for number, block in enumerate(blocks):
            if said and not number:
                print(said, file=sys.stderr)
            yield block

    def show(report: Report) -> None:
        if options.json:
            print(json.dumps(as_dict(report)), flush=True)
        elif report.label is not None:
            word = report.label if report.state == "word" else "?"
            print(f"{report.time:.2f}\t{printed(word)}\t{report.probability:.4f}", flush=True)

    try:
        for report in listen(trained.net, features, trained.classes, announced(), settings, judge):
            show(report)
    except KeyboardInterrupt:
        if not options.mic:
            raise
    return 0


def chosen(options: argparse.Namespace, calibration: Calibration | None) -> tuple[float, str]:
    """The confidence that a word needs, and a line on what it stands for.

    Raises:
        UserError: a rate is asked for of a run that isn't calibrated, or isn't a rate.
    """
    from synaptrace.errors import UserError
    from synaptrace.keyword.calibrated import confident, said
    from synaptrace.keyword.decide import Settings

    rate = options.alarms
    if calibration is None:
        if rate is not None:
            raise UserError(
                f"--false-alarms-per-hour: {options.run_directory} isn't calibrated; "
                "synaptrace evaluate RUN --streams does it, or give --confidence"
            )
        return Settings().confidence, ""
    confidence = confident(calibration, rate)
    return confidence, said(calibration, confidence)
