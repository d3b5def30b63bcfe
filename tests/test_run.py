"""The run directory: nobody shares one, and a trained network comes out of it as it went in."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import toy
from synaptrace.errors import UserError
from synaptrace.training import run as runs
from synaptrace.training.loop import fit


def test_directories_are_fresh_under_a_race(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: runs.create("a b/c", {"seed": i}, tmp_path), range(40)))
    assert len(set(made)) == 40
    for seed, directory in enumerate(made):
        assert "a-b-c" in directory.name
        assert yaml.safe_load((directory / "config.yaml").read_text()) == {"seed": seed}


def test_a_place_where_nothing_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="runs"):
        runs.create("x", {}, tmp_path / "runs")


@pytest.mark.parametrize("ema", [None, 0.5])
def test_load_returns_what_was_evaluated(tmp_path: Path, ema: float | None) -> None:
    net, rule = toy.make(train_label=True)
    fit(net, rule, toy.Toy(), epochs=3, lr=1e-2, ema=ema, run=tmp_path, progress=False)
    loaded, learner = runs.load(tmp_path, rule=True)
    assert loaded.spec == net.spec
    assert learner.spec == rule.spec
    for name, weight in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)
    last = runs.load(tmp_path / runs.LAST)
    assert last.state_dict().keys() == net.state_dict().keys()
    assert isinstance(learner.net, type(net))
    events, labels, _ = next(toy.Toy().batches("test"))
    learner.sequence(events, labels)


def test_load_keeps_the_precision(tmp_path: Path) -> None:
    net, rule = toy.make()
    net.double()
    rule.double()
    fit(net, rule, toy.Toy(), epochs=1, run=tmp_path, progress=False)
    loaded = runs.load(tmp_path)
    assert loaded.readout.weight.dtype == torch.float64
    assert torch.equal(loaded.readout.weight, net.readout.weight)


def test_directories_without_a_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run"):
        runs.load(tmp_path / "none")
    with pytest.raises(UserError, match="holds no checkpoint"):
        runs.load(tmp_path)
    (tmp_path / "seed-0").mkdir()
    with pytest.raises(UserError, match="holds 1 seeds; name one"):
        runs.load(tmp_path)


def test_broken_records_are_named(tmp_path: Path) -> None:
    assert runs.read_metrics(tmp_path) == []
    assert runs.read_summary(tmp_path) is None
    (tmp_path / runs.METRICS).write_text('{"epo')
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 1: can't be read"):
        runs.read_metrics(tmp_path)
    (tmp_path / runs.SUMMARY).write_text("{")
    with pytest.raises(UserError, match=r"summary\.json: can't be read"):
        runs.read_summary(tmp_path)


def test_seeds_are_averaged(tmp_path: Path) -> None:
    trained = []

    def train(seed: int, directory: Path) -> dict[str, Any]:
        trained.append(seed)
        summary = {"seed": seed, "test_accuracy": 0.9 + 0.02 * seed, "seconds": 1.0}
        runs.write_summary(directory, summary)
        return summary

    summary = runs.repeat(tmp_path, [0, 1, 2], train)
    assert trained == [0, 1, 2]
    assert summary["seeds"] == [0, 1, 2]
    assert summary["test_accuracy"]["mean"] == pytest.approx(0.92)
    assert summary["test_accuracy"]["sd"] == pytest.approx(0.02)  # sample s.d. of 0.90 0.92 0.94
    assert summary["validation_accuracy"] is None
    assert json.loads((tmp_path / "summary.json").read_text()) == summary


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    summary = runs.repeat(tmp_path, [5], lambda seed, _: {"seed": seed, "test_accuracy": 0.5})
    assert summary["test_accuracy"] == {"mean": 0.5, "sd": None, "values": [0.5]}
