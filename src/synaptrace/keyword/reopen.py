"""A fine-tuned run, opened again: the data that it was tuned to, and going on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from synaptrace.data.dataset import ArrayDataset, Dataset
from synaptrace.keyword import fewshot, own_words, study
from synaptrace.keyword.plan import Case, Plan
from synaptrace.keyword.sight import AT_ONCE, sight
from synaptrace.keyword.tuned import Record, read
from synaptrace.training import job


def load_data(trained: job.Trained) -> Dataset:
    """The data that a network was trained on; of a fine-tuned one, what it was tuned to.

    Raises:
        UserError: they can't be read, or have changed since.
    """
    record = read(trained.run)
    return trained.load_data() if record is None else dataset(record, trained)


def dataset(record: Record, trained: job.Trained) -> ArrayDataset:
    """The data of a fine-tuned run: what it learned from is "train", its query is "test", and
    "general" what it was tested on before.

    Raises:
        UserError: they can't be read, or have changed since.
    """
    base, path = trained.run / record.base, trained.config.data["path"]
    if record.words is None:
        plan, case = _plan(record, base, path)
        seen = sight(plan, case, record.cell).seen
        trained.verify(seen.meta)
        index = {split: rows.tolist() for split, rows in seen.index.items()}
    else:
        sees = own_words.sight(
            job.trained(base, path), Path(record.words), record.cell, record.seed, path, record.kept
        )
        seen, others = sees.seen, sees.old.index.get("general", torch.empty(0)).tolist()
        trained.verify(seen.meta)
        index = {split: rows.tolist() for split, rows in seen.index.items()}
        index["general"] = list(range(len(seen.labels), len(seen.labels) + len(others)))
        seen = own_words.joined(seen, sees.old, others)
    index["test"] = index.pop("query", [])
    return fewshot.view(seen, index, batch_size=AT_ONCE)


def resume(run: Path, data_path: str | None = None) -> dict[str, Any]:
    """Go on with a fine-tuning that was cut off, bit for bit; returns its summary.

    Raises:
        UserError: files of the run, of the one before or of the data can't be read or don't fit.
    """
    record = read(run)
    assert record is not None
    base, data_path = run / record.base, data_path or record.data_path
    if record.words is not None:
        return own_words.once(run, base, Path(record.words), record.cell, record.seed, data_path)
    plan, case = _plan(record, base, data_path)
    return study.once(plan, case, record.cell, run)


def _plan(record: Record, base: Path, data_path: str | None) -> tuple[Plan, Case]:
    """The study of one fine-tuning, and its case."""
    case = (str(record.speaker), record.seed)
    config = job.trained(base, data_path).config
    cells = (record.cell,)
    made = Plan(config, (case,), cells, base, record.word, record.judge, {case: base}, data_path)
    return made, case
