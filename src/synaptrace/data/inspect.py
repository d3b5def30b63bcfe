"""What `synaptrace data list`, `fetch`, `prepare` and `inspect` do: arguments in, lines out."""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synaptrace import data
from synaptrace.data.cache import Cache
from synaptrace.data.dataset import SPLITS, Dataset
from synaptrace.data.events import picture
from synaptrace.data.fetch import fetch as fetch_files
from synaptrace.data.source import Source
from synaptrace.names import printed
from synaptrace.text_table import shown

Say = Callable[[str], object]

SPEAKERS = 8
"""That `inspect` names; of all it says how many there are."""


def list_all(say: Say = print) -> None:
    """A line for each data set: name, title, licence, whether its files are there, its splits."""
    rows = [["name", "title", "licence", "files", "splits"]]
    for name in data.names():
        source = find(name)
        there = "fetched" if source.folder.is_dir() else "not fetched"
        files = there if source.layout else "not needed"
        rows.append([name, source.title, source.licence, files, source.splits])
    say(shown(rows))


def fetch(name: str, *, local: Path | None = None, say: Say = print) -> None:
    """Get a data set's files. Raises UserError as `fetch.fetch` does."""
    fetch_files(find(name), local=local, say=say)


def prepare(
    name: str,
    *,
    path: Path | None = None,
    skip_bad: bool = False,
    settings: Mapping[str, Any] | None = None,
    say: Say = print,
) -> None:
    """Bring a data set into the cache, and verify it.

    Args:
        path: where its files lie; None: where `fetch` puts them.
        skip_bad: leave out bad files, a line for each, and go on.
        settings: options of the loader; those on which the cache doesn't depend change nothing.

    Raises:
        UserError: no such data set or option, nothing to prepare, bad files.
    """
    settings = data.check(name, settings or {})
    maker = getattr(data.module(name), "prepare", None)
    if maker is None:
        say(f"{name}\tneeds no preparation")
        return
    own = python_inspect.signature(maker).parameters
    chosen = {key: value for key, value in settings.items() if key in own}
    made: Cache = maker(path=path, skip_bad=skip_bad, **chosen)
    made.verify()
    size = sum(made.meta["sizes"].values())
    head = ["name", "samples", "bytes", "skipped", "folder"]
    say(shown([head, [name, len(made), size, len(made.skipped), printed(made.folder)]]))
    skipped(made, say)


def inspect(
    name: str,
    *,
    path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    out: Path | None = None,
    say: Say = print,
) -> None:
    """Say what a data set holds, as a network gets it, and draw some of its samples.

    Args:
        path, settings: as in `data.load`.
        out: the picture, a PNG; None: ``NAME.png`` here.

    Raises:
        UserError: as `data.load` does; the picture can't be written.
    """
    source, loaded = find(name), data.load(name, path=path, **dict(settings or {}))
    meta, dt = loaded.meta, getattr(loaded, "dt", None)
    about = [
        ["name", name, source.title],
        ["licence", source.licence, source.page],
        ["shape", "×".join(map(str, meta.shape))],
        ["step", "not stated" if dt is None else f"{dt:g} ms"],
        ["test split", meta.test_split or "none", source.splits],
        ["split index", meta.split_hash or "none"],
    ]
    if meta.speakers:
        more = " …" if len(meta.speakers) > SPEAKERS else ""
        some = " ".join(map(printed, meta.speakers[:SPEAKERS])) + more
        about.append(["speakers", str(len(meta.speakers)), some])
    say(shown(about, head=False))
    found = {split: _measure(loaded, split) for split in SPLITS if split in meta.sizes}
    head = ["split", "samples", "steps", "input a sample", "input a step and element", "nonzero"]
    say(shown([head, *([s, *each.cells(dt, meta.shape)] for s, each in found.items())]))
    rows = [
        [printed(word), *(int(measured.counts[label]) for measured in found.values())]
        for label, word in enumerate(meta.classes)
    ]
    say(shown([["class", *found], *rows]))
    skipped(getattr(loaded, "cache", None), say)
    out = Path(f"{name}.png") if out is None else out
    picture.draw(loaded, out)
    say(shown([["picture", printed(out)]], head=False))


def skipped(cache: Cache | None, say: Say) -> None:
    """A line for each bad file that was left out."""
    lines = [] if cache is None else cache.skipped
    if lines:
        say(shown([["skipped", printed(line)] for line in lines], head=False))


def find(name: str) -> Source:
    """What a data set declares. Raises UserError where there is no such data set."""
    found: Source | None = getattr(data.module(name), "SOURCE", None)
    return found or Source(name=name, title="a data set of your own", licence="", page="")


@dataclass
class _Measured:
    """What the batches of a split add up to."""

    counts: Tensor
    steps: list[Tensor] = field(default_factory=list)
    sums: list[Tensor] = field(default_factory=list)
    nonzero: int = 0

    def cells(self, dt: float | None, shape: tuple[int, ...]) -> list[str]:
        steps, sums = torch.cat(self.steps), torch.cat(self.sums)
        elements = torch.Size(shape).numel() * int(steps.sum())
        duration = f"{int(steps.min())}-{int(steps.max())}, mean {steps.double().mean():.1f}"
        if dt is not None:
            duration += f" ({dt * steps.double().mean():.0f} ms)"
        inputs = f"{sums.min():.4g} to {sums.max():.4g}, mean {sums.mean():.4g}"
        rate = f"{sums.sum() / elements:.4g}"
        if dt is not None:
            rate += f" ({1000 / dt * sums.sum() / elements:.3g} a second)"
        share = f"{100 * self.nonzero / elements:.3g} %"
        return [str(int(self.counts.sum())), duration, inputs, rate, share]


def _measure(loaded: Dataset, split: str) -> _Measured:
    found = _Measured(torch.zeros(len(loaded.meta.classes), dtype=torch.int64))
    for events, labels, lengths in loaded.batches(split):
        found.counts += labels.bincount(minlength=len(found.counts))
        full = torch.full_like(labels, len(events))
        found.steps.append(full if lengths is None else lengths)
        found.sums.append(events.flatten(2).sum((0, 2), dtype=torch.float64))
        found.nonzero += int(events.count_nonzero())
    return found
