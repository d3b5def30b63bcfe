"""Splits into training, validation and test as stored, hashed indices.

An index maps a split's name to the samples in it, in ascending order. Its canonical form is JSON
with sorted keys and without white space; its name in reports is the sha256 of that form. The
stored file holds both, so that a changed file is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.seeds import derive

Index = dict[str, list[int]]


def make(
    labels: Sequence[int],
    fractions: Mapping[str, float],
    seed: int,
    names: Sequence[str] | None = None,
) -> Index:
    """A stratified index: every class is cut in the same proportions, to within one sample.

    A sample's place in its class's shuffled order is a hash of the seed and its number, or name,
    so the index is the same on every platform and with every version of every library.

    Args:
        labels: the class of each sample.
        fractions: each split's share, for example ``{"train": 0.8, "test": 0.2}``; they add up
            to at most 1, and what they leave is in no split.
        seed: of the shuffle; fixed for a data set, never a run's.
        names: of the samples, to go by in place of numbers where samples may be added.

    Raises:
        UserError: no labels, or fractions that are negative or add up to more than 1.
    """
    shares = list(fractions.values())
    if not len(labels):
        raise UserError("splits: there are no samples to split")
    if not shares or min(shares) < 0 or sum(shares) > 1 + 1e-9:
        raise UserError(f"splits: fractions {dict(fractions)} must be positive, at most 1 together")
    members: dict[int, list[int]] = {}
    for sample, label in enumerate(labels):
        members.setdefault(int(label), []).append(sample)
    index: Index = {name: [] for name in fractions}
    for samples in members.values():
        samples.sort(key=lambda sample: derive(seed, "split", names[sample] if names else sample))
        start, share = 0, 0.0
        for name, fraction in fractions.items():
            share += fraction
            end = round(share * len(samples))
            index[name] += samples[start:end]
            start = end
    return {name: sorted(samples) for name, samples in index.items()}


def hold_out(groups: Sequence[str], share: float, seed: int, keep: int = 1) -> list[int]:
    """The samples of whole groups (speakers, subjects), at least ``share`` of all together.

    Groups come in an order that hashes the seed and their names; ``keep`` of them at least stay.

    Raises:
        UserError: there is but one group.
    """
    names = sorted(set(groups), key=lambda name: derive(seed, "group", name))
    if len(names) < 2:
        raise UserError("data.validation: to hold out a speaker or subject, there must be two")
    sizes = Counter(groups)
    chosen: set[str] = set()
    for name in names[:-keep]:
        if sum(sizes[group] for group in chosen) >= share * len(groups):
            break
        chosen.add(name)
    return [sample for sample, group in enumerate(groups) if group in chosen]


def complete(
    labels: Sequence[int],
    given: Sequence[str],
    *,
    share: float,
    seed: int,
    groups: Sequence[str] | None = None,
) -> tuple[Index, str]:
    """An index with validation and test from what the makers of the data gave.

    With official test samples, validation is what they gave for it, or else a seeded ``share`` of
    their training samples: whole ``groups`` where there are some, or of every class alike.
    Without, as in a partial copy, a seeded fifth each becomes test and validation: of the groups'
    samples, whole groups, or of every class. Samples of no group stay where they were given.

    Args:
        labels: the class of each sample.
        given: "train", "validation" or "test", for each sample.
        share: of the training samples that validate; 0: none does, they train.
        groups: the speaker or subject of each sample, where the test's are others; "" for a
            sample of none, which is no official test alone.
        seed: fixed for a data set, never a run's.

    Returns:
        The index, and "official" or "development" for its test samples.

    Raises:
        UserError: no training samples, a share out of range, too few groups to hold out from.
    """
    if not 0 <= share < 1:
        raise UserError(f"data.validation: {share} is not a share from 0 to below 1")
    index: Index = {split: [] for split in ("train", "validation", "test")}
    for sample, split in enumerate(given):
        index[split].append(sample)
    if not index["train"]:
        raise UserError("there are no training samples")
    test_split = "official"
    if not any(groups is None or groups[sample] for sample in index["test"]):
        index = _fifths(labels, given, seed, groups, 2 if share else 1)
        test_split = "development"
    elif not index["validation"] and share:
        train = index["train"]
        if groups is not None:
            theirs = [sample for sample in train if groups[sample]]
            places = hold_out([groups[sample] for sample in theirs], share, seed)
        else:
            theirs = train
            places = make([labels[sample] for sample in train], {"held": share}, seed)["held"]
        index["validation"] = [theirs[place] for place in places]
        index["train"] = sorted(set(train) - set(index["validation"]))
    if not share:
        index["train"] = sorted(index["train"] + index["validation"])
        index["validation"] = []
    return {split: samples for split, samples in index.items() if samples}, test_split


def _fifths(
    labels: Sequence[int],
    given: Sequence[str],
    seed: int,
    groups: Sequence[str] | None,
    parts: int,
) -> Index:
    """A development test and, with two ``parts``, validation: whole groups where there are some."""
    if groups is None or not any(groups):
        return make(labels, {"train": 0.6, "validation": 0.2, "test": 0.2}, seed)
    found = len(set(groups) - {""})
    if found <= parts:
        raise UserError(
            f"this copy has no test samples, and {found} speakers or subjects are too few to "
            f"hold one out for each part; it needs {parts + 1}, or its test files"
        )
    split = {sample: name for sample, name in enumerate(given) if not groups[sample]}
    rest = [sample for sample in range(len(labels)) if groups[sample]]
    for name, share, keep in (("test", 0.2, parts), ("validation", 0.25, 1))[:parts]:
        held = {
            rest[place] for place in hold_out([groups[i] for i in rest], share, seed, keep=keep)
        }
        split |= dict.fromkeys(held, name)
        rest = [sample for sample in rest if sample not in held]
    return {
        name: [sample for sample in range(len(labels)) if split.get(sample, "train") == name]
        for name in ("train", "validation", "test")
    }


def canonical(index: Mapping[str, Sequence[int]]) -> str:
    """The one text that stands for an index, whatever the order it was made in."""
    ordered = {name: sorted(map(int, samples)) for name, samples in index.items()}
    return json.dumps(ordered, sort_keys=True, separators=(",", ":"))


def digest(index: Mapping[str, Sequence[int]]) -> str:
    """sha256 of the canonical form, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(index).encode()).hexdigest()


