"""What a fine-tuned run was tuned from and to, so that it can be evaluated and gone on with.

RUN/tuned.json    beside checkpoints/ and summary.json, written before the first batch
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from synaptrace import builtin
from synaptrace.errors import UserError
from synaptrace.files import write_atomic

RECORD = "tuned.json"


@dataclass(frozen=True)
class Cell:
    """One way to fine-tune."""

    shots: int | None
    """Utterances of each word; None: the whole support."""
    batch: int
    contrast: str | None
    """None: what the network was trained with."""
    keep: str = "none"
    lr: float = 1e-3
    epochs: int = 20
    alone: bool = False
    """From random weights, not from the trained network."""
    precision: str = "float32"
    """Of the weights that the network runs, and ends, with (`keyword.rounded`)."""

    @property
    def name(self) -> str:
        """Its folder."""
        parts = [
            f"{'all' if self.shots is None else self.shots}-shots", f"batch-{self.batch}",
            self.contrast or "same", self.keep, f"lr-{self.lr:g}", f"epochs-{self.epochs}",
            *(["alone"] if self.alone else []),
            *([] if self.precision == "float32" else [self.precision]),
        ]  # fmt: skip
        return re.sub(r"[^A-Za-z0-9.=+-]", "-", "_".join(parts))


@dataclass(frozen=True)
class Record:
    """A fine-tuning: to a speaker of the run's own data, or to a folder of words."""

    base: str
    """The run that was trained before, as a path from the fine-tuned one, so that both may move."""
    cell: Cell
    seed: int
    speaker: str | None = None
    word: str | None = None
    judge: str = "query"
    words: str | None = None
    """The folder."""
    data_path: str | None = None
    """Where the data of ``base`` had moved to."""
    kept: bool = False
    """Those data weren't at hand, and what was kept with ``base`` was rehearsed."""


def chain(run: Path) -> list[Path]:
    """``run`` and the runs that it was fine-tuned from, one from the other, the first one last.

    Raises:
        UserError: a record that is damaged, or leads back to a run that was there already.
    """
    found = [run.resolve()]
    while (record := read(found[-1])) is not None:
        base = (found[-1] / record.base).resolve()
        if base in found:
            raise UserError(f"{found[-1] / RECORD}: was fine-tuned from itself")
        found.append(base)
    return found


def write(run: Path, base: Path, **about: Any) -> None:
    """Write the record of ``run``, fine-tuned from ``base``; ``about`` is the rest of `Record`."""
    record = Record(os.path.relpath(builtin.find(base).resolve(), run.resolve()), **about)
    write_atomic(run / RECORD, json.dumps(asdict(record), indent=2) + "\n")


def read(run: Path) -> Record | None:
    """The record of a fine-tuned run, None of any other. Raises UserError where it is damaged."""
    file = run / RECORD
    if not file.is_file():
        return None
    try:
        return TypeAdapter(Record).validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise UserError(f"{file}: can't be read ({where}: {first['msg']})") from None
