"""Fine-tuning to one's own recordings: a folder of words, known ones and new ones.

    RUN/finetune-<folder>-<hash>-<hash>_<cell>/   checkpoints, and summary.json at the end

The hashes are of the recordings and of RUN's weights, so that other recordings or weights have a
directory of their own. It is a run like any other: `listen` takes it.

What is rehearsed are the utterances that the run was trained on; where those aren't at hand, the
few that were kept with it (`training.rehearsal`). What it was fine-tuned to before comes on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synaptrace.data.audio.augment import options_of
from synaptrace.data.audio.features import FLOOR
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.sets import folder
from synaptrace.errors import UserError
from synaptrace.keyword import fewshot, tuned
from synaptrace.keyword.adapt import adapt
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.model import learner, measure
from synaptrace.keyword.plan import digest
from synaptrace.keyword.sight import AT_ONCE, known_data, load
from synaptrace.keyword.tuned import Cell
from synaptrace.seeds import generator
from synaptrace.training import job, rehearsal
from synaptrace.training import run as runs
from synaptrace.training.telling import warn

ENOUGH = 5
"""Recordings of a word from which a fifth is kept to judge by."""


def tune(
    path: Path, words: Path, cell: Cell, *, seed: int = 0, out: Path | None = None,
    data_path: str | None = None,
) -> tuple[Path, dict[str, Any]]:  # fmt: skip
    """Fine-tune the run ``path`` to the folder ``words``; a word that it doesn't know is added.

    Args:
        data_path: where the data that it was trained on are now, if they have moved.

    Returns:
        The directory, and the summary: accuracy on the query, the fifth that was kept of words
        with `ENOUGH` recordings, and on the run's own test set ("general"), before and after.

    Raises:
        UserError: a run that wasn't trained on sound, recordings that can't be read.
    """
    own = recordings(words, job.trained(path))
    assert own.cache is not None
    place = f"{words.resolve().name}-{own.cache.folder.name[-8:]}-{digest(path)}"
    run = (out or runs.home(path) / "finetune") / place / cell.name
    if out is None and not run.is_dir():  # an earlier version made it there
        run = runs.home(path) / f"finetune-{place}_{cell.name}"
    done = runs.read_summary(run)
    return run, done or once(run, path, words, cell, seed, data_path)


def once(
    run: Path, base: Path, words: Path, cell: Cell, seed: int, data_path: str | None = None
) -> dict[str, Any]:
    """Fine-tune ``base`` in the directory ``run``, or go on with it; returns the summary."""
    trained, begun = job.trained(base, data_path), tuned.read(run)
    kept = missing(trained, data_path) if begun is None else begun.kept
    sees = sight(trained, words, cell, seed, data_path, kept)
    net, rule = learner(base, cell.contrast)
    for word in sees.fresh:
        net.add_class()
        rule.add_class(generator=generator(seed, "word", word))

    def score() -> dict[str, float | None]:
        return measure(net, sees.seen, ["query"]) | measure(net, sees.old, ["general"])

    before = score()
    tuned.write(
        run, base, cell=cell, seed=seed, words=str(words.absolute()), data_path=data_path, kept=kept
    )
    costs = adapt(
        net, rule, sees.seen, sees.rows, batch_size=cell.batch, epochs=cell.epochs, lr=cell.lr,
        update=trained.config.train["update"], keep=Keep.parse(cell.keep), seed=seed, run=run,
        buffer=sees.buffer, precision=cell.precision, config=trained.config.model_dump(),
    )  # fmt: skip
    sizes = [data.meta.sizes.get(part, 0) for data, part in sees.measured]
    found = {
        **vars(cell), "seed": seed, "new_words": sees.fresh, "samples": len(sees.rows),
        "sizes": dict(zip(("query", "general"), sizes, strict=True)),
        "before": before, "after": score(), **costs,
    }  # fmt: skip
    rehearsal.write(run, sees.seen, sees.rows, seed)
    runs.write_summary(run, found)
    (run / runs.LAST).unlink(missing_ok=True)
    return found


def missing(trained: job.Trained, data_path: str | None) -> bool:
    """Whether a run's data can't be read, and what was kept with it stands in; told in one line.

    Raises:
        UserError: nothing was kept, or they were said to be in ``data_path``.
    """
    try:
        load(trained.config)
    except UserError as error:
        kept = None if data_path else rehearsal.read(tuned.chain(trained.run)[-1])
        if kept is None:
            raise
        warn(f"{error}; the {len(kept.labels)} utterances kept with the run are rehearsed instead")
        return True
    return False


@dataclass(frozen=True)
class Sight:
    """Data as one fine-tuning sees them."""

    seen: ArrayDataset
    """The recordings, in the splits "train" and "query", and the buffer after them."""
    old: ArrayDataset
    """What the network was trained on, in the split "general", its test."""
    rows: list[int]
    """Of ``seen``: what is learned from."""
    buffer: range
    """Of ``seen``: what is rehearsed."""
    fresh: list[str]
    """Words that the network doesn't know."""

    @property
    def measured(self) -> list[tuple[ArrayDataset, str]]:
        """What is measured before and after, each under its name."""
        return [(self.seen, "query"), (self.old, "general")]


