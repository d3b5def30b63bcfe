"""How much of a run's test set its program gets right: all of it, as `synaptrace evaluate` has it.

The program itself doesn't run here, but its twin in NumPy (`twin`, `fixed`), which says the same to
the last bit. Beside weights in whole numbers stands the network in float32, by PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray

from synaptrace.data.dataset import Batch, Dataset
from synaptrace.keyword import tuned
from synaptrace.names import printed
from synaptrace.network import Network
from synaptrace.ship.c import fixed, twin
from synaptrace.training import evaluate
from synaptrace.training.job import Trained

Array = NDArray[Any]
FLOAT = "float32"


@dataclass(frozen=True)
class Tested:
    """What came of one set."""

    of: str
    """What set it is, in words."""
    samples: int
    accuracy: dict[str, float | None]
    """By the precision of the weights; None without samples."""


def sets(trained: Trained) -> dict[str, str]:
    """The splits that a run is tested on, each in words."""
    record = tuned.read(trained.run)
    if record is None:
        return {"test": "the test set"}
    whose = "your words" if record.speaker is None else printed(record.speaker)
    return {"test": f"the query of {whose}", "general": "the test set from before"}


def test(
    net: Network, whole: fixed.Fixed | None, dataset: Dataset, splits: dict[str, str],
    precision: str,
) -> list[Tested]:  # fmt: skip
    """The accuracy on each of ``splits`` that has samples; on the first in any case.

    Args:
        whole: the network in whole numbers, if it is exported so.
    """
    run = partial(twin.run, net) if whole is None else partial(fixed.run, whole)
    found = []
    for i, (split, words) in enumerate(splits.items()):
        right, samples = score(run, dataset.batches(split))
        own = {precision: right / samples if samples else None}
        if whole is not None:
            own = {FLOAT: evaluate.evaluate(net, dataset.batches(split)).accuracy, **own}
        if samples or not i:
            found.append(Tested(words, samples, own))
    return found


def score(run: Callable[[Array], tuple[Array, Array]], batches: Iterable[Batch]) -> tuple[int, int]:
    """Samples that ``run`` gets right at their own end, and all samples."""
    right = total = 0
    for events, labels, lengths in batches:
        ends = [len(events)] * len(labels) if lengths is None else lengths.tolist()
        for end in sorted(set(ends)):
            rows = torch.tensor([i for i, each in enumerate(ends) if each == end])
            said, _ = run(events[:end, rows].numpy())
            right += int((said.argmax(1) == labels[rows].numpy()).sum())
        total += len(labels)
    return right, total
