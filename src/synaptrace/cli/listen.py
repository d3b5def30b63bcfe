"""`synaptrace listen`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
RUN was trained on sound with features that stream, --data.form causal or pcen (as the presets
fsdd and speechcommands, and your own recordings by default). Prints a line a word: when it was
known in seconds, the word and its probability; a ? where no word is likely enough. With --json
also where silence and sound begin.
A file of another rate or of several channels is read whole, mixed down and resampled.
--mic needs pip install 'synaptrace[audio]'; Ctrl-C ends it.

examples:
  synaptrace listen runs/20260131-120000-fsdd --wav meeting.wav
  synaptrace listen runs/20260131-120000-fsdd --mic --json --confidence 0.8
"""
    parser.add_argument("run_directory", metavar="RUN", type=Path,
                        help="a run directory, or one of its checkpoints")  # fmt: skip
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--wav", metavar="FILE", type=Path, help="a file of any length")
    source.add_argument("--mic", action="store_true", help="the microphone")
    for name, kind, default, purpose in (
        ("decay", "X", 0.95, "the readout's, per frame"),
        ("silence", "DB", -50.0, "level below which it is silent, in dB of full scale"),
        ("hold", "S", 0.2, "seconds of silence that end a word"),
        ("longest", "S", 1.5, "seconds of sound after which to decide anyway"),
        ("confidence", "P", 0.5, "probability that a word needs"),
    ):
        parser.add_argument(f"--{name}", metavar=kind, type=float, default=default,
                            help=f"{purpose} ({default:g})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def run(options: argparse.Namespace) -> int:
    from synaptrace.data.audio.features import Features
    from synaptrace.errors import UserError
    from synaptrace.keyword import microphone
    from synaptrace.keyword.listen import Report, Settings, as_dict, listen, sound
    from synaptrace.names import printed
    from synaptrace.training import job

    settings = Settings(
        options.decay, options.silence, options.hold, options.longest, options.confidence
    )
    trained = job.trained(options.run_directory, options.data_path)
    if trained.features is None:
        raise UserError(f"{options.run_directory}: was not trained on sound")
    features = Features.from_spec(trained.features)
    rate, size = features.mel.rate, features.mel.stride
    blocks = microphone.blocks(rate, size) if options.mic else sound(options.wav, rate, 50 * size)

    def show(report: Report) -> None:
        if options.json:
            print(json.dumps(as_dict(report)), flush=True)
        elif report.label is not None:
            word = report.label if report.state == "word" else "?"
            print(f"{report.time:.2f}\t{printed(word)}\t{report.probability:.4f}", flush=True)

    try:
        for report in listen(trained.net, features, trained.classes, blocks, settings):
            show(report)
    except KeyboardInterrupt:
        if not options.mic:
            raise
    return 0
