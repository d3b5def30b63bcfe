"""A run's files: damaged ones, another run's, missing ones, those of a killed or a busy process."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import toy
from patience import LIMIT
from processes import PROCESSES
from synaptrace.errors import UserError
from synaptrace.files import read_text, sweep
from synaptrace.training import checkpoint, lock, schema, threads
from synaptrace.training import run as runs
from synaptrace.training.loop import fit

CONFIG = {"data": {"batch_size": 8}, "train": {"device": "cpu"}}


def train(run: Path, **options: Any) -> dict[str, Any]:
    net, rule = toy.make()
    given = {"epochs": 2, "lr": 1e-2, "progress": False, "resume": True, "config": CONFIG} | options
    return fit(net, rule, toy.Toy(), run=run, **given)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be copied."""
    run = tmp_path_factory.mktemp("done")
    train(run)
    return run


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "run"))


def unfinished(run: Path) -> Path:
    (run / runs.SUMMARY).unlink()
    return run


def without_checksums(path: Path) -> None:
    """Rewrite a checkpoint as an earlier version wrote it."""
    tensors, meta = checkpoint.load(path)
    for key in ("run_id", "threads"):
        meta.pop(key)
    save_file(tensors, path, {checkpoint.KEY: json.dumps(meta)})


@pytest.mark.parametrize("part", ["tensor", "header"])
def test_one_changed_byte_of_a_checkpoint_is_found(run: Path, part: str) -> None:
    path = run / runs.BEST
    content = bytearray(path.read_bytes())
    place = len(content) - 9 if part == "tensor" else content.index(b"picked_epoch") + 16
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"best\.safetensors: (damaged|truncated)"):
        runs.load(run)


def test_a_run_of_an_earlier_version_loads_and_goes_on(run: Path) -> None:
    whole = runs.read_summary(run)
    assert whole is not None
    for name in (runs.BEST, runs.LAST):
        without_checksums(run / name)
    lines = [json.loads(line) for line in (run / runs.METRICS).read_text().splitlines()]
    runs.write_metrics(run, [{k: v for k, v in line.items() if k != "run_id"} for line in lines])
    runs.load(run)
    summary = train(unfinished(run))
    assert summary["run_id"] is None
    assert summary["test_accuracy"] == whole["test_accuracy"]
    assert train(run) == summary


@pytest.mark.parametrize(
    ("name", "finished"),
    [(runs.BEST, True), (runs.BEST, False), (runs.METRICS, True), (runs.METRICS, False),
     (runs.SUMMARY, True)],
)  # fmt: skip
def test_another_runs_files_are_not_taken_over(
    run: Path, tmp_path: Path, name: str, finished: bool
) -> None:
    train(tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, run / name)
    if not finished:  # with an epoch picked before the last, else it is simply picked again
        tensors, meta = checkpoint.load(unfinished(run) / runs.LAST)
        meta["progress"]["picked_epoch"] = 1
        save_file(tensors, run / runs.LAST, {checkpoint.KEY: json.dumps(meta)})
    with pytest.raises(UserError, match="is of another training than"):
        train(run)


def test_metrics_that_are_missing_are_found_before_training(run: Path) -> None:
    (unfinished(run) / runs.METRICS).unlink()
    before = (run / runs.LAST).read_bytes()
    with pytest.raises(UserError, match=r"metrics\.jsonl: has 0 epochs, where .* has done 2"):
        train(run)
    assert (run / runs.LAST).read_bytes() == before


@pytest.mark.parametrize("finished", [True, False])
def test_edited_settings_are_refused(run: Path, finished: bool) -> None:
    if not finished:
        unfinished(run)
    edited = {"data": {"batch_size": 16}, "train": {"device": "cpu"}}
    with pytest.raises(UserError, match=r"trained with data batch_size 8, not 16"):
        train(run, config=edited)
    with pytest.raises(UserError, match=r"trained with train epochs 2, not 3"):
        train(run, epochs=3)
    train(run, config={**CONFIG, "train": {"device": "cuda", "new": 1}})


def test_leftovers_of_a_kill_are_swept(run: Path) -> None:
    unfinished(run)
    left = [run / ".summary-abcd1234.json", run / ".metrics-abcd1234.jsonl"]
    for file in left:
        file.write_text("half")
    (run / ".mine").write_text("kept")
    train(run)
    assert not any(file.exists() for file in left)
    assert (run / ".mine").exists()
    picture = run / ".curve-abcd1234.png"
    picture.write_text("half")
    sweep(run / "curve.png")
    assert not picture.exists()