def save(path: str | Path, index: Mapping[str, Sequence[int]]) -> str:
    """Store an index; returns its hash. Raises UserError where the file can't be written."""
    key = digest(index)
    write_atomic(path, f'{{"sha256":"{key}",\n"splits":{canonical(index)}}}\n')
    return key


def load(path: str | Path, *, samples: int | None = None, expected: str | None = None) -> Index:
    """Read a stored index and verify it.

    Args:
        samples: how many the data set has; the index must not reach beyond.
        expected: the hash that it must have, where that is known from elsewhere.

    Raises:
        UserError: the file can't be read, isn't an index, was changed after it was stored,
            names a sample twice, or doesn't fit the data.
    """
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        key, index = stored["sha256"], stored["splits"]
        if not all(type(n) is int for chosen in index.values() for n in chosen):
            raise TypeError("a sample is no number")
        if not all(isinstance(text, str) for text in (key, expected or key)):
            raise TypeError("a hash is no text")
        found = digest(index)
    except OSError as error:
        raise UserError(f"{path}: the split index can't be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: this is not a stored split index; restore the file") from error
    if found != key or found != (expected or key):
        raise UserError(
            f"{path}: the split index was changed: its hash is {found[:12]}…, "
            f"not {(expected or key)[:12]}…; restore the file"
        )
    verify(index, samples, str(path))
    return {name: sorted(chosen) for name, chosen in index.items()}


def verify(
    index: Mapping[str, Sequence[int]], samples: int | None = None, name: str = "splits"
) -> None:
    """Raises UserError where a sample is in an index twice, or is none of the data's."""
    seen: set[int] = set()
    for split, chosen in index.items():
        twice = len(set(chosen)) < len(chosen) or not seen.isdisjoint(chosen)
        if twice:
            raise UserError(f"{name}: the {split} split holds a sample that is there twice")
        seen.update(chosen)
    if seen and (min(seen) < 0 or (samples is not None and max(seen) >= samples)):
        raise UserError(f"{name}: the split index doesn't fit data of {samples} samples")
