"""The recordings behind a data set's samples, as clips to listen to: its cache keeps features."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch

from synaptrace.data import NAMES
from synaptrace.data.audio.clips import mono
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.source import Source, find
from synaptrace.errors import UserError
from synaptrace.keyword.alarms import NOT_WORDS, Clip
from synaptrace.keyword.fewshot import name
from synaptrace.seeds import generator


def clips(
    data: ArrayDataset, rows: Sequence[int], root: Path, rate: int, most: int | None = None,
    seed: int = 0,
) -> list[Clip]:  # fmt: skip
    """The recordings of the samples ``rows``, at ``rate`` Hz; what is none of the words has none.

    Args:
        root: the folder of the data's files.
        most: of each class, drawn by ``seed``; None: all.

    Raises:
        UserError: a recording isn't there, or can't be read.
    """
    chosen = list(rows)
    if most is not None:
        order = torch.randperm(len(chosen), generator=generator(seed, "clips")).tolist()
        counts: dict[int, int] = {}
        mixed, chosen = [chosen[place] for place in order], []
        for row in mixed:
            label = int(data.labels[row])
            counts[label] = counts.get(label, 0) + 1
            if counts[label] <= most:
                chosen.append(row)
    there, found = files(root), []
    for row in sorted(chosen):
        said, place = name(data, row), ""
        file = there.get(said)
        if file is None and "#" in said:
            whole, _, place = said.rpartition("#")
            file = there.get(whole)
        if file is None:
            raise UserError(f"{root}: holds no recording {said}, which the network was trained on")
        samples = mono(file, rate)
        if place:  # a second of a longer recording
            samples = samples[int(place) * rate : (int(place) + 1) * rate]
        word = data.meta.classes[int(data.labels[row])]
        who = None if data.speaker is None else data.meta.speakers[int(data.speaker[row])]
        found.append(Clip(samples, None if word in NOT_WORDS else word, who))
    return found


def others(root: Path, words: Sequence[str], rate: int) -> list[Clip]:
    """The recordings ``root/<name>/*.wav`` of every name that is none of ``words``.

    Raises:
        UserError: there are none, or one can't be read.
    """
    some = [file for file in sound(root, "*/*") if file.parent.name not in words]
    if not some:
        raise UserError(
            f"{root}: holds no recordings of other words, in folders whose names are none of the "
            "network's words"
        )
    return [Clip(mono(file, rate), None) for file in some]


def files(root: Path) -> dict[str, Path]:
    """The sound files below ``root``, by their name and by their name in its folder."""
    found: dict[str, Path] = {}
    for file in sound(root, "**/*"):
        found[f"{file.parent.name}/{file.name}"] = file
        found.setdefault(file.name, file)
    return found


def sound(root: Path, pattern: str) -> list[Path]:
    """The files below ``root`` that match and end in .wav, in upper case or lower."""
    return [file for file in find(root, pattern) if file.suffix.lower() == ".wav"]


def folder(settings: dict[str, object]) -> Path:
    """Where the files of a run's data lie.

    Raises:
        UserError: they aren't there.
    """
    path = settings.get("path")
    source: Source = import_module(f"synaptrace.data.{NAMES[str(settings['name'])]}").SOURCE
    return source.locate(None if path is None else Path(str(path)))
