"""`synaptrace finetune`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaptrace import builtin
from synaptrace.names import printed

if TYPE_CHECKING:
    from synaptrace.keyword.tuned import Cell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
RUN was trained with --data.holdout_speaker NAME (if its data have moved since: --data.path DIR);
what is fine-tuned lies below it, and is a run like any other. Without RUN, a network is trained
first for each speaker and seed. Of the speaker's utterances four fifths of each word are the
support, from which the shots are drawn, the rest are the query. Interrupted, the same command goes
on where it stopped; --table prints what is finished and trains nothing.

Where the data can hold all their users out of one training (--data.holdout_users N, utterances of
every word that a user has at least; 4 with several speakers of Speech Commands), one network a seed
is trained without any of them, and fine-tuned to each.

--keep, against forgetting: rehearse=N, utterances of each word from before, heard again so often
that all words are equally frequent; learn=NAME/NAME, the weights that learn (readout, layers.0, …);
anchor=X, the share by which weights go back after each batch; voice=X, the share of what is
rehearsed that takes over the user's spectrum; + between joins them; none: nothing. Where RUN's data
can't be found, the few utterances that training kept with it are rehearsed. A new word alone,
nothing else of the user being heard, has rehearse=20+anchor=0.0015 by default; some networks lose
less by rehearse=20+learn=readout+voice=0.5 (docs/keywords.md).

--precision int8: while it learns, the network runs with its weights rounded to 8 bits, which are
kept in the end; synaptrace export RUN --to c --precision int8 then ships those weights.

examples:
  synaptrace finetune runs/20260131-120000-fsdd --shots 5 --batch 1
  synaptrace finetune runs/20260131-120000-fsdd --shots 5 --precision int8
  synaptrace finetune keywords --words mywords
  synaptrace finetune runs/20260131-120000-fsdd --words mywords
  synaptrace finetune --preset fsdd --data.path DIR --speaker george --shots 1,5,all --batch 1,16
  synaptrace finetune --preset fsdd --data.path DIR --speaker all --seeds 3 --alone \\
      --keep none,rehearse=5,learn=readout,anchor=0.01 --out runs/keywords
  synaptrace finetune --preset fsdd --data.path DIR --speaker all --word 9
  synaptrace finetune --preset speechcommands --data.path DIR --speaker all --seeds 3 \\
      --shots 1,2,3,all --contrast class --alone --out runs/speechcommands-users
"""
    parser.epilog += f"\n{builtin.about()}\n"
    parser.usage = "synaptrace finetune [RUN …] (--speaker NAME | --words DIR) [options]"
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="*", help="run directories")
    parser.add_argument("--speaker", metavar="NAME", help="the new user, A,B,…, or all")
    parser.add_argument("--words", metavar="DIR", type=Path,
                        help="your own recordings, a folder for each word")  # fmt: skip
    parser.add_argument("--shots", metavar="N,…",
                        help="utterances of each word, or all (5; all of --words)")  # fmt: skip
    parser.add_argument("--batch", metavar="N,…", default="1", help="utterances a batch (1)")
    parser.add_argument("--contrast", metavar="A,…", help="class, batch; by default RUN's")
    parser.add_argument("--keep", metavar="A,…", help=f"against forgetting ({KEEP})")
    parser.add_argument("--lr", metavar="X", type=float, default=LR, help=f"learning rate ({LR:g})")
    parser.add_argument("--epochs", metavar="N", type=int, help="times that each utterance is "
                        f"heard ({EPOCHS}; of a new word alone {HEARD} / shots)")  # fmt: skip
    parser.add_argument("--precision", choices=["float32", "int16", "int8"], default="float32",
                        help="of the weights that the network runs and ends with, as it will be "
                        "exported (float32)")  # fmt: skip
    parser.add_argument("--alone", action="store_true", help="also without training before")
    parser.add_argument("--word", metavar="WORD", help="a new word: no network heard it before")
    parser.add_argument("--judge", choices=["query", "support"], default="query",
                        help="support: by a part of it, to choose settings (query)")  # fmt: skip
    parser.add_argument("--preset", metavar="NAME", help="network, data and training before")
    parser.add_argument("--config", metavar="FILE", type=Path, help="a YAML file of settings")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="seeds (1)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="by default named by the settings")
    parser.add_argument("--table", action="store_true", help="print what is finished, no training")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print JSON")


