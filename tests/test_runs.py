"""`synaptrace runs`: what was trained, what is broken, and a name of one's own."""

import json
import shutil
from pathlib import Path

import pytest

import synaptrace as st
from synaptrace import cli
from synaptrace.errors import UserError
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
