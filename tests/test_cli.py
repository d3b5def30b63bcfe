"""The command line: what it prints, what it leaves behind, how it refuses."""

import argparse
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synaptrace import __version__, cli

SMALL = ["--model.hidden", "[12]", "--data.batch_size", "256", "--train.threads", "1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training of the embedded digits."""
    root = tmp_path_factory.mktemp("cli") / "runs"
    words = ["train", *SMALL, "--train.epochs=2", "--out", str(root), "--quiet"]
    assert cli.main(words) == 0
    (made,) = root.iterdir()
    return made


def test_a_run_directory_holds_it_all(run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {
        "config.yaml", "metrics.jsonl", "checkpoints", "curve.png", "embedding.png", "summary.json"
    }  # fmt: skip
    summary = json.loads((run / "summary.json").read_text())
    assert summary["test_split"] == "development"
    assert summary["test_accuracy_last"] is not None
    assert summary.keys() >= {"seconds", "peak_memory_bytes", "seed", "config_hash"}


def test_train_says_how_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", *SMALL, "--train.epochs", "1", "--out", str(tmp_path)]
    assert cli.main([*words, "--seeds", "2", "--seed", "5", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "2 seeds: mean ± sample s.d." in out
    assert "test_accuracy_last" in out
    (made,) = tmp_path.iterdir()
    assert sorted(path.name for path in made.glob("seed-*")) == ["seed-5", "seed-6"]
    assert cli.main(["resume", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"] == [5, 6]
    assert cli.main([*words, "--paper-protocol", "--json"]) == 0
    caught = capsys.readouterr()
    assert "test_accuracy_best_paper_protocol" in json.loads(caught.out)
    assert "epoch 1/1" in caught.err


def test_evaluate(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(run)]) == 0
    assert "spikes per inference" in capsys.readouterr().out
    assert (run / "confusion-test.png").stat().st_size > 1000
    assert cli.main(["evaluate", str(run), "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    summary = json.loads((run / "summary.json").read_text())
    assert score["accuracy"] == summary["test_accuracy"]
    assert sum(map(sum, score["confusion"])) == score["samples"] == 269
    last = run / "checkpoints" / "last.safetensors"
    assert cli.main(["evaluate", str(last), "--json", "--split", "validation"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 270


def test_predict_pictures_and_events(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.full((60, 40), 255, dtype=np.uint8)
    pixels[10:50, 17:23] = 0  # a dark stroke on a light ground
    picture, inverse, events = (tmp_path / name for name in ("a.png", "b.png", "c.npy"))
    Image.fromarray(pixels).save(picture)
    Image.fromarray(255 - pixels).save(inverse)
    np.save(events, np.ones((30, 2, 16, 16), dtype=np.uint8))
    assert cli.main(["predict", str(run), str(picture), str(inverse), str(events)]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == [str(picture), str(inverse), str(events)]
    assert rows[0][1:] == rows[1][1:]
    assert all(0.0 <= float(row[2]) <= 1.0 for row in rows)
    assert cli.main(["predict", str(run), str(picture), "--json", "--top", "3"]) == 0
    top = json.loads(capsys.readouterr().out)["top"]
    assert len({each["label"] for each in top}) == 3
    assert top == sorted(top, key=lambda each: -each["probability"])


def test_pictures_of_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("curve", "embedding", "spikes", "filters", "features", "raster", "membrane"):
        out = tmp_path / f"{what}.png"
        assert cli.main(["plot", what, str(run), "--out", str(out)]) == 0
        assert out.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    for words, why in (
        (["membrane", str(run), "--layer", "1"], "--layer: 1 is not one of the 1 layers"),
        (["raster", str(run), "--layer", "0"], "--layer: goes with membrane"),
        (["raster", str(run), "--sample", "-1"], "--sample: -1 is not one of"),
    ):
        assert cli.main(["plot", *words]) == 2
        assert why in capsys.readouterr().err


def test_curves_of_several_runs(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both.png"
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    accuracies = [0.0, 0.0, *[0.5, 0.7] * 5]
    made = [
        {**lines[0], "epoch": e + 1, "validation_accuracy": a} for e, a in enumerate(accuracies)
    ]
    (other / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in made))
    assert cli.main(["plot", "curve", str(run), str(other), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    # Ten values of 0.5 and 0.7: their deviation is 0.1 · √(10/9).
    assert (
        f"{other}\tvalidation, last ten epochs at most\t60.00% ± 10.54" in capsys.readouterr().out
    )
    assert cli.main(["plot", "embedding", str(run), str(other)]) == 2
    assert "takes one run, not 2" in capsys.readouterr().err
    (other / "metrics.jsonl").write_text(json.dumps(made[0]) + "\n")
    assert cli.main(["plot", "curve", str(run), str(other), "--out", str(out)]) == 2
    assert "needs two finished epochs" in capsys.readouterr().err


def test_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["presets"]) == 0
    assert "\ndigits\t" in capsys.readouterr().out
    assert cli.main(["presets", "digits"]) == 0
    assert "description:" in capsys.readouterr().out
    assert cli.main(["presets", "--json"]) == 0
    assert "digits" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "VERB"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--speed", "3"], "unrecognized arguments: --speed 3"),
        (["train", "--train.speed", "3"], "train.speed: no such setting"),
        (["train", "--train.lr"], "--train.lr: needs a value"),
        (["train", "--train.lr", "--quiet"], "--train.lr: needs a value"),
        (["train", "--train.lr=1", "--train.lr=2"], "--train.lr: given twice"),
        (["train", "--seeds", "0"], "seeds: 0 is not a positive number"),
        (["train", "--data.path", "somewhere"], "somewhere isn't needed"),
        (["train", "--data.batch_size", "1"], "contrast='class'"),
        (["train", "--train.device", "abacus"], "train.device: 'abacus' can't be used"),
        (["train", "--model.kind", "vgg", "--data.shift", "-1"], "data.shift: -1"),
        (["presets", "--train.lr", "1"], "presets takes no settings"),
        (["evaluate", "nowhere"], "nowhere: no such run directory or checkpoint"),
        (["resume", "nowhere"], "nowhere: no run directory"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    words: list[str], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("run: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.png", None, "no such file"),
        ("a.png", b"not a picture", "can't be read as a picture"),
        ("a.npy", b"\x93NUMPY garbage", "truncated, or no array that NumPy saved"),
    ],
)
def test_files_that_cannot_be_read_are_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    name: str, content: bytes | None, message: str,
) -> None:  # fmt: skip
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["predict", str(run), str(path)]) == 2
    assert f"{path}: {message}" in capsys.readouterr().err


def test_events_of_another_shape_or_no_numbers_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.npy"
    for array, message in (
        (np.ones((3, 5)), "the network needs (steps, 512)"),
        (np.full((3, 512), np.nan), "NaN"),
        (np.array({"a": 1}, dtype=object), "truncated, or no array that NumPy saved"),
    ):
        np.save(path, array, allow_pickle=True)
        assert cli.main(["predict", str(run), str(path)]) == 2
        assert message in capsys.readouterr().err


def test_a_diverging_training_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", *SMALL, "--train.lr", "1e38", "--train.epochs", "9", "--out", str(tmp_path)]
    assert cli.main(words) == 3
    assert "infinite or NaN" in capsys.readouterr().err
    assert list(tmp_path.rglob("last.safetensors"))


def test_help_needs_no_torch_and_no_second() -> None:
    code = (
        "import sys, time\nfrom synaptrace.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
        "assert time.process_time() < 2, time.process_time()"  # not by the clock, which load slows
    )
    for words in (["--help"], *([verb, "--help"] for verb in cli.VERBS)):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "example" in done.stdout


def test_no_verb_has_an_option_that_all_commands_set() -> None:
    """Else the option would be lost: `finetune --words` once was."""
    for name in cli.VERBS:
        parser = argparse.ArgumentParser()
        import_module(f"synaptrace.cli.{name}").add_arguments(parser)
        names = {action.dest for action in parser._actions}
        assert not names & {"run", "data_path", "given", "settings"}, name


def test_version() -> None:
    done = subprocess.run([sys.executable, "-m", "synaptrace", "--version"], capture_output=True)
    assert done.stdout.decode().strip() == f"synaptrace {__version__}"


def test_a_figure_on_few_samples_says_so() -> None:
    from synaptrace.cli.train import few, of

    said = few({"samples": {"validation": 400, "test": 24}})
    assert said == ["few samples        test: 24, of which one more or less is 4.2 %"]
    assert few({"samples": {"validation": 0, "test": 100}}) == few({}) == []
    assert of({"samples": {"test": 24}}, "test") == " of 24"
    assert of({}, "test") == ""


def test_a_network_too_large_for_the_machine_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in (10**9, 10**18):
        words = ["train", "--model.hidden", f"[{width}]", "--out", str(tmp_path / "runs")]
        assert cli.main(words) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "model" in lines[0]
    assert not (tmp_path / "runs").exists()


def test_a_killed_series_goes_on_with_pictures_and_threads(
    tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synaptrace import plots

    monkeypatch.setattr(plots, "embedding", lambda net, data, path: path.write_bytes(b""))
    words = ["train", "--model.hidden", "[8]", "--data.batch_size", "512", "--data.dt", "60",
             "--train.epochs", "1", "--seeds", "2", "--quiet", "--out", str(tmp_path)]  # fmt: skip
    assert cli.main(words) == 0
    (run,) = tmp_path.iterdir()
    first = run / "seed-0" / "summary.json"
    first.write_text(json.dumps({**json.loads(first.read_text()), "threads": 2}))
    (run / "summary.json").unlink()  # killed in the second seed, the first one's pictures undrawn
    for name in ("curve.png", "embedding.png"):
        (run / "seed-0" / name).unlink()
    shutil.rmtree(run / "seed-1")
    assert cli.main(["resume", str(run), "--quiet"]) == 0
    assert (run / "seed-0" / "curve.png").exists()
    assert (run / "seed-0" / "embedding.png").exists()
    found = json.loads((run / "seed-1" / "summary.json").read_text())
    assert found["threads"] == 2
    assert json.loads((run / "summary.json").read_text())["samples"]["test"] > 0
