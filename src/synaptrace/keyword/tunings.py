"""The fine-tunings of a study, found again in its directory: each has its own `tuned` record.

OUT/tunings.json    where those lie that are finished, as paths from OUT: of a study of runs that
                    were trained before, each lies below its run
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synaptrace.files import write_atomic
from synaptrace.keyword import tuned
from synaptrace.keyword.tuned import Cell, Record
from synaptrace.training import run as runs
from synaptrace.training import schema

LIST = "tunings.json"
PLACES = ("*/seed-*/*", "*/*")
"""Where those lie below a study that no list has yet: a speaker's, and those to a user's words."""
Tunings = dict[Path, Record]


def write(out: Path, finished: Iterable[Path]) -> None:
    """Write the list of a study's finished fine-tunings."""
    names = [os.path.relpath(run.resolve(), out.resolve()) for run in finished]
    write_atomic(out / LIST, json.dumps({"tunings": names}, indent=1) + "\n")


def read(out: Path) -> Tunings:
    """The fine-tunings of the study in ``out``; none where it is no study's directory.

    Raises:
        UserError: the list, or a record, is damaged.
    """
    listed = schema.read(schema.Tunings, out / LIST)["tunings"] if (out / LIST).is_file() else []
    places = [Path(os.path.normpath(out / name)) for name in listed]
    for place in PLACES:
        found = sorted(out.glob(f"{place}/{tuned.RECORD}"))
        places += [file.parent for file in found if not (file.parents[1] / runs.CONFIG).exists()]
    records = {run: tuned.read(run) for run in places}
    return {run: record for run, record in records.items() if record is not None}


def rows(tunings: Tunings) -> list[tuple[Cell, list[dict[str, Any]]]]:
    """Each cell, and what is finished of it, as `study.rows` has them.

    Raises:
        UserError: a summary that is damaged.
    """
    made: dict[Cell, list[dict[str, Any]]] = {}
    for run, record in tunings.items():
        own = made.setdefault(record.cell, [])
        summary = runs.read_summary(run)
        if summary is not None:
            own.append({**summary, "run": str(run), "speaker": who(record), "seed": record.seed})
    return list(made.items())


def who(record: Record) -> str:
    """Whom it was fine-tuned to: a speaker, or the name of a folder of words."""
    return record.speaker or Path(record.words or "?").name
