"""Speakers that no network hears before it is fine-tuned to them, all held out of one training.

A user is a speaker of the training partition with so many utterances of every word, so that some
can be learned from and others judge; the published one (arXiv 2509.13053) is one wherever it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from synaptrace.data.splits import Index
from synaptrace.errors import UserError

SPLIT = "users"
"""The split of all their utterances."""


def find(
    speakers: Sequence[str], spoken: Sequence[str], given: Sequence[str], words: Sequence[str],
    least: int, published: str = "",
) -> list[str]:  # fmt: skip
    """The names of the users.

    Args:
        speakers, spoken, given: of each sample the speaker, the word, and the split that the makers
            of the data gave it.
        words: of which a user has ``least`` utterances each.

    Raises:
        UserError: ``least`` is not positive, or nobody has so many.
    """
    if least < 1:
        raise UserError(f"data.holdout_users: {least} is not a positive number of utterances")
    train = [(s, w) for s, w, g in zip(speakers, spoken, given, strict=True) if g == "train"]
    counts = Counter(train)
    found = {s for s, _ in train if s and all(counts[s, word] >= least for word in words)}
    found |= {published} & set(speakers)
    if not found:
        raise UserError(
            f"data.holdout_users: no speaker has {least} utterances of each of {len(words)} words; "
            "ask for fewer, or for some words, as --data.words yes,no"
        )
    return sorted(found)


def apart(index: Index, rows: Sequence[int], theirs: Sequence[int]) -> Index:
    """An index of the samples ``rows``, as one of all, and the users' samples in `SPLIT`."""
    made = {split: [rows[place] for place in places] for split, places in index.items()}
    return made | {SPLIT: list(theirs)}
