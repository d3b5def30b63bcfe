"""Which spoken words are outputs: those asked for, the others as "unknown", noise as "silence".

The classes are the words in their order, then "unknown", then "silence", as far as there is
something for them. The draws of both hash a fixed seed and the files' names, split by split, so
that they are the same for every run, and nothing moves from one split to another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from synaptrace.data import splits
from synaptrace.errors import UserError, short
from synaptrace.seeds import derive

UNKNOWN, SILENCE = "unknown", "silence"
NOISE = ""
"""In the place of a word: the sample is noise."""
ALL = "all"
"""For ``words``: every word of the set and "unknown", be they there or not."""
SEED = 0


class Outputs(NamedTuple):
    """The classes of a data set, and which samples are of one."""

    classes: tuple[str, ...]
    labels: Tensor
    """(N,) int64; a sample in no split keeps one that nobody reads."""
    kept: splits.Index
    """The splits without what is left out."""


def choose(
    spoken: Sequence[str], names: Sequence[str], index: splits.Index, own: Sequence[str], *,
    words: str | None = None, unknown: float | None = None, silence: float | None = None,
) -> Outputs:  # fmt: skip
    """The outputs that are asked for, or those that are there.

    Without ``words`` the classes are the words of the set that are there, and "unknown" holds all
    else that is, noise included. With ``words`` the shares are 1 where there is something to draw
    from. A share counts in samples that one of the words has, on average, in the same split;
    "unknown" is drawn from each of the other words alike, and neither has more than there is.

    Args:
        spoken: the word of each sample, `NOISE` for noise.
        names: of the samples, for the draws.
        index: the splits, over all samples.
        own: the words of the set, in order.
        words: as "yes,no,up"; None: all of ``own`` that are there; `ALL`: all of ``own``.
        unknown: share of the other words; 0: they are left out.
        silence: share of the noise, as a class of its own; 0: it is left out.

    Raises:
        UserError: a word that isn't there, a share out of range or with nothing to draw from.
    """
    there = sorted(set(spoken) - {NOISE})
    targets = [*own] if words == ALL else chosen(spoken, own, words)
    if words not in (None, ALL):
        unknown = float(any(word not in targets for word in there)) if unknown is None else unknown
        silence = float(NOISE in spoken) if silence is None else silence
    number = {word: label for label, word in enumerate(targets)}
    groups = {UNKNOWN: set(there) - set(targets), SILENCE: {NOISE} & set(spoken)}
    if silence is None:
        groups = {UNKNOWN: groups[UNKNOWN] | groups[SILENCE]}
    shares = {UNKNOWN: unknown, SILENCE: silence}
    for name, group in groups.items():
        _check(name, shares[name], group)
        if shares[name] != 0 and (group or words == ALL):
            number |= dict.fromkeys(group, len(targets))
            targets = [*targets, name]
    kept = {}
    for split, rows in index.items():
        found = [row for row in rows if spoken[row] in number]
        plain = [row for row in found if targets[number[spoken[row]]] not in groups]
        each = len(plain) / max(sum(word not in groups for word in targets), 1)
        for name, group in groups.items():
            drawn = [row for row in found if spoken[row] in group]
            plain += _draw(drawn, spoken, names, shares[name], each)
        kept[split] = sorted(plain)
    labels = torch.tensor([number.get(word, 0) for word in spoken], dtype=torch.int64)
    return Outputs(tuple(targets), labels, kept)


def chosen(spoken: Sequence[str], own: Sequence[str], words: str | None) -> list[str]:
    """The words that are outputs and that are there; arguments as `choose` takes them."""
    there = sorted(set(spoken) - {NOISE})
    if words in (None, ALL):
        return [word for word in own if word in there]
    return _asked(str(words), there)


def _asked(words: str, there: Sequence[str]) -> list[str]:
    """The words of a list such as "yes,no,up"."""
    asked = [word.strip() for word in words.split(",")]
    for word in asked:
        if word not in there or word in (UNKNOWN, SILENCE):
            raise UserError(f"data.words: there is no word {short(word)}; there are {_list(there)}")
        if asked.count(word) > 1:
            raise UserError(f"data.words: {word!r} is there twice")
    return asked


def _list(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"


def _check(name: str, share: float | None, group: set[str]) -> None:
    if share is None:
        return
    if not (math.isfinite(share) and share >= 0):
        raise UserError(f"data.{name}: {share} is not a share of 0 or more")
    if share and not group:
        what = "noise" if name == SILENCE else "word but those"
        raise UserError(f"data.{name}: there is no {what} to draw it from; set it to 0")


def _draw(
    rows: Sequence[int], spoken: Sequence[str], names: Sequence[str], share: float | None,
    each: float,
) -> list[int]:  # fmt: skip
    """So many of ``rows`` as ``share`` times ``each`` are, of every word alike; None: all."""
    if share is None:
        return list(rows)
    taken: dict[str, int] = {}
    order: list[tuple[int, int, int]] = []
    for place, row in sorted((derive(SEED, "draw", names[row]), row) for row in rows):
        taken[spoken[row]] = taken.get(spoken[row], 0) + 1
        order.append((taken[spoken[row]], place, row))
    return [row for _, _, row in sorted(order)[: round(share * each)]]
