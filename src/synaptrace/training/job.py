"""A run from its settings: data, network, rule, training; what came of it is handed to `Draw`."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synaptrace import build as networks
from synaptrace import builtin, data, rules
from synaptrace.config import Config
from synaptrace.data.dataset import Dataset, Meta
from synaptrace.data.tensors import FILE as TENSORS
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import checkpoint, parts, rehearsal, schema, team, together
from synaptrace.training import run as runs
from synaptrace.training.checks import afford, check
from synaptrace.training.loop import Diverged, fit

Summary = dict[str, Any]
Draw = Callable[[Path, Network, Dataset], None]
"""Draws a finished run's pictures: its directory, its picked network, its data."""


def load_data(config: Config) -> Dataset:
    """The data set that the settings name. Raises UserError as its loader does."""
    return data.load(**config.data)


def recorded(config: Config, run: Path) -> Config:
    """The settings as the trainings below ``run`` took them, if there are any."""
    for file in sorted(run.rglob(runs.LAST)):
        meta = schema.check(schema.Checkpoint, checkpoint.load(file)[1], file)
        return meant(config, meta["data"]["classes"])
    return config


def meant(config: Config, classes: Sequence[str]) -> Config:
    """The settings as a training that has ``classes`` took them (`data.recorded`)."""
    return config.model_copy(update={"data": data.recorded(config.data, classes)})


def build(config: Config, dataset: Dataset) -> tuple[Network, Rule]:
    """The network and the rule, with the initial weights of the run's seed.

    Raises:
        UserError: settings that don't fit together, or don't fit the data.
    """
    meta, draws = dataset.meta, generator(config.train["seed"], "weights")
    if len(meta.classes) < 2:
        raise UserError(f"{config.data.get('path') or meta.name}: needs two classes at least")
    model = dict(config.model)
    if model["kind"] == "mlp":
        model["inputs"] = math.prod(meta.shape)
    else:
        model["in_shape"] = meta.shape
    spec = {**model, "classes": len(meta.classes), "neuron": config.neuron}
    afford(spec)
    net = networks.build(spec, generator=draws)
    return net, rules.build(net, **config.rule, generator=draws)


def start(config: Config, *, root: str | Path = "runs", progress: bool = True,
          tell: Callable[[Path], None] = lambda run: None,
          draw: Draw | None = None,
          name: str | None = None) -> tuple[Path, Summary]:  # fmt: skip
    """Train in a fresh run directory below ``root``; all that can be checked is checked first.

    Args:
        tell: is called with the directory as soon as it is there.
        draw: is called with each seed's run when it has finished; None: no pictures.
        name: of the run, in that of its directory; None: the settings'.

    Returns:
        The directory and the summary.

    Raises:
        UserError: bad settings or data; no directory is left behind unless an epoch was done.
    """
    crew = team.present()
    run, dataset = prepare(config, root, name)
    if not crew.rank:
        tell(run)
    try:
        return run, go_on(config, run, dataset, progress, draw)
    except UserError as error:
        if crew.rank:
            raise
        if not isinstance(error, Diverged) and not any(run.rglob(runs.METRICS)):
            shutil.rmtree(run)
        raise


def prepare(
    config: Config, root: str | Path = "runs", name: str | None = None
) -> tuple[Path, Dataset]:
    """A fresh run directory below ``root``, in which nothing is trained yet, and its data.

    Args:
        name: as `start` takes it.

    Raises:
        UserError: bad settings or data; there is no directory then.
    """
    crew = team.present()
    together.agree_on_settings(crew, config)
    dataset = crew.in_turn(lambda: load_data(config))
    net, rule = build(config, dataset)
    check(net, dataset, **config.train)
    parts.check(rule, dataset, crew, config.train.get("micro_batch"))
    run = Path(crew.tell(lambda: str(runs.create(name or config.name, config.model_dump(), root))))
    return run, dataset


def moved(config: Config, path: str | None) -> Config:
    """The settings, with the data's files in ``path`` now; None: where they were."""
    if path is None:
        return config
    where = str(Path(path).expanduser().absolute())
    return config.model_copy(update={"data": {**config.data, "path": where}})


def resume(
    run: str | Path, *, progress: bool = True, data_path: str | None = None,
    draw: Draw | None = None, seed: int | None = None,
) -> Summary:  # fmt: skip
    """Go on with a run that was cut off; of a finished one, only the pictures are drawn again.

    Args:
        data_path: where the data's files are now, if they have moved.
        draw: as `start` takes it.
        seed: of several seeds, train this one alone; where it is finished, do nothing.

    Returns:
        The summary, of the seed where one is named.

    Raises:
        UserError: no run directory, or one whose files can't be read or don't fit; no such seed.
    """
    run = Path(run)
    if not (run / runs.CONFIG).is_file() and (run / runs.LAST).is_file():
        raise UserError(f"{run}: was trained from Python; call st.fit(…, resume=True) there again")
    if not (run / runs.CONFIG).is_file():
        raise UserError(f"{run}: no run directory (it has no {runs.CONFIG})")
    config = moved(runs.read_config(run), data_path)
    if seed is not None:
        seeds = seeds_of(config)
        if config.seeds == 1 or seed not in seeds:
            each = ", ".join(map(str, seeds))
            raise UserError(f"--seed: {run} has no seed {seed} of its own; it trains {each}")
        found = runs.read_summary(run / f"seed-{seed}")
        if found is not None:
            return found
    crew = team.present()
    together.agree_on_settings(crew, config)
    dataset = crew.in_turn(lambda: load_data(recorded(config, run)))
    if seed is not None:
        return one_seed(config, seed, run / f"seed-{seed}", dataset, progress, draw)
    return go_on(config, run, dataset, progress, draw)


