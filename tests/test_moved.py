"""Runs whose data have moved, and what the verbs print of the names that they meet."""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

import sounds
from synaptrace import cli
from synaptrace.data.audio import wav
from synaptrace.names import printed
from synaptrace.training import job
from synaptrace.training import run as runs

FAST = ["--model.hidden", "[24]", "--train.epochs", "1", "--quiet", "--train.threads", "1"]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path_factory.getbasetemp() / "moved-home"))


def trained(out: Path, *words: str) -> Path:
    before = set(out.glob("*"))
    assert cli.main(["train", *words, *FAST, "--out", str(out)]) == 0
    (run,) = set(out.glob("*")) - before
    return run


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return sounds.fsdd(tmp_path_factory.mktemp("moved") / "digits", range(12))


@pytest.fixture
def moved(digits, tmp_path):
    """A run of which the data are elsewhere now."""
    shutil.copytree(digits, tmp_path / "before")
    run = trained(tmp_path / "r", "--preset", "fsdd", "--data.path", str(tmp_path / "before"),
                  "--data.holdout_speaker", "bob")  # fmt: skip
    (tmp_path / "before").rename(tmp_path / "now")
    return run, tmp_path / "now"


def test_every_verb_is_told_where_the_data_are(moved, tmp_path, capsys):
    run, now = moved
    sound = str(now / "recordings" / "3_ann_1.wav")
    there = ["--data.path", str(now)]
    for words in (["evaluate", str(run)], ["plot", "embedding", str(run)],
                  ["finetune", str(run), "--epochs", "1"], ["resume", str(run)]):  # fmt: skip
        assert cli.main(words) == 2
        assert "before: fsdd isn't there" in capsys.readouterr().err
        assert cli.main([*words, *there]) == 0
    assert cli.main(["predict", str(run), sound, *there]) == 0
    assert cli.main(["listen", str(run), "--wav", sound, *there]) == 0
    capsys.readouterr()
    for words in (["evaluate", str(run)], ["predict", str(run), sound]):
        assert cli.main([*words, "--train.lr", "1"]) == 2
        assert f"--train.lr: synaptrace {words[0]} takes no settings" in capsys.readouterr().err


def test_other_data_are_refused(moved, tmp_path, capsys):
    run, now = moved
    for file in now.rglob("*_eve_3.wav"):
        file.unlink()
    there = ["--data.path", str(now)]
    (run / runs.SUMMARY).unlink()
    for words in (["evaluate", str(run)], ["finetune", str(run), "--epochs", "1"],
                  ["plot", "embedding", str(run)], ["resume", str(run)]):  # fmt: skip
        assert cli.main([*words, *there]) == 2
        said = capsys.readouterr().err
        assert "trained" in said.splitlines()[-1]


