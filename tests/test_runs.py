"""`synaptrace runs`: what was trained, what is broken, and a name of one's own."""

import json
import os
import shutil
from pathlib import Path

import pytest

import synaptrace as st
from synaptrace import cli, locks, runs
from synaptrace.compare import plan as comparisons
from synaptrace.errors import UserError
from synaptrace.keyword import plan as finetunings
from synaptrace.sweep import plan as sweeps
from synaptrace.training import lock

OLD = Path(__file__).parent / "old_run"
SMALL = ["--model.hidden", "[8]", "--data.batch_size", "512", "--data.dt", "60",
         "--train.epochs", "1", "--quiet"]  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs of an earlier version, one of them broken."""
    for name in ("finished", "cut_off"):
        shutil.copytree(OLD / name, tmp_path / f"20260131-120000-{name}")
    shutil.copytree(OLD / "finished", tmp_path / "deep" / "down" / "broken")
    (tmp_path / "deep" / "down" / "broken" / "summary.json").write_text("{half")
    return tmp_path


def test_states_and_accuracies(root: Path) -> None:
    found = {run["name"]: run for run in st.runs.listed(root)}
    assert {name: run["state"] for name, run in found.items()} == {
        "finished": "finished", "cut_off": "cut off", "broken": "broken"
    }  # fmt: skip
    summary = json.loads((OLD / "finished" / "summary.json").read_text())
    assert found["finished"]["test"] == summary["test_accuracy"]
    assert found["finished"]["validation"] == summary["validation_accuracy"]
    assert found["finished"]["when"] == "2026-01-31T12:00:00"
    assert "summary.json: can't be read" in found["broken"]["problem"]
    assert found["broken"]["data"] == found["finished"]["data"]
    with lock.held(root / "20260131-120000-cut_off"):
        (run,) = st.runs.listed(root, where=["name=cut*"])
        assert run["state"] == "running"


def test_who_looks_keeps_nobody_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = root / "20260131-120000-cut_off"
    seen = []

    def glance(seconds: float) -> None:
        seen.append(seconds)
        os.close(handle)

    handle = os.open(run / lock.LOCK, os.O_RDONLY | os.O_CREAT)
    locks.lock(handle, shared=True)  # amid `lock.taken`
    assert not lock.taken(run)
    monkeypatch.setattr(lock.time, "sleep", glance)
    with lock.held(run):
        assert lock.taken(run)
        with pytest.raises(lock.Busy, match=f"process {os.getpid()} on"), lock.held(run):
            pass
    assert len(seen) == 1


def test_a_run_of_a_study_is_named_by_its_place(tmp_path: Path) -> None:
    assert runs.STUDIES == (comparisons.ABOUT, sweeps.ABOUT, finetunings.ABOUT)
    places = {
        "c/tp/lr-0.001/seed-0": "tp/lr-0.001/seed-0", "s/trial-0003/seed-1": "trial-0003/seed-1",
        "s/final/winner/seed-2": "final/winner/seed-2", "c/tune/tp/trial-0000/seed-0": None,
        "f/theo/seed-0/pretrained": "theo/seed-0/pretrained", "ray/seed-0": "ray/seed-0",
        "20260131-120000-mine": "mine",
    }  # fmt: skip
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / runs.METRICS).touch()
    for study in ("c/comparison.json", "s/sweep.json", "c/tune/tp/sweep.json", "f/finetune.json"):
        (tmp_path / study).touch()
    found = {Path(run["run"]).relative_to(tmp_path): run for run in runs.listed(tmp_path)}
    for place, name in places.items():
        assert found[Path(place)]["name"] == (name or "tune/tp/trial-0000/seed-0")
    (one,) = runs.listed(tmp_path / "c" / "tp" / "lr-0.001" / "seed-0")
    assert one["name"] == "tp/lr-0.001/seed-0"


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"name: 3\ntrain: 4", b"a: &a [*a]"])
def test_a_broken_run_is_listed(root: Path, content: bytes) -> None:
    (root / "20260131-120000-cut_off" / "config.yaml").write_bytes(content)
    (run,) = st.runs.listed(root, where=["name=cut_off"])
    assert run["state"] == "broken"
    assert "config.yaml" in run["problem"]


def test_the_verb_sorts_filters_and_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synaptrace.cli.train.finish", lambda *_: None)  # no pictures
    for name in ("my first", "b"):
        assert cli.main(["train", *SMALL, "--out", str(tmp_path), "--name", name, "--json"]) == 0
    summaries = [
        json.loads(text) for text in capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")
    ]
    assert summaries[0]["config_hash"] == summaries[1]["config_hash"]
    assert summaries[0]["rule"] == "tp"
    assert summaries[0]["schedule"] == "sequence"
    assert summaries[0]["lr"] == 3e-3
    assert summaries[0]["layers"] == [512, 8, 10]
    assert summaries[0]["samples"] == {"train": 1258, "validation": 270, "test": 269}
    assert cli.main(["runs", str(tmp_path), "--sort", "name", "--where", "data=digits"]) == 0
    head, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == ["b", "my-first"]
    assert head[:5] == ["name", "data", "rule", "validation %", "test %"]
    assert rows[0][4] == f"{100 * summaries[1]['test_accuracy']:.2f}"
    assert cli.main(["runs", str(tmp_path), "--where", "data=fsdd", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such directory"),
        ([".", "--sort", "tset"], "did you mean test?"),
        ([".", "--where", "data"], "should be KEY=VALUE"),
        ([".", "--where", "dat=fsdd"], "did you mean data?"),
    ],
)
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_frame(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        st.runs.table(root)
    monkeypatch.undo()
    pandas = pytest.importorskip("pandas", reason="pandas isn't installed")
    frame = st.runs.table(root)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(st.runs.COLUMNS)
    assert len(frame) == 3