def go_on(
    config: Config, run: Path, dataset: Dataset, progress: bool = True, draw: Draw | None = None
) -> Summary:
    """Train in ``run`` from wherever it stands: once, or once a seed."""
    if config.seeds == 1:
        return once(config, run, dataset, progress, draw)

    def train(seed: int, place: Path) -> Summary:
        return one_seed(config, seed, place, dataset, progress, draw)

    if team.present().rank:  # all is written by the first process
        return [train(seed, run / f"seed-{seed}") for seed in seeds_of(config)][-1]
    return runs.repeat(run, seeds_of(config), train)


def seeds_of(config: Config) -> range:
    """The seeds that the settings ask for."""
    return range(int(config.train["seed"]), int(config.train["seed"]) + config.seeds)


def one_seed(
    config: Config, seed: int, place: Path, dataset: Dataset, progress: bool, draw: Draw | None
) -> Summary:
    """Train one of several seeds in ``place``, its own directory."""
    own = config.with_train(seed=seed).model_copy(update={"seeds": 1})
    if not team.present().rank and not (place / runs.CONFIG).exists():
        runs.write_config(place, own.model_dump())
    return once(own, place, dataset, progress, draw)


def once(
    config: Config, run: Path, dataset: Dataset, progress: bool = True, draw: Draw | None = None
) -> Summary:
    """Train one seed in ``run``, then call ``draw`` where there is one."""
    net, rule = build(config, dataset)
    summary = fit(
        net, rule, dataset, **config.train, run=run, resume=True, progress=progress,
        config=config.model_dump(),
    )  # fmt: skip
    if team.present().rank:
        return summary
    summary = rehearsal.keep(run, dataset, summary, config.train["seed"])
    if draw is not None:
        draw(run, net, dataset)
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
        """The data that the settings name, verified (a fine-tuned run's: `keyword.reopen`).

        Raises:
            UserError: they can't be read, or have changed since.
        """
        dataset = load_data(self.config)
        self.verify(dataset.meta)
        return dataset

    def verify(self, meta: Meta) -> None:
        """Raises UserError unless data are those that the network was trained on."""
        split = meta.split_hash == self.split_hash or builtin.owns(self.run)  # any copy will do
        if meta.classes != self.classes or not split:
            raise UserError(
                f"data: {meta.name} has other classes or another split than when {self.run} was "
                "trained; evaluate it on the same files"
            )


def from_python(file: Path, meta: dict[str, Any], kept: Path, data_path: str | None) -> Config:
    """The settings of a run that was trained from Python, its data being the tensors beside it.

    Raises:
        UserError: there are none, neither there nor at ``data_path``.
    """
    if data_path is None and not kept.exists():
        raise UserError(
            f"{file}: was trained from Python on {meta['data']['name']}, which isn't kept beside "
            f"it; give a file of TensorData.save as --data.path, or call "
            f"st.evaluate({str(kept.parent)!r}, data)"
        )
    network = dict(meta["network"])
    data = {"name": "tensors", "path": str(kept if data_path is None else data_path)}
    return Config(
        name=meta["data"]["name"], data=data, model=network, neuron=network.get("neuron", {}),
        rule=meta["rule"], train=meta["train"],
    )  # fmt: skip


def trained(path: str | Path, data_path: str | None = None) -> Trained:
    """The picked network of a run directory, or the network of a checkpoint in one.

    Args:
        data_path: where the data's files are now, if they have moved.

    Raises:
        UserError: no checkpoint, one that can't be read, or one without its data's settings.
    """
    file = runs.find(path)
    tensors, meta = checkpoint.load(file)
    schema.check(schema.Checkpoint, meta, file)
    about, home = meta["data"], runs.home(file)
    if meta.get("config") is None:
        config = from_python(file, meta, home / TENSORS, data_path)
    else:
        schema.check(schema.Run, meta["config"], f"{file}: config")
        config = moved(meant(Config(**meta["config"]), about["classes"]), data_path)
    return Trained(
        run=home,
        net=runs.network_of(file, tensors, meta),
        config=config,
        classes=tuple(about["classes"]),
        split_hash=about["split_hash"],
        features=about.get("features"),
    )
