"""The targets in a run, a comparison and a cache: files that synaptrace wrote and reads again."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import torch

from fuzz.targets import Accepted, arrays, command, walk
from synaptrace import config, data, plots
from synaptrace.compare import plan as compare
from synaptrace.compare import run as runner
from synaptrace.compare import table
from synaptrace.data.tensors import TensorData
from synaptrace.files import write_atomic
from synaptrace.training import job
from synaptrace.training import run as runs

SMALL = {
    "data.name": "folder", "data.rows": "16", "data.columns": "16", "data.batch_size": "4",
    "model.hidden": "[4]", "train.epochs": "2", "neuron.threshold": "0.3", "train.threads": "1",
}  # fmt: skip


def trained(folder: Path, finished: bool = True) -> None:
    """A run of two epochs on six recordings, in ``folder/run``; its data lie beside it."""
    arrays(folder)
    os.environ["SYNAPTRACE_DATA"] = str(folder / "home")
    settings = config.resolve(overrides={**SMALL, "data.path": str(folder / "in")})
    run = folder / "run"
    run.mkdir()
    runs.write_config(run, settings.model_dump())
    job.once(settings, run, job.load_data(settings), progress=False)
    if not finished:
        (run / runs.SUMMARY).unlink()


@cache
def weights(run: Path) -> dict[str, torch.Tensor]:
    return runs.load(run).state_dict()


def loaded(folder: Path) -> None:
    """`load`, network and rule, of both checkpoints: the weights that were saved, or none."""
    original = weights(folder.parent / "checkpoint" / "run")
    net, _ = runs.load(folder / "run", rule=True)
    for name, tensor in net.state_dict().items():
        if name in original and not torch.equal(tensor, original[name]):
            raise Accepted(f"other weights, {name}")
    job.trained(folder / "run").load_data()


def resumed(folder: Path) -> None:
    job.resume(folder / "run", progress=False)


def evaluated(folder: Path) -> None:
    command("evaluate", folder / "run", "--json")


def kept(folder: Path) -> None:
    """Tensors that a run trained from Python keeps, of two lengths, in ``folder/run``."""
    draws = torch.Generator().manual_seed(0)
    events = torch.randint(3, (20, 5, 4), generator=draws)
    made = TensorData(
        events, torch.arange(20) % 2, lengths=3 + torch.arange(20) % 3, batch_size=8, name="kept"
    )
    (folder / "run").mkdir()
    made.save(folder / "run")


def tensors_read(folder: Path) -> None:
    """All batches of what was kept."""
    walk(data.load("tensors", path=folder / "run", batch_size=8))


def curve(folder: Path) -> None:
    plots.learning_curve(folder / "run", folder / "curve.png")


def compared(folder: Path) -> None:
    """A finished comparison of one rule, in ``folder/out``."""
    arrays(folder)
    os.environ["SYNAPTRACE_DATA"] = str(folder / "home")
    plan = planned(folder)
    write_atomic(
        plan.out / compare.ABOUT, json.dumps(compare.about(plan.configs, plan.rates, plan.seeds))
    )
    for task in plan.first("tp"):
        runner.once(plan.config(task), plan.run(task), 1)


def planned(folder: Path) -> compare.Plan:
    path = str(folder.parent / "comparison" / "in")
    given = {**SMALL, "train.epochs": "1", "data.path": path}
    return compare.plan(["tp"], overrides=given, rates=[1e-3], seeds=1, out=folder / "out")


def tabled(folder: Path) -> None:
    plan = planned(folder)
    rows = [runner.row(plan, "tp")]
    table.terminal(rows)
    table.markdown(rows)
    table.as_csv(rows)


def prepared(folder: Path) -> None:
    """A cache of six recordings, in ``folder/home``."""
    arrays(folder)
    os.environ["SYNAPTRACE_DATA"] = str(folder / "home")
    walk(data.load("folder", path=folder / "in", rows=16, columns=16))


def opened(folder: Path) -> None:
    from synaptrace.data.cache import Cache

    (place,) = (folder / "home" / "prepared").glob("folder-*")
    found = Cache(place)
    found.verify()
    for i in range(len(found)):
        found[i]
