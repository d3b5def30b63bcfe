"""`synaptrace evaluate`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaptrace import builtin

if TYPE_CHECKING:
    from synaptrace.data.dataset import Meta
    from synaptrace.training.evaluate import Score
    from synaptrace.training.job import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Prints accuracy, recall of each class, the confusion matrix and spikes per inference, and writes
the matrix as a picture into the run directory. Of a fine-tuned run, the test is its query, and
"general" what it was tested on before. Data that have moved: --data.path DIR.

--streams, of a run on sound: false rejections over false alarms an hour, as it listens. The
split's recordings come one after another; strangers are each word in turn as if it had never been
learned, and noise, or --others DIR, recordings of what is none of the words, in folders. Writes
alarms.png and alarms.csv. A run of an earlier version is calibrated first. One line is of the
confidence that listen takes, which --false-alarms-per-hour X chooses here as there.

examples:
  synaptrace evaluate runs/20260131-120000-digits
  synaptrace evaluate keywords --data.path speech_commands
  synaptrace evaluate runs/20260131-120000-digits --split validation --json
  synaptrace evaluate runs/20260131-120000-digits --neurobench
  synaptrace evaluate runs/20260131-120000-fsdd --gain=-20
  synaptrace evaluate runs/20260131-120000-fsdd --streams --others speech_commands
  synaptrace evaluate runs/20260131-120000-digits/checkpoints/last.safetensors
"""
    parser.epilog += f"\n{builtin.about()}\n"
    parser.add_argument("run_directory", metavar="RUN", type=Path,
                        help="a run directory, or one of its checkpoints")  # fmt: skip
    parser.add_argument(
        "--split",
        choices=["test", "validation", "train", "general"],
        default="test",
        help="which samples (test)",
    )
    parser.add_argument("--neurobench", action="store_true",
                        help="also footprint, sparsity and synaptic operations")  # fmt: skip
    parser.add_argument("--streams", action="store_true",
                        help="false rejections over false alarms instead")  # fmt: skip
    parser.add_argument("--others", metavar="DIR", type=Path, help="of --streams: other words")
    parser.add_argument("--false-alarms-per-hour", metavar="X", type=float, dest="alarms",
                        help="of --streams: as it listens with this option")  # fmt: skip
    parser.add_argument("--gain", metavar="DB", type=float,
                        help="as if the sound had been so many dB louder, or quieter")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from synaptrace import plots
    from synaptrace.cost import neurobench
    from synaptrace.data.sets import spoken
    from synaptrace.drawing import attempt
    from synaptrace.errors import UserError
    from synaptrace.keyword import reopen
    from synaptrace.names import printed
    from synaptrace.training import job
    from synaptrace.training.evaluate import evaluate

    trained = job.trained(options.run_directory, options.data_path)
    if options.streams:
        if options.neurobench:
            raise UserError("--neurobench: doesn't go with --streams")
        if options.gain is not None:
            raise UserError("--gain: doesn't go with --streams")
        return streams(options, trained)
    for name, given in (("others", options.others), ("false-alarms-per-hour", options.alarms)):
        if given is not None:
            raise UserError(f"--{name}: goes with --streams")
    data = reopen.load_data(trained)
    if options.gain is not None:
        data = spoken.louder(data, options.gain)
    meta = data.meta
    score = evaluate(trained.net, data.batches(options.split))
    if not score.samples:
        raise UserError(f"--split: {meta.name} has no {options.split} samples")
    costs: dict[str, Any] | None = None
    if options.neurobench:
        costs = neurobench.measure(trained.net, data.batches(options.split))
    if options.json:
        about = {"split": options.split, "test_split": meta.test_split, "classes": meta.classes}
        more = {} if costs is None else {"neurobench": costs}
        print(json.dumps({**about, **score.as_dict(), **more}))
    else:
        show(score, meta, options.split)
        if costs is not None:
            print(f"\nNeuroBench\n{neurobench.terminal(costs)}")
    picture = builtin.beside(trained.run) / f"confusion-{options.split}.png"
    title = f"{meta.name}, {options.split}: {100 * (score.accuracy or 0):.2f} %"
    matrix = score.confusion.tolist()
    drawn = attempt(lambda: plots.confusion(matrix, meta.classes, picture, title))
    if drawn and not options.json:
        print(f"\npicture: {printed(picture)}")
    return 0


def streams(options: argparse.Namespace, trained: Trained) -> int:
    """False rejections over false alarms on streams of a split's recordings."""
    from synaptrace.drawing import attempt
    from synaptrace.files import write_atomic
    from synaptrace.keyword import alarms_table as table
    from synaptrace.keyword import calibrated
    from synaptrace.names import printed

    calibration = calibrated.read(trained.run, trained.net) or calibrated.make(trained)
    confidence = calibrated.confident(calibration, options.alarms)
    found = calibrated.evaluate(trained, calibration, options.split, options.others)
    if options.json:
        about = {"split": options.split, "confidence": confidence}
        print(json.dumps({**about, **found.as_dict()}))
    else:
        print("\n".join(table.lines(found, confidence)))
    run = builtin.beside(trained.run)
    write_atomic(run / table.TABLE, table.as_csv(found))
    curves = {options.split: found, calibration.basis: calibration.curve}
    drawn = attempt(lambda: table.draw(curves, run / table.PICTURE))
    if drawn and not options.json:
        print(f"\npicture: {printed(drawn)}")
    return 0


def show(score: Score, meta: Meta, split: str) -> None:
    """The score for a person, and the confusion matrix as a table."""
    from synaptrace.names import printed
    from synaptrace.text_table import shown

    kind = f" ({meta.test_split} test)" if split == "test" else ""
    print(f"accuracy              {100 * (score.accuracy or 0):.2f} %")
    print(f"samples               {score.samples}, {split}{kind}")
    print(f"spikes per inference  {score.spikes_per_inference:.1f}")
    rates = ", ".join(f"{rate:.4f}" for rate in score.rates)
    print(f"spike rates           {rates} per neuron and step, layer by layer")
    classes = [printed(name) for name in meta.classes]
    rows = [["class", "recall %", f"predicted as: {classes[0]}", *classes[1:]]]
    for name, recall, row in zip(classes, score.recall, score.confusion.tolist(), strict=True):
        share = "-" if recall is None else f"{100 * recall:.2f}"
        rows.append([name, share, *map(str, row)])
    print(f"\n{shown(rows)}")
