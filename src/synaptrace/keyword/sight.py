"""Data as the fine-tuning to a speaker sees them: what is learned from, rehearsed and measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from synaptrace.config import Config
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.sets import users
from synaptrace.errors import UserError
from synaptrace.keyword import fewshot, tuned
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.plan import Case, Plan
from synaptrace.keyword.tuned import Cell
from synaptrace.training import job

AT_ONCE = 64
"""Samples a batch where accuracy is measured, which it doesn't change."""


@lru_cache(maxsize=2)  # a study of a new word needs the data without it and with it in turn
def _load(text: str) -> ArrayDataset:
    data = job.load_data(Config(**json.loads(text)))
    if not isinstance(data, ArrayDataset):
        raise UserError(f"data: {data.meta.name} has no speakers to fine-tune to")
    return data


def load(config: Config) -> ArrayDataset:
    """The data set, read once for many cells."""
    return _load(json.dumps(config.model_dump(include={"name", "data"}) | NOTHING))


def known_data(trained: job.Trained, data_path: str | None) -> ArrayDataset:
    """What a network was trained on before it was ever fine-tuned.

    Raises:
        UserError: it has moved to ``data_path``, and isn't the same there.
    """
    data = load(trained.config)
    if data_path is not None and tuned.read(trained.run) is None:
        trained.verify(data.meta)
    return data


NOTHING: dict[str, Any] = {"model": {}, "neuron": {}, "rule": {}, "train": {}}
"""The sections that data don't depend on."""


@dataclass(frozen=True)
class Sight:
    """Data as one fine-tuning sees them."""

    seen: ArrayDataset
    """In the splits "train", what it learns from, and those of ``parts``."""
    rows: list[int]
    """What it learns from."""
    buffer: list[int]
    """What it rehearses."""
    parts: dict[str, list[int]]
    """What it is measured on: "query", "general", "new" where there is a new word, "validation"
    where all users are held out of one training."""


def sight(plan: Plan, case: Case, cell: Cell) -> Sight:
    """What is learned from, rehearsed and measured in one fine-tuning.

    Raises:
        UserError: data that can't be read, or aren't those that were trained on.
    """
    speaker, seed = case
    trained = job.trained(plan.trained(case), plan.data_path)
    if plan.data_path is not None:
        known_data(trained, plan.data_path)  # which verifies that they are the same
    data = load(plan.settings(case, word=True))
    classes = [*trained.classes, *([] if plan.word is None else [plan.word])]
    data = fewshot.view(data, _lists(data), classes=classes, features=trained.features)
    user = fewshot.user(data, speaker)
    support, judged, others = user.support, user.query, user.general
    if plan.judge == "support":
        support, judged = fewshot.cut(data, support)
        others = user.validation
    new = None if plan.word is None else data.meta.classes.index(plan.word)
    if new is not None:
        support = [row for row in support if int(data.labels[row]) == new]
    rows, keep = fewshot.draw(data, support, cell.shots, seed), Keep.parse(cell.keep)
    buffer = fewshot.draw(data, user.known, keep.rehearse, seed) if keep.rehearse else []
    if new is not None:
        buffer = [row for row in buffer if int(data.labels[row]) != new]
    parts = {"query": judged, "general": others}
    if users.SPLIT in data.index and plan.judge == "query":
        parts["validation"] = user.validation
    if new is not None:
        heard = [row for row in judged if int(data.labels[row]) == new]
        parts = {
            part: [row for row in some if int(data.labels[row]) != new]
            for part, some in parts.items()
        } | {"new": heard}
    seen = fewshot.view(data, parts | {"train": rows}, batch_size=AT_ONCE)
    return Sight(seen, rows, buffer, parts)


def _lists(data: ArrayDataset) -> dict[str, list[int]]:
    return {split: rows.tolist() for split, rows in data.index.items()}
