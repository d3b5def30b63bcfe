"""Fine-tuning to one's own recordings: a folder of words, known ones and new ones.

    RUN/finetune/<folder>-<hash>-<hash>/<cell>/   checkpoints, and summary.json at the end

The hashes are of the recordings and of RUN's weights, so other ones make another directory; the
result is listened with like any run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from synaptrace import shots
from synaptrace.adapt import Keep, adapt
from synaptrace.data import folder
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.seeds import generator
from synaptrace.study.personal import AT_ONCE, Cell, digest, learner, load, measure
from synaptrace.training import job
from synaptrace.training import run as runs

ENOUGH = 5
"""Recordings of a word from which a fifth is kept to judge by."""


def tune(
    path: Path, words: Path, cell: Cell, *, seed: int = 0, out: Path | None = None
) -> tuple[Path, dict[str, Any]]:
    """Fine-tune the run ``path`` to the folder ``words``; a word that it doesn't know is added.

    Returns:
        The directory, and the summary: accuracy on the query, the fifth that was kept of words
        with `ENOUGH` recordings, and on the run's own test set ("general"), before and after.

    Raises:
        UserError: a run that wasn't trained on sound, recordings that can't be read.
    """
    trained = job.trained(path)
    if trained.features is None:
        raise UserError(f"{path}: was not trained on sound")
    own = recordings(words, trained.config.data, trained.features)
    fresh = [word for word in own.meta.classes if word not in trained.classes]
    classes = [*trained.classes, *fresh]
    assert own.cache is not None
    place = f"{words.resolve().name}-{own.cache.folder.name[-8:]}"
    run = (out or trained.run / "finetune") / f"{place}-{digest(path)}" / cell.name
    done = runs.read_summary(run)
    if done is not None:
        return run, done

    net, rule = learner(path, cell.contrast)
    for word in fresh:
        net.add_class()
        rule.add_class(generator=generator(seed, "word", word))
    own = shots.view(own, {}, classes=classes, features=trained.features)
    support, query = parts(own)
    rows = shots.draw(own, support, cell.shots, seed)

    old = load(trained.config)  # not Trained.load_data: a fine-tuned run may be tuned again
    known, test = old.index["train"].tolist(), old.index.get("test", torch.empty(0)).tolist()
    old = shots.view(
        old, {"general": test}, batch_size=AT_ONCE, classes=classes, features=trained.features
    )
    keep = Keep.parse(cell.keep)
    buffer = shots.draw(old, known, keep.rehearse, seed) if keep.rehearse else []
    both = joined(own, old, buffer)
    seen = shots.view(both, {"train": rows, "query": query}, batch_size=AT_ONCE)

    def score() -> dict[str, float | None]:
        return measure(net, seen, ["query"]) | measure(net, old, ["general"])

    before = score()
    costs = adapt(
        net, rule, seen, rows, batch_size=cell.batch, epochs=cell.epochs, lr=cell.lr,
        update=trained.config.train["update"], keep=keep, seed=seed, run=run,
        buffer=range(len(own.labels), len(both.labels)), config=trained.config.model_dump(),
    )  # fmt: skip
    found = {
        **vars(cell), "seed": seed, "new_words": fresh, "samples": len(rows),
        "sizes": {"query": len(query), "general": len(test)},
        "before": before, "after": score(), **costs,
    }  # fmt: skip
    runs.write_summary(run, found)
    (run / runs.LAST).unlink(missing_ok=True)
    return run, found


def recordings(
    path: Path, settings: Mapping[str, Any], features: Mapping[str, Any]
) -> ArrayDataset:
    """The folder's sound, mixed down, resampled and cut as the run's was.

    Raises:
        UserError: as `folder.load` does; events in place of sound.
    """
    mel = features["mel"]
    found = folder.load(
        path=path, rate=mel["rate"], window=mel["window"], hop=mel["hop"], bands=mel["bands"],
        seconds=float(settings.get("seconds", 1.0)), form=features["form"],
        encoding=features["encoding"], threshold=features["threshold"],
        shift=settings["shift"], noise=settings["noise"],
    )  # fmt: skip
    if not isinstance(found, ArrayDataset):
        raise UserError(f"{path}: holds events, where the run was trained on sound")
    return found


def parts(data: ArrayDataset) -> tuple[list[int], list[int]]:
    """Support and query: every recording of a word that has few, else four fifths and one."""
    everything = range(len(data.labels))
    counts = data.labels.bincount()
    few = [row for row in everything if counts[data.labels[row]] < ENOUGH]
    many = [row for row in everything if counts[data.labels[row]] >= ENOUGH]
    support, query = shots.cut(data, many) if many else ([], [])
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
        features=own.meta.features,
    )
