"""What a trial is worth: validation accuracy at the last epoch, the mean over its seeds.

The test set isn't read: a trial sees the data without it (`Untested`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from synaptrace.config import Config, resolve
from synaptrace.data.dataset import Batch, Dataset, Meta
from synaptrace.errors import UserError
from synaptrace.sweep.space import as_text
from synaptrace.training import job
from synaptrace.training import run as runs
from synaptrace.training.checks import check
from synaptrace.training.loop import fit

Report = Callable[[int, float], None]
"""Is told an epoch, from 1 on, and the first seed's validation accuracy after it."""


@dataclass(frozen=True)
class Untested:
    """A data set of which the test samples are out of reach."""

    whole: Dataset

    @property
    def meta(self) -> Meta:
        """As if there were no test set."""
        meta = self.whole.meta
        sizes = {split: size for split, size in meta.sizes.items() if split != "test"}
        return replace(meta, sizes=sizes, test_split=None)

    @property
    def ahead(self) -> bool:
        """As the whole."""
        return getattr(self.whole, "ahead", False)

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Batches of any split but the test set's, which has none."""
        return iter(()) if split == "test" else self.whole.batches(split, generator)


def objective(
    overrides: Mapping[str, Any], *, preset: str | None = None, file: str | Path | None = None,
    seeds: int = 1, run: str | Path | None = None, report: Report | None = None,
) -> float:  # fmt: skip
    """Train with ``overrides`` and return the validation accuracy, a share of 1.

    Any client can call it: Ray Tune, Optuna, a script on a cluster. The same arguments give the
    same number. The test set isn't read.

    Args:
        overrides: {"section.key": value}, a value as YAML has it or as text.
        preset, file: the settings below them, as `synaptrace train` takes them.
        seeds: how many to train, from train.seed on; the mean counts.
        run: directory for a run directory a seed; what lies there goes on. None: no files.
        report: is called after every epoch of the first seed with the epoch (1, 2, …) and its
            validation accuracy; an exception that it raises ends the training, and comes out.

    Raises:
        UserError: settings that can't be, or data without validation samples.
        Diverged: a loss or a weight is not finite.
    """
    if seeds < 1:
        raise UserError(f"seeds: {seeds} is not a positive number")
    texts = {key: value_text(value) for key, value in overrides.items()}
    config = resolve(preset=preset, file=file, overrides=texts, seeds=1)
    place = None if run is None else Path(run)
    return statistics.fmean(scores(config, job.load_data(config), seeds, place, report))


def value_text(value: Any) -> str:
    """A single value as the command line takes it."""
    return f"[{as_text(value)}]" if isinstance(value, list | tuple) else as_text(value)


def fits(config: Config, dataset: Dataset) -> None:
    """Raises UserError unless a network can be trained with these settings, and judged."""
    if config.train["paper_protocol"]:
        raise UserError("train.paper_protocol: reads the test set every epoch; a sweep never does")
    net, _ = job.build(config, dataset)
    check(net, dataset, **config.train)
    if not dataset.meta.sizes.get("validation"):
        raise UserError(f"data: {dataset.meta.name} has no validation samples to judge trials by")


def scores(
    config: Config, dataset: Dataset, seeds: int, run: Path | None = None,
    report: Report | None = None,
) -> list[float]:  # fmt: skip
    """Validation accuracy at the last epoch of each seed, a share of 1.

    What ``run`` holds of an earlier process goes on, and its epochs are reported anew.
    """
    fits(config, dataset)
    first = int(config.train["seed"])
    return [
        one(config.with_train(seed=seed), dataset, run, report if seed == first else None)
        for seed in range(first, first + seeds)
    ]


def one(config: Config, dataset: Dataset, run: Path | None, report: Report | None) -> float:
    """The last validation accuracy of one training."""
    found: dict[int, float] = {}

    def note(line: Mapping[str, Any]) -> None:
        known = line["epoch"] in found
        found[line["epoch"]] = line["validation_accuracy"]
        if report is not None and not known:
            report(line["epoch"], line["validation_accuracy"])

    net, rule = job.build(config, dataset)
    place = None if run is None else run / f"seed-{config.train['seed']}"
    if place is not None:
        if not (place / runs.CONFIG).exists():
            runs.write_config(place, config.model_dump())
        for line in runs.read_metrics(place):
            note(line)
    fit(
        net, rule, Untested(dataset), **config.train, run=place, resume=True, progress=False,
        config=config.model_dump(), after_epoch=note,
    )  # fmt: skip
    return found[config.train["epochs"]]