def sight(
    trained: job.Trained, words: Path, cell: Cell, seed: int, data_path: str | None = None,
    kept: bool = False,
) -> Sight:  # fmt: skip
    """The folder ``words`` and the data that were trained on, or what was ``kept`` of them.

    Raises:
        UserError: either can't be read, or a network that wasn't trained on sound.
    """
    own = recordings(words, trained)
    fresh = [word for word in own.meta.classes if word not in trained.classes]
    classes = [*trained.classes, *fresh]
    own = fewshot.view(own, {}, classes=classes, features=trained.features)
    support, query = parts(own)
    rows = fewshot.draw(own, support, cell.shots, seed)

    *later, first = tuned.chain(trained.run)
    old = rehearsal.read(first) if kept else known_data(trained, data_path)
    if old is None:
        raise UserError(f"{first / rehearsal.FILE}: is gone; say where the data are, --data.path")
    known, test = old.index["train"].tolist(), old.index.get("test", torch.empty(0)).tolist()
    old = fewshot.view(
        old, {"general": test}, batch_size=AT_ONCE, classes=classes, features=trained.features
    )
    both, keep = own, Keep.parse(cell.keep)
    if keep.rehearse:
        both = joined(both, old, fewshot.draw(old, known, keep.rehearse, seed))
        for each in filter(None, map(rehearsal.read, later)):  # what it was tuned to before
            each = fewshot.view(each, {}, classes=classes, features=trained.features)
            both = joined(both, each, range(len(each.labels)))
    seen = fewshot.view(both, {"train": rows, "query": query}, batch_size=AT_ONCE)
    return Sight(seen, old, rows, range(len(own.labels), len(both.labels)), fresh)


def new_alone(trained: job.Trained, words: Path) -> int | None:
    """Utterances of a word to learn from, on average, where the network knows none of the words."""
    own = recordings(words, trained)
    if set(own.meta.classes) & set(trained.classes):
        return None
    return max(1, round(len(parts(own)[0]) / len(own.meta.classes)))


def recordings(path: Path, trained: job.Trained) -> ArrayDataset:
    """The folder's sound, mixed down, resampled and cut as the run's was.

    Raises:
        UserError: as `folder.load` does; a run that wasn't trained on sound, events in its place.
    """
    features, settings = trained.features, trained.config.data
    if features is None:
        raise UserError(f"{trained.run}: was not trained on sound")
    mel = features["mel"]
    found = folder.load(
        path=path, rate=mel["rate"], window=mel["window"], hop=mel["hop"], bands=mel["bands"],
        seconds=float(settings.get("seconds", 1.0)), form=features["form"],
        encoding=features["encoding"], threshold=features["threshold"],
        floor=features.get("floor", FLOOR),
        **options_of(settings),
    )  # fmt: skip
    if not isinstance(found, ArrayDataset):
        raise UserError(f"{path}: holds events, where the run was trained on sound")
    return found


def parts(data: ArrayDataset) -> tuple[list[int], list[int]]:
    """Support and query: four fifths and one of each word that has `ENOUGH` recordings.

    All recordings of a word that has fewer are support.
    """
    everything = range(len(data.labels))
    counts = data.labels.bincount()
    few = [row for row in everything if counts[data.labels[row]] < ENOUGH]
    many = [row for row in everything if counts[data.labels[row]] >= ENOUGH]
    support, query = fewshot.cut(data, many) if many else ([], [])
    return sorted(few + support), query


def joined(own: ArrayDataset, old: ArrayDataset, buffer: Sequence[int]) -> ArrayDataset:
    """The samples of ``own``, and after them those of ``old`` that ``buffer`` names."""
    rows = list(buffer)
    if own.frames.shape[1:] != old.frames.shape[1:]:
        raise UserError("--words: recordings become other frames than the run was trained with")
    return ArrayDataset(
        torch.cat([own.frames, old.frames[rows]]),
        torch.cat([own.labels, old.labels[rows]]),
        name=own.meta.name,
        classes=own.meta.classes,
        index={},
        transform=own.transform,
        augment=own.augment,
        augment_frames=own.augment_frames,
        features=own.meta.features,
    )
