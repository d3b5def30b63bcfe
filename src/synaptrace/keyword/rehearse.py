"""Rehearsal: how many old samples come with what is learned, and which."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from synaptrace.data.dataset import ArrayDataset, Batch
from synaptrace.keyword import voice as voices


def share(labels: Tensor, rows: Sequence[int], buffer: Sequence[int]) -> int:
    """Old samples that come with each utterance, so that every word is about equally frequent.

    Words that are rehearsed for each one that is learned, one at least.
    """
    learned, old = (len(torch.unique(labels[list(some)])) for some in (rows, buffer))
    return max(1, round(old / learned))


def mixed(
    data: ArrayDataset, rows: Tensor, old: Tensor, draws: torch.Generator, each: int = 1,
    voice: float = 0.0,
) -> Batch:  # fmt: skip
    """The samples ``rows`` (B,) and, where there are ``old`` ones, ``each`` · B of them, augmented.

    Several for each are dealt word by word, so that no word is left out for long.

    Args:
        voice: the share of the old ones that take over the colour of ``rows`` (`voice.lent`), for
            which the data's frames are power in mel bands.
    """
    learned = len(rows)
    if len(old):
        count = each * len(rows)
        if each == 1:
            more = old[torch.randint(len(old), (count,), generator=draws)]
        else:
            more = old[dealt(data.labels[old], count, draws)]
        rows = torch.cat([rows, more])
    if voice:
        power = voices.lent(data.frames[rows].transpose(0, 1), learned, voice, draws)
        data = copy.copy(data)
        data.frames, data.labels = power.transpose(0, 1), data.labels[rows]
        rows = torch.arange(len(rows))
    return data.gather(rows, draws)


def dealt(labels: Tensor, count: int, draws: torch.Generator) -> Tensor:
    """``count`` places in ``labels`` (N,): its classes in turn, at random within each."""
    classes = torch.unique(labels)
    rounds = -(-count // len(classes))
    order = torch.cat([torch.randperm(len(classes), generator=draws) for _ in range(rounds)])
    ties = torch.rand(count, len(labels), generator=draws)
    ties[labels != classes[order[:count], None]] = -1.0
    return ties.argmax(1)
