"""The run directory: where it is, what lies in it, and how a trained network comes out of it.

RUN/config.yaml                     the resolved settings
RUN/metrics.jsonl                   one line an epoch
RUN/checkpoints/last.safetensors    where training stands, all that resuming needs
RUN/checkpoints/best.safetensors    the weights that validation picked
RUN/summary.json                    the outcome, written last
RUN/rehearsal.safetensors           of sound: a few training utterances (`rehearsal`)
RUN/seed-<n>/…                      the same again for each seed, where there are several
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, overload

import yaml

from synaptrace import build as networks
from synaptrace import builtin, rules
from synaptrace.config import Config, resolve
from synaptrace.errors import UserError
from synaptrace.files import sweep, write_atomic
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.training import checkpoint, lock, schema

CONFIG, METRICS, SUMMARY = "config.yaml", "metrics.jsonl", "summary.json"
LAST, BEST = "checkpoints/last.safetensors", "checkpoints/best.safetensors"
OUTCOMES = (
    "test_accuracy",
    "test_accuracy_last",
    "test_accuracy_best_paper_protocol",
    "validation_accuracy",
    "seconds",
)


def create(name: str, config: Mapping[str, Any], root: str | Path = "runs") -> Path:
    """Make a directory ``root/<date-time>-<name>`` that nobody else has, with its config.yaml.

    Raises:
        UserError: it can't be made or written.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}"
    number, run = 1, Path(root) / stem
    while True:
        try:
            run.mkdir(parents=True)
            break
        except FileExistsError as error:
            if not run.is_dir():
                raise UserError(f"{root}: not a directory") from error
            number += 1
            run = Path(root) / f"{stem}-{number}"
        except OSError as error:
            raise UserError(f"{run}: can't be made ({error.strerror})") from error
    write_config(run, config)
    return run


def write_config(run: Path, config: Mapping[str, Any]) -> None:
    """Write the resolved settings."""
    write_atomic(run / CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))


def read_config(run: Path) -> Config:
    """The settings of a run, checked again. Raises UserError where they can't be read."""
    return resolve(file=run / CONFIG)


def write_metrics(run: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write metrics.jsonl anew, so that no reader ever finds half a line."""
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines)
    write_atomic(run / METRICS, text)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl (`schema.Line`); none where the file isn't there yet."""
    return schema.read_lines(run / METRICS) if (run / METRICS).exists() else []


def last_line(run: Path) -> dict[str, Any]:
    """The last epoch's metrics. Raises UserError where there are none."""
    lines = read_metrics(run)
    if not lines:
        raise UserError(f"{run / METRICS}: is missing or empty, though its training is finished")
    return lines[-1]


def write_summary(run: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json."""
    write_atomic(run / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def read_summary(run: Path) -> dict[str, Any] | None:
    """The summary of a finished run (`schema.read_summary`), None before its end."""
    return schema.read_summary(run / SUMMARY) if (run / SUMMARY).exists() else None


def home(run: Path) -> Path:
    """The run directory that ``run`` is, or that a checkpoint lies in."""
    run = builtin.find(run)
    if not run.is_file():
        return run
    return run.parent.parent if run.parent.name == "checkpoints" else run.parent


def find(run: str | Path) -> Path:
    """The checkpoint that stands for ``run``: what validation picked, else the last, or the file.

    Raises:
        UserError: there is none.
    """
    run = builtin.find(run)
    if run.is_file():
        return run
    for name in (BEST, LAST):
        if (run / name).is_file():
            return run / name
    if not run.is_dir():
        known = ", ".join(builtin.names())
        raise UserError(f"{run}: no such run directory or checkpoint; built in: {known or 'none'}")
    seeds = sorted(path.name for path in run.glob("seed-*"))
    if seeds:
        raise UserError(f"{run}: holds {len(seeds)} seeds; name one, for example {run / seeds[0]}")
    raise UserError(f"{run}: holds no checkpoint; is it a run directory?")


@overload
def load(run: str | Path, rule: Literal[False] = False) -> Network: ...
@overload
def load(run: str | Path, rule: Literal[True]) -> tuple[Network, Rule]: ...
def load(run: str | Path, rule: bool = False) -> Network | tuple[Network, Rule]:
    """The trained network of a run directory or checkpoint; with ``rule``, its rule too.

    The weights are the averaged ones where training averaged them: those that were evaluated.

    Raises:
        UserError: no checkpoint, or one that can't be read (`checkpoint.load`).
    """
    path = find(run)
    tensors, meta = checkpoint.load(path)
    net = network_of(path, tensors, meta)
    if not rule:
        return net
    schema.check(schema.Checkpoint, meta, path)
    try:
        learner = rules.build(net, **meta["rule"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: its description of the rule is broken ({error})") from error
    learner.to(net.readout.weight.dtype)
    checkpoint.restore(learner, checkpoint.part(tensors, "rule"), path)
    return net, learner


def network_of(path: Path, tensors: checkpoint.Tensors, meta: Mapping[str, Any]) -> Network:
    """The network that the content of a checkpoint describes. Raises UserError as `load` does."""
    try:
        net = networks.build(meta["network"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: its description of the network is broken ({error})") from error
    weights = checkpoint.evaluated(tensors)
    if "readout.weight" in weights:
        net.to(weights["readout.weight"].dtype)
    checkpoint.restore(net, weights, path)
    return net


def repeat(
    run: Path, seeds: Iterable[int], train: Callable[[int, Path], dict[str, Any]]
) -> dict[str, Any]:
    """Train once for each seed, in ``run/seed-<n>/``, and write the mean ± s.d. over seeds.

    ``train(seed, directory)`` returns the run's summary and resumes what the directory holds, so
    that a killed series goes on where it was and nothing is trained twice.

    Returns:
        For each outcome its mean, its sample standard deviation (n − 1; None for one seed) and
        its values; None where a seed has no such outcome.
    """
    with lock.held(run):
        sweep(run / SUMMARY)
        return average([train(seed, run / f"seed-{seed}") for seed in seeds], run)


def average(summaries: Sequence[Mapping[str, Any]], run: Path) -> dict[str, Any]:
    """Write the mean ± s.d. of several seeds' outcomes to ``run``."""
    summary: dict[str, Any] = {"seeds": [each["seed"] for each in summaries]}
    summary["sd"] = "sample standard deviation over seeds (n - 1)"
    summary["samples"] = summaries[0].get("samples", {})
    for name in OUTCOMES:
        values = [each.get(name) for each in summaries]
        known = [value for value in values if value is not None]
        summary[name] = {
            "mean": statistics.fmean(known),
            "sd": statistics.stdev(known) if len(known) > 1 else None,
            "values": values,
        } if known and len(known) == len(values) else None  # fmt: skip
    write_summary(run, summary)
    return summary
