"""A new user's utterances: what to learn from, what to judge by, and k shots of every word.

Four fifths of the user's utterances of each word are the support, which may be learned from; the
rest are the query, which judges (shares as published, arXiv 2509.13053). A hash of the files' names
alone decides which is which, so that every run is judged by the same utterances. The run's seed
then draws the shots from the support; a draw of fewer shots is part of a draw of more.

Utterances are given as lists of rows of an `ArrayDataset`, and handed on as views of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from synaptrace.data import splits
from synaptrace.data.audio.features import Features
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.sets.users import SPLIT
from synaptrace.errors import UserError
from synaptrace.seeds import derive

SUPPORT = 0.8
"""Share of a user's utterances of each word that may be learned from."""
SEED = 0
"""Of the division into support and query, whatever the run's seed."""


@dataclass(frozen=True)
class User:
    """Rows of a data set, as one user's fine-tuning sees them."""

    support: list[int]
    query: list[int]
    general: list[int]
    """What the other speakers are tested on."""
    known: list[int]
    """What the network was trained on."""
    validation: list[int]
    """Of other speakers, what picked its epoch."""


def user(data: ArrayDataset, speaker: str) -> User:
    """Support and query of ``speaker``, all of whose samples ``data`` held out.

    Raises:
        UserError: no such speaker, or one whose samples are trained on.
    """
    meta = data.meta
    if data.speaker is None or speaker not in meta.speakers:
        some = ", ".join(meta.speakers[:8]) or "none that are known"
        raise UserError(f"--speaker: {meta.name} has no speaker {speaker!r}; it has {some}")
    own = (data.speaker == meta.speakers.index(speaker)).nonzero().flatten()
    others = data.index.get("test" if SPLIT in data.index else "general")
    if others is None or torch.isin(own, torch.cat([data.index["train"], others])).any():
        raise UserError(
            f"--speaker: {speaker}'s samples are trained on; train with "
            f"--data.holdout_speaker {speaker}"
        )
    support, query = cut(data, own.tolist())
    known, picked = (data.index.get(split, own[:0]).tolist() for split in ("train", "validation"))
    return User(support, query, others.tolist(), known, picked)


def cut(data: ArrayDataset, rows: Sequence[int]) -> tuple[list[int], list[int]]:
    """Divide ``rows`` into support and query: of each word, the share `SUPPORT` and the rest."""
    labels, names = data.labels[list(rows)].tolist(), [name(data, row) for row in rows]
    shares = {"support": SUPPORT, "query": 1 - SUPPORT}
    index = splits.make(labels, shares, SEED, names=names)
    support, query = ([rows[place] for place in index[part]] for part in shares)
    return support, query


def draw(data: ArrayDataset, rows: Sequence[int], shots: int | None, seed: int) -> list[int]:
    """``shots`` of the ``rows`` of each word, or all that it has; None: all. Sorted rows.

    They are the first in an order by a hash of ``seed`` and the files' names.
    """
    chosen: list[int] = []
    for label in sorted({int(label) for label in data.labels[list(rows)]}):
        own = [row for row in rows if int(data.labels[row]) == label]
        own.sort(key=lambda row: derive(seed, "shots", name(data, row)))
        chosen += own[:shots]
    return sorted(chosen)


def name(data: ArrayDataset, row: int) -> str:
    """A sample's file, or its number where it has none."""
    files = [] if data.cache is None else data.cache.notes.get("file", [])
    return files[row] if files else str(row)


def view(
    data: ArrayDataset,
    index: Mapping[str, Sequence[int]],
    *,
    batch_size: int | None = None,
    classes: Sequence[str] | None = None,
    features: Mapping[str, Any] | None = None,
) -> ArrayDataset:
    """The same samples in other splits; the data set itself stays as it is.

    Args:
        classes: in another order, or more of them; every class of ``data`` is among them.
        features: `Features.spec` of those that make the events, so that a network sees what it
            was trained with.

    Raises:
        UserError: features of another kind of sound.
    """
    made = copy.copy(data)
    made.index = {k: torch.tensor(v, dtype=torch.int64) for k, v in index.items() if len(v)}
    made.batch_size = data.batch_size if batch_size is None else batch_size
    meta = replace(
        data.meta,
        sizes={split: len(rows) for split, rows in made.index.items()},
        split_hash=splits.digest({k: v.tolist() for k, v in made.index.items()}),
    )
    if classes is not None:
        made.labels = translate(data.labels, data.meta.classes, classes)
        meta = replace(meta, classes=tuple(classes))
    if features is not None:
        if meta.features is None or meta.features["mel"] != features["mel"]:
            raise UserError(
                f"data: {meta.name} has other mel bands than the network was trained with"
            )
        made.transform = Features.from_spec(features)
        meta = replace(meta, features=dict(features))
    made.meta = meta
    return made


def translate(labels: Tensor, old: Sequence[str], new: Sequence[str]) -> Tensor:
    """Labels (N,) of classes ``old`` as those of ``new``."""
    return torch.tensor([list(new).index(each) for each in old])[labels]