def hold(run: Path, ready: Any) -> None:
    with lock.held(run):
        ready.set()
        time.sleep(600)


def test_a_busy_run_says_who_has_it(tmp_path: Path) -> None:
    ready = PROCESSES.Event()
    other = PROCESSES.Process(target=hold, args=(tmp_path, ready), daemon=True)
    other.start()
    assert ready.wait(LIMIT)
    with pytest.raises(UserError, match=rf"process {other.pid} on .* is at work on it"):
        train(tmp_path)
    assert not (tmp_path / runs.LAST).exists()
    other.kill()
    other.join()
    train(tmp_path, epochs=1)  # let go with the process
    with lock.held(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} on"):
        train(unfinished(tmp_path), epochs=1)


def test_threads_are_stored_and_restored(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    train(tmp_path, threads=2)
    assert checkpoint.load(tmp_path / runs.LAST)[1]["threads"] == 2
    for again in (True, False):  # finished: for the seeds that follow
        torch.set_num_threads(1)
        assert train(tmp_path if again else unfinished(tmp_path))["threads"] == 2
        assert torch.get_num_threads() == 2
    assert capsys.readouterr().err == ""
    train(unfinished(tmp_path), threads=1)
    assert "began with 2 threads and goes on with them" in capsys.readouterr().err
    torch.set_num_threads(1)
    monkeypatch.setattr(threads, "most", lambda: 1)
    train(unfinished(tmp_path))
    assert "began with 2 threads and goes on with 1" in capsys.readouterr().err


@pytest.mark.parametrize("count", [0, 100_000, True])
def test_threads_that_would_crash_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match=r"train\.threads: .* is not a number from 1"):
        train(tmp_path / "run", threads=count)
    assert not (tmp_path / "run").exists()


LINE = {"epoch": 1, "train_accuracy": 0.5, "lr": 0.1}
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (runs.SUMMARY, "[]"), (runs.SUMMARY, "3"), (runs.SUMMARY, "{}"), (runs.SUMMARY, DEEP),
        (runs.SUMMARY, '{"seeds": 3}'), (runs.SUMMARY, '{"before": []}'),
        (runs.METRICS, "[]"), (runs.METRICS, json.dumps(LINE | {"epoch": 2})),
        (runs.METRICS, json.dumps(LINE | {"losses": [1]})), (runs.METRICS, DEEP),
        (runs.METRICS, json.dumps(LINE | {"train_accuracy": "half"})),
        (runs.METRICS, "\n".join(json.dumps(LINE | {"epoch": n, "rates": {"abc"[n]: 0}})
                                 for n in (1, 2))),
        (runs.METRICS, json.dumps(LINE).replace("0.5", "NaN")),
    ],
)  # fmt: skip
def test_files_of_wrong_types_are_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    read = runs.read_summary if name == runs.SUMMARY else runs.read_metrics
    with pytest.raises(UserError, match=name):
        read(tmp_path)


@pytest.mark.parametrize("key", ["network", "data", "train", "progress", "rule", "config"])
@pytest.mark.parametrize("value", [3, "text", [1]])
def test_checkpoints_of_wrong_types_are_named(run: Path, key: str, value: object) -> None:
    path = unfinished(run) / runs.LAST
    tensors, meta = load_file(path), checkpoint.load(path)[1]
    save_file(tensors, path, {checkpoint.KEY: json.dumps({**meta, key: value})})
    with pytest.raises(UserError, match=r"last\.safetensors: .*" + key):
        train(run)


def test_what_is_written_is_what_the_schema_says(run: Path) -> None:
    found = schema.check(schema.Summary, runs.read_summary(run), "summary")
    assert found["samples"] == {"train": found["samples"]["train"], "validation": 24, "test": 24}
    assert found["samples"]["train"] > 0
    assert len({found["run_id"], *(line["run_id"] for line in runs.read_metrics(run))}) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / runs.SUMMARY)
    with pytest.raises(UserError, match=r"summary\.json: can't be read"):
        runs.read_summary(tmp_path)
    (tmp_path / "long").write_text("12345")
    with pytest.raises(UserError, match="more than 4 bytes"):
        read_text(tmp_path / "long", 4)
