"""A training that is killed with SIGKILL and resumed ends as the uninterrupted one, bit for bit."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import toy
from patience import LIMIT, until
from processes import PROCESSES
from synaptrace.errors import UserError
from synaptrace.training import checkpoint
from synaptrace.training.loop import fit
from synaptrace.training.run import BEST, LAST, read_metrics, read_summary

OWN = ("seconds", "peak_memory_bytes", "run_id")
"""What differs between two runs of the same training."""


def start(run: Path, update: str, every_seconds: float, death: str = "") -> Any:
    process = PROCESSES.Process(target=toy.live, args=(run, update, every_seconds, death))
    process.start()
    return process


def without_own(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in OWN}


def assert_same(one: Path, other: Path) -> None:
    for name in (LAST, BEST):
        (left, about), (right, said) = checkpoint.load(one / name), checkpoint.load(other / name)
        assert left.keys() == right.keys()
        for key in left:
            assert left[key].dtype == right[key].dtype
            assert torch.equal(left[key], right[key]), key
        for each in (about, said):
            each["progress"] = without_own(each["progress"])
        assert without_own(about) == without_own(said)
    metrics = [list(map(without_own, read_metrics(run))) for run in (one, other)]
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) == 3
    summaries = [read_summary(run) for run in (one, other)]
    assert without_own(summaries[0] or {}) == without_own(summaries[1] or {}) != {}
    assert sorted(other.glob("checkpoints/*")) == [other / BEST, other / LAST]  # nothing left over


@pytest.mark.parametrize(
    ("update", "every_seconds", "deaths"),
    [
        # A checkpoint after every batch: resumed in the middle of epochs.
        ("step", 0, ["batch 3 1", "before last.safetensors 2", "after last.safetensors 4",
                     "before best.safetensors 1", "after metrics.jsonl 1"]),
        # Checkpoints at epochs' ends alone: the work since is done again.
        ("sequence", 1e9, ["batch 0 1", "batch 4 2", "before metrics.jsonl 1",
                           "before last.safetensors 1", "before summary.json 1"]),
    ],
)  # fmt: skip
def test_killed_at_chosen_moments(
    update: str, every_seconds: float, deaths: list[str], tmp_path: Path
) -> None:
    for death in deaths:
        process = start(tmp_path / "killed", update, every_seconds, death)
        process.join(LIMIT)
        assert process.exitcode == -signal.SIGKILL, death
    for run in ("killed", "whole"):
        process = start(tmp_path / run, update, every_seconds)
        process.join(LIMIT)
        assert process.exitcode == 0
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_killed_from_outside(tmp_path: Path) -> None:
    run = tmp_path / "killed"
    process = start(run, "sequence", 0, "wait at batch 4 3")  # however late the kill, it is amid it
    until(lambda: (run / LAST).exists() or not process.is_alive())
    time.sleep(0.02)
    process.kill()
    process.join(LIMIT)
    assert process.exitcode == -signal.SIGKILL
    assert read_summary(run) is None
    checkpoint.load(run / LAST)  # whole
    for directory in (run, tmp_path / "whole"):
        process = start(directory, "sequence", 0)
        process.join(LIMIT)
    assert_same(tmp_path / "whole", run)


@pytest.mark.parametrize("update", ["sequence", "step"])
def test_moments_of_two_groups_come_back(update: str, tmp_path: Path) -> None:
    class Cut(toy.Toy):
        def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
            for batch in super().batches(split, generator):
                if self.drawn.count(("train", 2)) == 2:
                    raise KeyboardInterrupt  # in the second epoch
                yield batch

    with pytest.raises(KeyboardInterrupt):
        toy.train(tmp_path / "cut", update, 0, Cut(), lr_readout=4e-2)
    toy.train(tmp_path / "cut", update, 0, toy.Toy(), lr_readout=4e-2)
    toy.train(tmp_path / "whole", update, 0, toy.Toy(), lr_readout=4e-2)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_run_without_a_rate_of_its_own_goes_on_without(tmp_path: Path) -> None:
    net, rule = toy.make(train_label=True)
    options: dict[str, Any] = {"epochs": 1, "lr": 1e-2, "run": tmp_path, "progress": False}
    fit(net, rule, toy.Toy(), **options)
    assert "lr_readout" not in checkpoint.load(tmp_path / LAST)[1]["train"]
    (tmp_path / "summary.json").unlink()
    with pytest.raises(UserError, match=r"trained with train lr_readout None, not 0\.04"):
        fit(net, rule, toy.Toy(), **options, resume=True, lr_readout=4e-2)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first = toy.train(tmp_path, "sequence", 1e9, toy.Toy())
    data = toy.Toy()
    assert toy.train(tmp_path, "sequence", 1e9, data) == first
    assert not data.drawn


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    net, rule = toy.make()
    toy.fit(net, rule, toy.Toy(), epochs=1, run=tmp_path, progress=False)
    (tmp_path / "summary.json").unlink()
    with pytest.raises(UserError, match=r"last\.safetensors: trained with train epochs 1, not 2"):
        toy.fit(net, rule, toy.Toy(), epochs=2, run=tmp_path, progress=False, resume=True)
    with pytest.raises(UserError, match="holds a training already"):
        toy.fit(net, rule, toy.Toy(), epochs=1, run=tmp_path, progress=False)


def test_metrics_are_whole_lines(tmp_path: Path) -> None:
    toy.train(tmp_path, "sequence", 1e9, toy.Toy())
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
