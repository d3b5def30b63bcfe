"""A run from its settings: data, network, rule, training, pictures."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from synaptrace import data, network, rules
from synaptrace.config import Config
from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.files import sweep
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import checkpoint, schema
from synaptrace.training import run as runs
from synaptrace.training.loop import Diverged, check, fit

Summary = dict[str, Any]


def load_data(config: Config) -> Dataset:
    """The data set that the settings name. Raises UserError as its loader does."""
    return data.load(**config.data)


def build(config: Config, dataset: Dataset) -> tuple[Network, Rule]:
    """The network and the rule, with the initial weights of the run's seed.

    Raises:
        UserError: settings that don't fit together, or don't fit the data.
    """
    meta, draws = dataset.meta, generator(config.train["seed"], "weights")
    model = dict(config.model)
    if model["kind"] == "mlp":
        model["inputs"] = math.prod(meta.shape)
    else:
        model["in_shape"] = meta.shape
    spec = {**model, "classes": len(meta.classes), "neuron": config.neuron}
    afford(spec)
    net = network.build(spec, generator=draws)
    return net, rules.build(net, **config.rule, generator=draws)


def afford(spec: dict[str, Any]) -> None:
    """Raises UserError for a network whose weights this machine's memory can't hold."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with torch.device("meta"):
            net = network.build(spec)
        needed = sum(weight.nbytes for weight in net.parameters())
    except (RuntimeError, OverflowError) as error:  # more than an address can be
        raise UserError(f"model: is too large for any machine ({error})") from error
    if needed > memory:
        raise UserError(
            f"model: its weights need {needed / 2**30:.1f} GiB, and this machine has "
            f"{memory / 2**30:.1f} GiB; make it smaller"
        )


def start(config: Config, *, root: str | Path = "runs", progress: bool = True,
          tell: Callable[[Path], None] = lambda run: None) -> tuple[Path, Summary]:  # fmt: skip
    """Train in a fresh run directory below ``root``; all that can be checked is checked first.

    Returns:
        The directory and the summary. ``tell`` hears of the directory as soon as it is there.

    Raises:
        UserError: bad settings or data; no directory is left behind unless an epoch was done.
    """
    dataset = load_data(config)
    net, _ = build(config, dataset)
    check(net, dataset, **config.train)
    run = runs.create(config.name, config.model_dump(), root)
    tell(run)
    try:
        return run, go_on(config, run, dataset, progress)
    except UserError as error:
        if not isinstance(error, Diverged) and not any(run.rglob(runs.METRICS)):
            shutil.rmtree(run)
        raise


def resume(run: str | Path, *, progress: bool = True) -> Summary:
    """Go on with a run that was cut off; of a finished one, only the pictures are drawn again.

    Raises:
        UserError: no run directory, or one whose files can't be read or don't fit.
    """
    run = Path(run)
    if not (run / runs.CONFIG).is_file():
        raise UserError(f"{run}: no run directory (it has no {runs.CONFIG})")
    config = runs.read_config(run)
    return go_on(config, run, load_data(config), progress)


def go_on(config: Config, run: Path, dataset: Dataset, progress: bool = True) -> Summary:
    """Train in ``run`` from wherever it stands: once, or once a seed."""
    if config.seeds == 1:
        return once(config, run, dataset, progress)
    first = int(config.train["seed"])

    def train(seed: int, directory: Path) -> Summary:
        own = config.with_train(seed=seed).model_copy(update={"seeds": 1})
        if not (directory / runs.CONFIG).exists():
            runs.write_config(directory, own.model_dump())
        return once(own, directory, dataset, progress)

    return runs.repeat(run, range(first, first + config.seeds), train)


def once(
    config: Config, run: Path, dataset: Dataset, progress: bool = True, pictures: bool = True
) -> Summary:
    """Train one seed in ``run``, and draw its pictures."""
    net, rule = build(config, dataset)
    summary = fit(
        net, rule, dataset, **config.train, run=run, resume=True, progress=progress,
        config=config.model_dump(),
    )  # fmt: skip
    if pictures:
        from synaptrace.study import plots

        for picture in (plots.CURVE, plots.EMBEDDING):
            sweep(run / picture)  # a kill left it half-written
        plots.learning_curve(run)
        plots.embedding(net, dataset, run / plots.EMBEDDING)
    return summary


@dataclass(frozen=True)
class Trained:
    """What evaluation, prediction and pictures need of a run."""

    run: Path
    net: Network
    config: Config
    classes: tuple[str, ...]
    split_hash: str
    features: dict[str, Any] | None
    """How sound became events (`Meta.features`)."""

    def load_data(self) -> Dataset:
        """The data that the network was trained on.

        Raises:
            UserError: they can't be read, or have changed since.
        """
        dataset = load_data(self.config)
        meta = dataset.meta
        if meta.classes != self.classes or meta.split_hash != self.split_hash:
            raise UserError(
                f"data: {meta.name} has other classes or another split than when {self.run} was "
                "trained; evaluate it on the same files"
            )
        return dataset


def trained(path: str | Path) -> Trained:
    """The picked network of a run directory, or the network of a checkpoint in one.

    Raises:
        UserError: no checkpoint, one that can't be read, or one without its data's settings.
    """
    file = runs.find(path)
    tensors, meta = checkpoint.load(file)
    schema.check(schema.Checkpoint, meta, file)
    if meta.get("config") is None:
        raise UserError(f"{file}: was trained from Python and doesn't say on which data")
    schema.check(schema.Run, meta["config"], f"{file}: config")
    about, folder = meta["data"], file.parent
    return Trained(
        run=folder.parent if folder.name == "checkpoints" else folder,
        net=runs.network_of(file, tensors, meta),
        config=Config(**meta["config"]),
        classes=tuple(about["classes"]),
        split_hash=about["split_hash"],
        features=about.get("features"),
    )
