"""A batch in parts: a process's share of it, and of that so many samples at once.

The rule learns from each part in the knowledge of the whole batch's labels and lengths
(`Rule.start`), so that gradients, losses and rates of all parts add up to those of the batch, and
nothing need be exchanged for it. Every process draws the same order and the same augmentation from
the same seed. Where nothing is augmented, samples in memory are made events only in the part that
they are in; else the whole batch is read, and cut.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from synaptrace.data.ahead import one_ahead
from synaptrace.data.dataset import ArrayDataset, Batch, Dataset
from synaptrace.errors import UserError
from synaptrace.rules.base import Rule
from synaptrace.training.team import Team


@dataclass(frozen=True)
class Parts:
    """A batch, of which this process has some parts."""

    labels: Tensor
    """(B,) int64, of the whole batch, as the next are."""
    lengths: Tensor | None
    """(B,) int64 in steps, or None."""
    steps: int
    """T, of its longest sample."""
    cuts: list[slice]
    """The rows of each part; none where there are fewer samples than processes."""
    read: Callable[[slice], Tensor]
    """The events (T, n, *shape) of a part."""

    @property
    def alone(self) -> bool:
        """Whether the one part is the whole batch."""
        return self.cuts == [slice(0, len(self.labels))]


def one(batch: Batch) -> Parts:
    """A batch in one part."""
    events, labels, lengths = batch
    return Parts(labels, lengths, len(events), [slice(0, len(labels))], cutter(events))


def cut(team: Team, samples: int, most: int | None) -> list[slice]:
    """This process's rows of a batch of ``samples``, at most so many at once."""
    share = team.share(samples)
    size = most or max(samples, 1)
    return [
        slice(first, min(first + size, share.stop))
        for first in range(share.start, share.stop, size)
    ]


def batches(
    dataset: Dataset, order: torch.Generator, team: Team, most: int | None
) -> Iterator[Parts]:
    """The training batches, each in this process's parts of at most ``most`` samples."""
    if (team.size > 1 or most) and isinstance(dataset, ArrayDataset) and not dataset.augmented:
        yield from _gathered(dataset, order, team, most)
        return
    for events, labels, lengths in dataset.batches("train", order):
        yield Parts(labels, lengths, len(events), cut(team, len(labels), most), cutter(events))


def stream(
    dataset: Dataset, order: torch.Generator, team: Team, most: int | None, done: int = 0
) -> Generator[Parts, None, None]:
    """`batches` without the first ``done``; where the data allow it, made ahead (`Dataset`).

    What is made while one part is learned from is the next part, be it of the same batch or of
    the next. Each part of a batch must be read once, in their order, before the next batch.
    """
    found = islice(batches(dataset, order, team, most), done, None)
    if not getattr(dataset, "ahead", False):
        yield from found
        return
    with closing(one_ahead(_read(found))) as made:
        for batch, *first in made:
            yield replace(batch, read=_taker(first, made))


def _read(found: Iterator[Parts]) -> Iterator[tuple[Parts, Tensor | None]]:
    """Each batch with each of its parts; with none where it has none."""
    for batch in found:
        if not batch.cuts:
            yield batch, None
        for part in batch.cuts:
            yield batch, batch.read(part)


def _taker(
    first: list[Tensor | None], made: Iterator[tuple[Parts, Tensor | None]]
) -> Callable[[slice], Tensor]:
    """What gives one part after the other, and holds none that it has given."""

    def take(_: slice) -> Tensor:
        part = first.pop() if first else next(made)[1]
        assert part is not None
        return part

    return take


def cutter(events: Tensor) -> Callable[[slice], Tensor]:
    """What gives the rows of a part of ``events`` (T, B, *shape)."""
    return lambda rows: events if rows == slice(0, events.shape[1]) else events[:, rows]


def _gathered(
    dataset: ArrayDataset, order: torch.Generator, team: Team, most: int | None
) -> Iterator[Parts]:
    for rows in dataset.rows("train", order):
        lengths = None if dataset.lengths is None else dataset.lengths[rows].long()
        steps = dataset.frames.shape[1] if lengths is None else int(lengths.max())
        cuts = cut(team, len(rows), most)
        yield Parts(dataset.labels[rows], lengths, steps, cuts, _reader(dataset, rows, steps))


def _reader(dataset: ArrayDataset, rows: Tensor, steps: int) -> Callable[[slice], Tensor]:
    return lambda part: dataset.gather(rows[part], steps=steps)[0]


def check(rule: Rule, dataset: Dataset, team: Team, most: int | None) -> None:
    """Raises UserError where the rule or the data can't be taken in parts."""
    if most is not None and most < 1:
        raise UserError(f"train.micro_batch: {most} is not a positive number of samples")
    if team.size == 1 and most is None:
        return
    if not rule.parts:
        raise UserError(
            f"rule.name: {rule.name}, as it is set, can't learn from parts of a batch; use one "
            "process and leave train.micro_batch out"
        )
    size, samples = getattr(dataset, "batch_size", None), dataset.meta.sizes["train"]
    batch = min(samples, size or samples)
    if batch < team.size:
        raise UserError(
            f"data.batch_size: {team.size} processes, but a batch of {batch} samples; start fewer, "
            "or make the batch larger"
        )
