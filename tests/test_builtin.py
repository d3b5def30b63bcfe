"""Built-in networks: they list, load and listen; a path wins; nothing is written to them."""

import json
import os
from pathlib import Path

import pytest
import torch

import sounds
import synaptrace
from synaptrace import builtin, cli
from synaptrace.errors import UserError
from synaptrace.keyword import calibrated
from synaptrace.training import job


def test_it_is_listed_with_what_was_measured(capsys):
    assert "keywords" in builtin.names()
    found = builtin.figures("keywords")
    assert f"{100 * found['test_accuracy']:.2f} % of {found['test_samples']}" in builtin.about()
    for verb in ("listen", "finetune", "export", "evaluate"):
        with pytest.raises(SystemExit):
            cli.main([verb, "--help"])
        out = capsys.readouterr().out
        assert f"{100 * found['test_accuracy']:.2f} %" in out
        assert f"synaptrace {verb} keywords " in out


def test_it_loads_as_a_run_does(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    net = synaptrace.load("keywords")
    trained = job.trained("keywords")
    found = builtin.figures("keywords")
    assert list(trained.classes) == found["classes"]
    assert net.classes == len(trained.classes)
    assert trained.config.data["path"] is None
    calibration = calibrated.read(trained.run, net)
    assert calibration is not None
    assert len(calibration.labels) >= len(trained.classes)
    place = trained.run
    assert (place / "checkpoints" / "best.safetensors").stat().st_size <= 500_000
    assert "CC BY 4.0" in (place / builtin.ATTRIBUTION).read_text("utf-8")
    lines = (place / builtin.CLIPS).read_text("utf-8").splitlines()
    assert len(lines) == found["training_clips"]


def test_a_path_of_that_name_wins_and_others_are_told_of_it(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert builtin.find("keywords").is_relative_to(builtin.ROOT)
    (tmp_path / "keywords").mkdir()
    assert builtin.find("keywords") == Path("keywords")
    with pytest.raises(UserError, match="keywords: holds no checkpoint"):
        synaptrace.load("keywords")
    with pytest.raises(UserError, match=r"nothing: no such run .*; built in: keywords"):
        synaptrace.load("nothing")


def test_what_comes_of_it_goes_below_runs():
    place = builtin.find("keywords")
    assert builtin.beside(place) == Path("runs/keywords")
    assert builtin.beside(Path("runs/a")) == Path("runs/a")


def test_it_listens_and_predicts(monkeypatch, tmp_path: Path, capsys):
    monkeypatch.chdir(tmp_path)
    tone = torch.cat([torch.zeros(16000), sounds.tone(500, 0.5), torch.zeros(16000)])
    path = sounds.write(tmp_path / "a.wav", tone)
    assert cli.main(["listen", "keywords", "--wav", str(path), "--json"]) == 0
    states = [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()]
    assert states[:2] == ["silence", "sound"]
    assert cli.main(["predict", "keywords", str(path)]) == 0
    assert capsys.readouterr().out.split("\t")[1] in builtin.figures("keywords")["classes"]


def test_it_hears_real_words(capsys):
    root = Path(os.environ.get("SYNAPTRACE_TEST_DATA", "")) / "speechcommands"
    if not (root / "testing_list.txt").is_file():
        pytest.skip("SYNAPTRACE_TEST_DATA has no speechcommands")
    test = [n for n in (root / "testing_list.txt").read_text().split() if n.startswith("left/")]
    right = 0
    for name in test[:10]:
        assert cli.main(["predict", "keywords", str(root / name)]) == 0
        right += capsys.readouterr().out.split("\t")[1] == "left"
    assert right >= 6


def test_a_run_that_is_tuned_from_it_knows_where_it_is(monkeypatch, tmp_path: Path):
    from synaptrace.keyword import tuned

    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    cell = tuned.Cell(None, 1, None)
    tuned.write(run, Path("keywords"), cell=cell, seed=0, words="words")
    record = tuned.read(run)
    assert record is not None
    assert (run / record.base).resolve() == builtin.find("keywords").resolve()