LR, EPOCHS, KEEP = 1e-3, 20, "rehearse=20+anchor=0.0005"
HEARD, LEAST, KEEP_WORD = 200, 12, "rehearse=20+anchor=0.0015"
"""Of a new word alone, against which nothing of the user's stands: how often it is heard in all,
as an anchor pulls once an update, and each utterance at least, however many there are."""

SINGLE = ("shots", "batch", "contrast", "keep")
"""Of which one's own words take one."""
LOST = "--keep none: the words learned before may be lost, all of them (docs/keywords.md)"
"""What nothing against forgetting costs."""


def run(options: argparse.Namespace) -> int:
    from synaptrace.config import resolve
    from synaptrace.errors import UserError
    from synaptrace.keyword import calibrated, study
    from synaptrace.keyword import plan as plans

    moved = options.settings.pop("data.path", None) if options.runs else None
    if options.words is not None:
        return own_words(options, moved)
    if options.runs:
        for name in ("preset", "config", "word"):
            if getattr(options, name) is not None:
                raise UserError(f"--{name}: RUN is trained already")
        if options.settings:
            raise UserError(f"--{next(iter(options.settings))}: RUN has its settings")
        if options.seeds != 1:
            raise UserError("--seeds: RUN is trained already; give a RUN for each seed")
        cells = chosen(options)
        plan = plans.plan_of(
            options.runs, options.speaker, cells, out=options.out, judge=options.judge,
            data_path=moved,
        )  # fmt: skip
    else:
        if options.speaker is None:
            raise UserError("--speaker: needs a name, or all; or give a RUN")
        config = resolve(preset=options.preset, file=options.config, overrides=options.settings)
        speakers = options.speaker.split(",")
        alone = None if options.word is None else plans.least(config, speakers) or HEARD
        cells = chosen(options, alone)
        plan = plans.plan(
            config, speakers, options.seeds, cells, out=options.out, word=options.word,
            judge=options.judge,
        )  # fmt: skip
    if not options.quiet:
        print(f"fine-tuning: {printed(plan.out)}", file=sys.stderr)
    try:
        if not options.table:
            study.train(plan, progress=not options.quiet)
    finally:
        rows = list(study.rows(plan))
        if any(some for _, some in rows) or options.table:
            tell(plan.out, rows, options.json)
    if options.runs:
        for found in (found for _, some in rows for found in some):
            if not options.table:
                calibrated.after(Path(found["run"]), moved)
            if not options.json:
                print(f"run             {printed(found['run'])}")
    return 0


def chosen(options: argparse.Namespace, alone: int | None = None) -> list[Cell]:
    """The cells that are asked for.

    Args:
        alone: utterances that there are of a new word, where nothing else is learned.

    Raises:
        UserError: as `plan.cells` does.
    """
    from synaptrace.keyword import plan as plans

    keep = options.keep or (KEEP_WORD if alone else KEEP)
    epochs = EPOCHS if options.epochs is None else options.epochs
    cells = list(plans.cells(
        numbers("--shots", options.shots or ("all" if options.words else "5"), True),
        [n for n in numbers("--batch", options.batch, False) if n is not None],
        options.contrast.split(",") if options.contrast else [None],
        keep.split(","), lr=options.lr, epochs=epochs, alone=options.alone,
        precision=options.precision,
    ))  # fmt: skip
    if any(cell.keep == "none" and not cell.alone for cell in cells) and not options.table:
        print(f"synaptrace: warning: {LOST}", file=sys.stderr)
    if alone and options.epochs is None:
        heard = [min(cell.shots or alone, alone) for cell in cells]
        cells = [
            replace(cell, epochs=max(LEAST, round(HEARD / each)))
            for cell, each in zip(cells, heard, strict=True)
        ]
    return cells