def test_fine_tuned_runs_are_runs(moved, tmp_path, capsys):
    run, now = moved
    there = ["--data.path", str(now)]
    assert cli.main(["finetune", str(run), "--epochs", "2", "--quiet", *there]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    (made,) = run.glob("finetune-bob-*")
    assert last == f"run             {made}"
    summary = runs.read_summary(made)
    check(made, summary, capsys)


def test_runs_fine_tuned_to_words_are_runs(digits, tmp_path, capsys):
    run = trained(tmp_path / "r", "--preset", "fsdd", "--data.path", str(digits))
    for word, pitch in (("1", 640.0), ("lamp", 3500.0)):
        for number in range(6):
            tone = sounds.tone(pitch + number, 0.4, 8000, seed=number)
            sounds.write(tmp_path / "own" / word / f"{number}.wav", tone, 8000)
    tune = ["finetune", str(run), "--words", str(tmp_path / "own"), "--epochs", "2"]
    assert cli.main(tune) == 0
    (made,) = run.glob("finetune-own-*")
    assert capsys.readouterr().out.splitlines()[-1] == f"run             {made}"
    check(made, runs.read_summary(made), capsys)


def check(made: Path, summary: dict, capsys) -> None:
    """What is evaluated is what its summary says; pictures are drawn; it is gone on with."""
    for split, part in (("test", "query"), ("general", "general")):
        assert cli.main(["evaluate", str(made), "--split", split, "--json"]) == 0
        score = json.loads(capsys.readouterr().out)
        assert score["samples"] == summary["sizes"][part] > 0
        assert score["accuracy"] == summary["after"][part]
    for what in ("curve", "embedding"):
        assert cli.main(["plot", what, str(made)]) == 0
    if find_spec("plotly"):
        assert cli.main(["report", str(made)]) == 0
        page = (made / "report.html").read_text("utf-8")
        assert "What it learned from: " in page
        assert re.search(r"<pre>synaptrace finetune \S+ --(words|speaker) ", page)
        assert (made / f"{what}.png").stat().st_size > 1000
    weights = runs.load(made).readout.weight
    (made / runs.SUMMARY).unlink()
    shutil.rmtree(made / "checkpoints")
    capsys.readouterr()
    assert cli.main(["resume", str(made), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again.pop("run") == str(made)
    assert torch.equal(runs.load(made).readout.weight, weights)
    for key in ("before", "after", "sizes", "batches"):
        assert again[key] == summary[key]
    (made / "tuned.json").write_text('{"base": 3}')
    assert cli.main(["evaluate", str(made)]) == 2
    assert "tuned.json: can't be read" in capsys.readouterr().err


def predicted(run: Path, files, capsys, *words: str) -> list[list[float]]:
    capsys.readouterr()
    assert cli.main(["predict", str(run), *map(str, files), "--json", "--top", "99", *words]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    classes = job.trained(run).classes
    return [
        [{e["label"]: e["probability"] for e in line["top"]}[name] for name in classes]
        for line in lines
    ]


def expected(run: Path, *names: str, split: str = "test") -> list[list[float]]:
    """What the network makes of samples as its data set gives them."""
    trained = job.trained(run)
    data = trained.load_data()
    files = data.cache.notes["file"]
    rows = [files.index(name) for name in names]
    places = [data.index[split].tolist().index(row) for row in rows]
    found = []
    with torch.no_grad():
        for events, _, lengths in data.batches(split):
            for i in range(events.shape[1]):
                steps = None if lengths is None else int(lengths[i])
                found.append(trained.net(events[:steps, i : i + 1])[0].softmax(0).tolist())
    return [found[place] for place in places]


def test_predict_reads_the_sound_that_was_trained_on(digits, tmp_path, capsys):
    run = trained(tmp_path / "r", "--preset", "fsdd", "--data.path", str(digits))
    names = ["3_ann_1.wav", "7_eve_0.wav"]
    files = [digits / "recordings" / name for name in names]
    np.testing.assert_allclose(predicted(run, files, capsys), expected(run, *names), atol=1e-6)
    path = sounds.speech_commands(tmp_path / "s", words=("yes", "no"))
    run = trained(tmp_path / "r", "--preset", "speechcommands", "--data.path", str(path))
    data = job.trained(run).load_data()
    files = [data.cache.notes["file"][row] for row in data.index["test"].tolist()]
    name = next(name for name in files if name.startswith("yes/"))
    np.testing.assert_allclose(
        predicted(run, [path / name], capsys), expected(run, name), atol=1e-6
    )
    words = tmp_path / "words"
    for word, pitch in (("a", 500.0), ("b", 1500.0)):
        for take in range(5):
            tone = sounds.tone(pitch + 10 * take, 0.4, seed=take)
            sounds.write(words / word / f"{take}.wav", tone)
    run = trained(tmp_path / "r", "--preset", "fsdd", "--data.name", "folder", "--data.path",
                  str(words))  # fmt: skip
    data = job.trained(run).load_data()
    name = data.cache.notes["file"][int(data.index["test"][0])]
    one = predicted(run, [words / name], capsys)
    np.testing.assert_allclose(one, expected(run, name), atol=1e-6)
    samples, rate = wav.read(words / name)
    stereo = sounds.write(tmp_path / "s.wav", torch.stack([samples, samples], 1), rate)
    np.testing.assert_allclose(predicted(run, [stereo], capsys), one, atol=1e-3)


def test_predict_reads_clips_and_lists_of_events(tmp_path, capsys):
    from test_kws01 import STORED, write

    numbers = STORED["train"][:24] + STORED["validation"][:12] + STORED["test"][:12]
    clips = write(tmp_path / "kws01", numbers)
    run = trained(tmp_path / "r", "--preset", "kws01", "--data.path", str(clips))
    data = job.trained(run).load_data()
    name = data.cache.notes["file"][int(data.index["test"][0])]
    np.testing.assert_allclose(
        predicted(run, [clips / name], capsys), expected(run, name), atol=1e-6
    )
    before = expected(run, name)
    clips.rename(tmp_path / "now")
    there = ("--data.path", str(tmp_path / "now"))
    after = predicted(run, [tmp_path / "now" / name], capsys, *there)
    np.testing.assert_allclose(after, before, atol=1e-6)
    draws = np.random.default_rng(0)
    for label in ("left", "right"):
        (tmp_path / "events" / label).mkdir(parents=True)
        for take in range(5):
            t = np.sort(draws.integers(0, 30_000, 200))
            xyp = [draws.integers(0, size, 200) for size in (8, 6, 2)]
            np.save(tmp_path / "events" / label / f"{take}.npy", np.stack([t, *xyp], 1))
    run = trained(tmp_path / "r", "--data.name", "folder", "--data.path", str(tmp_path / "events"),
                  "--data.rows", "6", "--data.columns", "8", "--data.dt", "5")  # fmt: skip
    data = job.trained(run).load_data()
    name = data.cache.notes["file"][int(data.index["test"][0])]
    events = tmp_path / "events" / name
    np.testing.assert_allclose(predicted(run, [events], capsys), expected(run, name), atol=1e-6)
    frames = tmp_path / "frames.npy"
    np.save(frames, np.ones((7, 2, 6, 8), dtype=np.uint8))
    assert len(predicted(run, [frames], capsys)) == 1


def test_names_are_printed_on_one_line(tmp_path, capsys):
    run = trained(tmp_path / "r", "--data.dt", "100")
    odd = "a\nb\x1b[31m\u202e\udcff\t.npy"
    events = tmp_path / odd
    with events.open("wb") as file:
        np.save(file, np.ones((3, 2, 16, 16), dtype=np.uint8))
    capsys.readouterr()
    assert cli.main(["predict", str(run), str(events)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, label, _ = line.split("\t")
    assert name == f"{tmp_path}/a\\nb\\x1b[31m\\u202e\\udcff\\t.npy"
    assert label in "0123456789"
    assert printed("été 01") == "été 01"
