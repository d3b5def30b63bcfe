"""What a fine-tuned run was tuned from and to, so that it can be evaluated and gone on with.

RUN/tuned.json    beside checkpoints/ and summary.json, written before the first batch
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter, ValidationError

from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.keyword import fewshot
from synaptrace.training import job

if TYPE_CHECKING:
    from synaptrace.keyword.study import Case, Plan

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

    @property
    def name(self) -> str:
        """Its folder."""
        parts = [
            f"{'all' if self.shots is None else self.shots}-shots", f"batch-{self.batch}",
            self.contrast or "same", self.keep, f"lr-{self.lr:g}", f"epochs-{self.epochs}",
            *(["alone"] if self.alone else []),
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


def write(run: Path, base: Path, **about: Any) -> None:
    """Write the record of ``run``, fine-tuned from ``base``; ``about`` is the rest of `Record`."""
    record = Record(os.path.relpath(base.resolve(), run.resolve()), **about)
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


def dataset(record: Record, trained: job.Trained) -> ArrayDataset:
    """The data of a fine-tuned run: what it learned from is "train", its query is "test", and
    "general" what it was tested on before.

    Raises:
        UserError: they can't be read, or have changed since.
    """
    base, path = trained.run / record.base, trained.config.data["path"]
    from synaptrace.keyword import own_words, study

    if record.words is None:
        plan, case = _plan(record, base, path)
        seen = study.sight(plan, case, record.cell).seen
        trained.verify(seen.meta)
        index = {split: rows.tolist() for split, rows in seen.index.items()}
    else:
        sees = own_words.sight(
            job.trained(base, path), Path(record.words), record.cell, record.seed, path
        )
        seen, others = sees.seen, sees.old.index.get("general", torch.empty(0)).tolist()
        trained.verify(seen.meta)
        index = {split: rows.tolist() for split, rows in seen.index.items()}
        index["general"] = list(range(len(seen.labels), len(seen.labels) + len(others)))
        seen = own_words.joined(seen, sees.old, others)
    index["test"] = index.pop("query", [])
    return fewshot.view(seen, index, batch_size=study.AT_ONCE)


def resume(run: Path, data_path: str | None = None) -> dict[str, Any]:
    """Go on with a fine-tuning that was cut off, bit for bit; returns its summary.

    Raises:
        UserError: files of the run, of the one before or of the data can't be read or don't fit.
    """
    record = read(run)
    assert record is not None
    base, data_path = run / record.base, data_path or record.data_path
    from synaptrace.keyword import own_words, study

    if record.words is not None:
        return own_words.once(run, base, Path(record.words), record.cell, record.seed, data_path)
    plan, case = _plan(record, base, data_path)
    return study.once(plan, case, record.cell, run)


def _plan(record: Record, base: Path, data_path: str | None) -> tuple[Plan, Case]:
    """The study of one fine-tuning, and its case."""
    from synaptrace.keyword import study

    case = (str(record.speaker), record.seed)
    config = job.trained(base, data_path).config
    cells = (record.cell,)
    made = study.Plan(
        config, (case,), cells, base, record.word, record.judge, {case: base}, data_path
    )
    return made, case