def tell(out: Path, rows: Sequence[tuple[Cell, list[dict[str, Any]]]], as_json: bool) -> None:
    """Write the tables of what is finished, and print one."""
    from synaptrace.drawing import attempt
    from synaptrace.files import write_atomic
    from synaptrace.keyword import table, tunings

    tunings.write(out, [Path(found["run"]) for _, some in rows for found in some])
    write_atomic(out / "table.csv", table.as_csv(rows))
    write_atomic(out / "table.md", table.markdown(rows))
    tables = [f"{part}\n\n{table.speakers(rows, part)}" for part in ("query", "general")]
    write_atomic(out / "speakers.md", "\n".join(tables))
    attempt(lambda: table.draw(rows, out / "table.png"))
    print(json.dumps([found for _, some in rows for found in some]) if as_json
          else table.terminal(rows))  # fmt: skip


def own_words(options: argparse.Namespace, moved: str | None) -> int:
    """Fine-tune one run to a folder of recordings."""
    from synaptrace.errors import UserError
    from synaptrace.keyword import calibrated, own_words
    from synaptrace.keyword.plan import check_batches
    from synaptrace.training import job

    several = any("," in (options.__dict__[name] or "") for name in SINGLE)
    if len(options.runs) != 1 or several:
        raise UserError("--words: needs one RUN, and one of --shots, --batch, --contrast, --keep")
    for name in ("speaker", "word", "preset", "config"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name}: doesn't go with --words")
    if options.settings:
        raise UserError(f"--{next(iter(options.settings))}: RUN has its settings")
    for name, given in (("table", options.table), ("seeds", options.seeds != 1),
                        ("judge", options.judge != "query"), ("alone", options.alone)):  # fmt: skip
        if given:
            raise UserError(f"--{name}: doesn't go with --words")
    trained = job.trained(options.runs[0])
    alone = own_words.new_alone(trained, options.words)
    (cell,) = cells = chosen(options, alone)
    check_batches(trained.config, cells)
    out = options.out or out_of(options.runs[0])
    where, found = own_words.tune(options.runs[0], options.words, cell, out=out, data_path=moved)
    calibrated.after(where, moved)
    print_tuned(where, found, options.json)
    return 0


def out_of(run: Path) -> Path | None:
    """Where what a built-in network is tuned to goes; None: below ``run``."""
    found = builtin.find(run)
    return builtin.beside(found) if builtin.owns(found) else None


def print_tuned(where: Path, found: dict[str, Any], as_json: bool) -> None:
    """What came of one fine-tuning, for a person or for a program."""
    if as_json:
        print(json.dumps({"run": str(where), **found}))
        return
    from synaptrace.cli.train import listening

    print(f"learned from    {found['samples']} recordings, {found['seconds']:.1f} s")
    if "new_words" in found:
        print(f"new words       {', '.join(map(printed, found['new_words'])) or 'none'}")
    for part, name in (("query", "your words"), ("general", "its test set")):
        if found["after"][part] is not None:
            before, after = (100 * found[when][part] for when in ("before", "after"))
            print(f"{name:<16}{before:.2f} % before, {after:.2f} % after, "
                  f"of {found['sizes'][part]}")  # fmt: skip
    if (line := listening(where)) is not None:
        print(f"listening       {line}")
    print(f"run             {printed(where)}")


def numbers(name: str, text: str, everything: bool) -> list[int | None]:
    """Whole numbers; "all" is None where it may be. Raises UserError, naming the option."""
    from synaptrace.errors import UserError

    found: list[int | None] = []
    for part in text.split(","):
        if part == "all" and everything:
            found.append(None)
        elif part.isascii() and part.isdigit() and int(part):
            found.append(int(part))
        else:
            words = "positive whole numbers" + (" or all" if everything else "")
            raise UserError(f"{name}: {text!r} should be {words}, with commas between")
    return found
