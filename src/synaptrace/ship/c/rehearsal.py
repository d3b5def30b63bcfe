"""Sequences of the training set that go into flash, so that a device can rehearse them.

A number is stored as its nearest multiple of a power of two, in a byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.ship.c import source
from synaptrace.ship.c.tables import number, table, values

MOST = 127
ROOM = 2**23
"""Bytes of all sequences together; no device has more to spare."""


@dataclass(frozen=True)
class Stored:
    """Sequences (steps, inputs) of whole numbers, in ``unit``, with their labels."""

    sequences: tuple[NDArray[np.int64], ...]
    labels: tuple[int, ...]
    unit: float

    @property
    def size(self) -> int:
        """Bytes in flash."""
        return sum(each.size for each in self.sequences) + 12 * len(self.sequences)

    @property
    def header(self) -> str:
        """The part of model.h."""
        about = {"count": len(self.labels), "unit": number(self.unit)}
        return source.fill("rehearsal.h", about)

    @property
    def constants(self) -> str:
        """The tables of model.c."""
        flat = np.concatenate([each.ravel() for each in self.sequences])
        starts = np.cumsum([0, *(each.size for each in self.sequences[:-1])]).tolist()
        steps = [len(each) for each in self.sequences]
        made = [values(f"const int8_t rehearsal_input[{flat.size}]", flat)]
        for name, each in (("start", starts), ("steps", steps), ("label", self.labels)):
            made.append(table(f"const int32_t rehearsal_{name}[REHEARSED]", [*map(str, each)]))
        return "\n".join(made)


def choose(dataset: Dataset, each: int) -> Stored:
    """``each`` sequences of every class of the training set, drawn by a fixed seed.

    Raises:
        UserError: a number below one, a training set without samples; more than `ROOM`.
    """
    if each < 1:
        raise UserError(f"--rehearse: {each} is not a positive number of sequences")
    draws = np.random.default_rng(0)
    seen: dict[int, int] = {}
    kept: dict[int, list[NDArray[np.float32]]] = {}
    for events, labels, lengths in dataset.batches("train"):
        for i, label in enumerate(labels.tolist()):
            seen[label] = seen.get(label, 0) + 1
            own = kept.setdefault(label, [])
            place = len(own) if len(own) < each else int(draws.integers(seen[label]))
            if place < each:
                steps = len(events) if lengths is None else int(lengths[i])
                own[place : place + 1] = [events[:steps, i].reshape(steps, -1).float().numpy()]
        size = sum(one.size for ones in kept.values() for one in ones)
        if size > ROOM:
            raise UserError(f"--rehearse: {each} a class are more than {ROOM} bytes; ask for fewer")
    if not kept:
        raise UserError("--rehearse: the training set holds no samples")
    chosen = [(one, label) for label in sorted(kept) for one in kept[label]]
    return store([one for one, _ in chosen], [label for _, label in chosen])


def store(sequences: list[NDArray[np.float32]], labels: list[int]) -> Stored:
    """The sequences in bytes: events as they are, others in the unit that holds the largest."""
    largest = max(float(np.abs(one).max()) for one in sequences)
    whole = largest <= MOST and all((one == one.round()).all() for one in sequences)
    unit = 1.0 if whole or not largest else 2.0 ** math.ceil(math.log2(largest / MOST))
    made = tuple(np.rint(one / unit).astype(np.int64) for one in sequences)
    return Stored(made, tuple(labels), unit)
