"""The fine-tuning study on miniatures: directories, table, resuming, new words, refusals."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

import sounds
from synaptrace import cli
from synaptrace.cli.finetune import HEARD, KEEP, KEEP_WORD
from synaptrace.keyword import calibrated, fewshot, sight, study, table, tuned
from synaptrace.keyword.model import measure
from synaptrace.training import job, rehearsal
from synaptrace.training import run as runs
from synaptrace.training.loop import Diverged

SMALL = ["--model.hidden", "[24]", "--train.epochs", "8", "--train.ema", "0.9",
         "--train.threads", "1", "--data.shift", "1"]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path_factory.getbasetemp() / "finetune-home"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return sounds.fsdd(tmp_path_factory.mktemp("fsdd"), range(12))


def command(digits, out, *words):
    return ["finetune", "--preset", "fsdd", "--data.path", str(digits), "--out", str(out),
            *SMALL, *words]  # fmt: skip


def test_all_speakers_and_seeds(digits, tmp_path: Path, capsys):
    words = command(
        digits, tmp_path / "s", "--speaker", "ann,bob", "--seeds", "2", "--shots", "1,all",
        "--batch", "1,4", "--contrast", "class,batch", "--alone", "--epochs", "2", "--keep", "none",
    )  # fmt: skip
    assert cli.main([*words, "--table", "--quiet"]) == 0
    assert not list((tmp_path / "s").glob("*/seed-0"))
    capsys.readouterr()
    assert cli.main(words) == 0
    caught = capsys.readouterr()
    lines = [line.split("\t") for line in caught.out.splitlines()]
    assert lines[0] == list(table.COLUMNS)
    # 2 shots × (class 1, class 4, batch 4), and alone
    assert len(lines) == 1 + 6 + 2
    assert {line[4] for line in lines[1:]} == {"4"}
    with (tmp_path / "s" / "table.csv").open() as file:
        assert list(csv.reader(file)) == lines
    assert (tmp_path / "s" / "table.md").read_text().count("\n") == 10
    speakers = (tmp_path / "s" / "speakers.md").read_text().splitlines()
    assert speakers[2] == "|  | ann | bob | all |"
    assert speakers[4].startswith("| before | ")
    assert len(speakers) == 2 * (2 + 2 + 1 + 8) + 1
    assert (tmp_path / "s" / "table.png").stat().st_size > 1000
    assert "32/32" in caught.err
    found = [json.loads(f.read_text()) for f in (tmp_path / "s").glob("*/seed-*/*/summary.json")]
    tuned = [each for each in found if "before" in each]
    assert len(tuned) == 32
    for each in tuned:
        assert each["sizes"] == {"query": 20, "general": 50}
        assert (
            each["samples"] == each["words"] * (each["shots"] or 10) == 10 * (each["shots"] or 10)
        )
        assert each["state_bytes"] > 0
        assert each["operations"] > 0
    # before is the same, whatever comes after
    before = {(e["speaker"], e["seed"], e["before"]["query"]) for e in tuned if not e["alone"]}
    assert len(before) == 4
    # the table is the files'
    chosen = [e for e in tuned if e["shots"] is None and e["batch"] == 1 and not e["alone"]]
    mean = sum(100 * e["after"]["query"] for e in chosen) / 4
    (line,) = (ln for ln in lines if ln[:4] == ["all", "1", "class", "none"])
    assert line[6] == f"{mean:.2f}"
    assert mean > 60  # of 10 words: it has learned them


def test_a_study_goes_on_where_it_was_cut_off(digits, tmp_path: Path, monkeypatch):
    words = command(digits, tmp_path / "s", "--speaker", "ann,eve", "--shots", "1", "--quiet")
    once, calls = study.once, []

    def interrupted(*arguments):
        calls.append(arguments[1])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return once(*arguments)

    monkeypatch.setattr(study, "once", interrupted)
    assert cli.main([*words, "--epochs", "2"]) == 130
    assert cli.main([*words, "--epochs", "2"]) == 0
    assert calls == [("ann", 0), ("eve", 0), ("eve", 0)]
    assert cli.main([*words, "--train.lr", "1e-4"]) == 2


def test_what_diverges_is_left_out(digits, tmp_path: Path, capsys, monkeypatch):
    once = study.once

    def diverging(plan, case, cell):
        if case[0] == "ann":
            raise Diverged("the loss is nan")
        return once(plan, case, cell)

    monkeypatch.setattr(study, "once", diverging)
    words = command(digits, tmp_path / "s", "--speaker", "ann,eve", "--epochs", "1", "--json")
    assert cli.main(words) == 0
    caught = capsys.readouterr()
    assert [each["speaker"] for each in json.loads(caught.out)] == ["eve"]
    assert re.search(r"1/2 \S*/ann/seed-0/\S*: the loss is nan", caught.err)


def test_a_training_that_diverges_is_not_tried_for_every_cell(
    digits, tmp_path: Path, capsys, monkeypatch
):
    tried = []

    def diverging(plan, case, progress):
        tried.append(case)
        raise Diverged("the loss is nan")

    monkeypatch.setattr(study, "pretrain", diverging)
    words = command(digits, tmp_path / "s", "--speaker", "ann,eve", "--shots", "1,2,3")
    assert cli.main(words) == 0
    assert tried == [("ann", 0), ("eve", 0)]
    assert re.search(r"4/6 \S*/eve/seed-0/pretrained: the loss is nan", capsys.readouterr().err)


def test_the_data_of_a_new_word_are_read_once_for_all_cells(digits, tmp_path: Path, monkeypatch):
    read, reads = job.load_data, []
    monkeypatch.setattr(job, "load_data", lambda config: reads.append(1) or read(config))
    words = command(digits, tmp_path / "s", "--speaker", "ann", "--shots", "1", "--epochs", "1",
                  "--word", "7", "--seeds", "3", "--quiet")  # fmt: skip
    sight._load.cache_clear()
    assert cli.main(words) == 0
    assert len(reads) == 4  # by the plan, which checks names and splits, and then each of the two


def test_runs_that_are_trained_already(digits, tmp_path: Path, capsys):
    words = ["train", "--preset", "fsdd", "--data.path", str(digits), *SMALL, "--out",
             str(tmp_path / "r"), "--quiet", "--data.holdout_speaker"]  # fmt: skip
    assert cli.main([*words, "bob"]) == 0
    (run,) = (tmp_path / "r").iterdir()
    assert cli.main([*words[:-1]]) == 0
    (other,) = (each for each in (tmp_path / "r").iterdir() if each != run)
    capsys.readouterr()
    tune = ["finetune", str(run), "--epochs", "2", "--keep", "rehearse=1+learn=readout"]
    assert cli.main([*tune, "--json", "--quiet"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["speaker"], found["keep"]) == ("bob", "rehearse=1+learn=readout")
    made = Path(found["run"])
    assert made.parent == run  # one level below it
    tuned = job.trained(made)
    assert tuned.features == job.trained(run).features
    before, after = runs.load(run), tuned.net
    assert (before.layers[0].weight == after.layers[0].weight).all()
    assert (before.readout.weight != after.readout.weight).any()
    for extra, message in {
        ("--preset", "fsdd"): "--preset: RUN is trained already",
        ("--train.lr", "1"): "--train.lr: RUN has its settings",
        ("--seeds", "2"): "--seeds: RUN is trained already",
        ("--speaker", "ann,eve"): "holds out bob, not ann,eve",
        (str(run),): "same speaker and seed",
        (str(other),): "was trained on every speaker",
    }.items():
        assert cli.main([tune[0], *extra, *tune[1:]]) == 2
        assert message in capsys.readouterr().err
    both = [*tune, "--speaker", "ann,bob", "--json"]
    assert cli.main(both) == 0  # it is done
    assert json.loads(capsys.readouterr().out) == [found]
    (made / calibrated.FILE).unlink()
    assert cli.main([*both, "--table"]) == 0
    assert not (made / calibrated.FILE).exists()  # a table makes nothing
    capsys.readouterr()
    (run / runs.BEST).write_bytes((made / runs.BEST).read_bytes())  # another training's weights
    assert cli.main(both) == 0
    (anew,) = json.loads(capsys.readouterr().out)
    assert anew["before"] == found["after"]
    assert len(list(run.glob("finetune-bob-*"))) == 2


def test_a_word_that_it_never_heard(digits, tmp_path: Path, capsys):
    words = command(digits, tmp_path / "s", "--speaker", "bob", "--word", "7", "--shots", "5",
                  "--keep", "none,rehearse=2", "--epochs", "40", "--json", "--quiet")  # fmt: skip
    assert cli.main(words) == 0
    caught = capsys.readouterr()
    assert caught.err.count("\n") == 1
    assert "--keep none: the words learned before may be lost" in caught.err
    for found in json.loads(caught.out):
        assert found["sizes"] == {"query": 18, "general": 45, "new": 2}
        assert found["before"]["new"] == 0.0
        assert found["after"]["new"] == 1.0
        assert found["words"] == 1
        kept = found["keep"] == "rehearse=2"
        assert found["rehearsed"] == (9 if kept else 0)  # one of each old word
        assert (found["after"]["query"] > found["before"]["query"] - 0.06) == kept
    run = next((tmp_path / "s" / "bob" / "seed-0").glob("5-shots*none*"))
    assert runs.load(run).classes == 10
    assert job.trained(run).classes == (*"012345689", "7")
    trained = job.trained(tmp_path / "s" / "bob" / "seed-0" / "pretrained")
    assert trained.classes == tuple("012345689")


def moved_run(digits, tmp_path: Path) -> tuple[Path, Path, Path]:
    """A run whose data have moved, recordings of a new word, and where its data are now."""
    path, moved, own = tmp_path / "fsdd", tmp_path / "moved", tmp_path / "own"
    shutil.copytree(digits, path)
    words = ["train", "--preset", "fsdd", "--data.path", str(path), *SMALL, "--out",
             str(tmp_path / "r"), "--quiet"]  # fmt: skip
    assert cli.main(words) == 0
    path.rename(moved)
    sight._load.cache_clear()
    for number in range(6):
        sounds.write(own / "lamp" / f"{number}.wav", sounds.tone(3500.0 + number, 0.4, 8000), 8000)
    return next((tmp_path / "r").iterdir()), own, moved


def test_an_earlier_version_trained_without_keeping_anything(digits, tmp_path: Path, capsys):
    run, own, _ = moved_run(digits, tmp_path)
    (run / rehearsal.FILE).unlink()
    assert cli.main(["finetune", str(run), "--words", str(own), "--epochs", "1"]) == 2
    caught = capsys.readouterr()
    assert "fsdd isn't there" in caught.err
    assert caught.err.count("\n") == 1


def test_what_was_kept_is_rehearsed_where_the_data_are_gone(digits, tmp_path: Path, capsys):
    run, own, moved = moved_run(digits, tmp_path)
    size = (run / rehearsal.FILE).stat().st_size
    assert json.loads((run / "summary.json").read_text())["rehearsal_bytes"] == size
    assert f"kept to rehearse   {size / 1024:.0f} KiB" in capsys.readouterr().out
    tune = ["finetune", str(run), "--words", str(own), "--json", "--lr", "5e-3", "--epochs"]
    assert cli.main([*tune, "30"]) == 0
    caught = capsys.readouterr()
    assert "fsdd isn't there" in caught.err
    assert "; the 60 utterances kept with the run are rehearsed instead" in caught.err
    assert caught.err.count("\n") == 1
    found = json.loads(caught.out)
    assert (found["keep"], found["epochs"], found["rehearsed"]) == (KEEP_WORD, 30, 10)
    assert found["after"] == {"query": 1.0, "general": None}
    made = Path(found["run"])
    assert tuned.read(made).kept
    assert cli.main(["evaluate", str(made), "--split", "test", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1.0

    # The other words are still known, as the data say once they are found again.
    data = fewshot.view(job.trained(run, str(moved)).load_data(), {"general": range(300)})
    before, after = (measure(runs.load(each), data, ["general"]) for each in (run, made))
    assert before["general"] - 0.05 < after["general"] > 0.6
    # A path that is asked for is not passed over.
    assert cli.main([*tune, "1", "--data.path", str(tmp_path / "no")]) == 2
    assert "fsdd isn't there" in capsys.readouterr().err


def test_words_of_one_tuning_are_rehearsed_in_the_next(digits, tmp_path: Path, capsys):
    run, own, moved = moved_run(digits, tmp_path)
    tune = ["--words", str(own), "--lr", "5e-3", "--data.path", str(moved), "--json"]
    capsys.readouterr()
    assert cli.main(["finetune", str(run), *tune]) == 0
    first = Path(json.loads(capsys.readouterr().out)["run"])
    (own / "lamp").rename(tmp_path / "lamp")
    for number in range(6):
        sounds.write(own / "door" / f"{number}.wav", sounds.tone(90.0 + number, 0.3, 8000), 8000)
    assert cli.main(["finetune", str(first), *tune]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["new_words"], found["rehearsed"]) == (["door"], 11)  # ten digits, and the lamp
    assert (found["keep"], found["epochs"]) == (KEEP_WORD, HEARD / 5)
    lamps = fewshot.view(rehearsal.read(first), {"query": range(5)})
    assert set(lamps.labels.tolist()) == {10}
    assert measure(runs.load(found["run"]), lamps, ["query"]) == {"query": 1.0}


def test_settings_are_chosen_by_the_support(digits, tmp_path: Path, capsys):
    words = command(digits, tmp_path / "s", "--speaker", "bob", "--shots", "all", "--epochs", "1",
                  "--quiet", "--json")  # fmt: skip
    assert cli.main([*words, "--judge", "support"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["sizes"]["query"]) == (80, 20)
    assert (found["keep"], found["rehearsed"]) == (KEEP, 1)  # by default
    assert cli.main(words) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["samples"], found["sizes"]["query"]) == (100, 20)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--speaker: needs a name, or all"),
        (["--speaker", "theo"], "fsdd has no speaker 'theo'; it has ann, bob, eve"),
        (["--speaker", "ann", "--shots", "0"], "--shots: '0' should be positive whole numbers or"),
        (["--speaker", "ann", "--batch", "all"], "--batch: 'all' should be positive whole"),
        (["--speaker", "ann", "--contrast", "none"], "--contrast: 'none' is none of batch, class"),
        (["--speaker", "ann", "--contrast", "batch"], "a batch of one learns nothing"),
        (
            ["--speaker", "ann", "--rule.contrast", "batch"],
            "--batch: one utterance has no contrast",
        ),
        (["--speaker", "ann", "--keep", "all"], "--keep: 'all' is none of rehearse=N"),
        (["--speaker", "ann", "--seeds", "0"], "--seeds: 0 is not"),
        (["--speaker", "ann", "--word", "ten"], "leave_out: 'ten' is none of"),
        (["--speaker", "ann", "--epochs", "0"], "--epochs: 0 is not"),
        (["--speaker", "ann", "--lr", "-1"], "--lr: -1.0 is not"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(
    digits, tmp_path: Path, capsys, words, message
):
    assert cli.main(command(digits, tmp_path / "s", *words)) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert caught.err.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_data_without_speakers_are_refused(tmp_path: Path, capsys):
    assert cli.main(["finetune", "--speaker", "all", "--out", str(tmp_path / "s")]) == 2
    assert "digits can't hold a speaker out" in capsys.readouterr().err


def test_own_words(digits, tmp_path: Path, capsys):
    """Two known words and a new one, recorded at another rate and in stereo."""
    words = ["train", "--preset", "fsdd", "--data.path", str(digits), *SMALL, "--out",
             str(tmp_path / "r"), "--quiet"]  # fmt: skip
    assert cli.main(words) == 0
    (run,) = (tmp_path / "r").iterdir()
    own = tmp_path / "own"
    for word, pitch in (("1", 640.0), ("8", 2700.0), ("lamp", 3500.0)):
        for number in range(6 if word == "lamp" else 3):
            tone = sounds.tone(pitch + number, 0.4, 16000, seed=number)
            sounds.write(own / word / f"{number}.wav", torch.stack([tone, tone], 1), 16000)
    tune = ["finetune", str(run), "--words", str(own), "--keep", "rehearse=2", "--epochs", "40"]
    capsys.readouterr()
    assert cli.main([*tune, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["new_words"] == ["lamp"]
    assert (found["samples"], found["sizes"]) == (11, {"query": 1, "general": 150})
    assert (found["before"]["query"], found["after"]["query"]) == (0.0, 1.0)
    made = Path(found["run"])
    assert made.parent == run
    tuned = job.trained(made)
    assert tuned.classes == (*"0123456789", "lamp")
    assert cli.main(tune) == 0  # it is done
    assert f"run             {made}" in capsys.readouterr().out
    wav = sounds.write(tmp_path / "l.wav", sounds.tone(3500.0, 0.4, 8000), 8000)
    assert cli.main(["listen", str(made), "--wav", str(wav), "--confidence", "0"]) == 0
    assert capsys.readouterr().out.split("\t")[1] == "lamp"
    more = ["finetune", str(made), "--words", str(own), "--epochs", "1", "--json"]
    assert cli.main(more) == 0  # and on from there
    again = json.loads(capsys.readouterr().out)
    assert (again["new_words"], again["before"]) == ([], found["after"])
    (own / "lamp" / "5.wav").unlink()
    assert cli.main([*tune, "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["run"]) != made
    for extra, message in {
        ("--speaker", "bob"): "--speaker: doesn't go with --words",
        ("--batch", "1,2"): "needs one RUN, and one of",
    }.items():
        assert cli.main([*tune, *extra]) == 2
        assert message in capsys.readouterr().err


def test_speech_commands_start(tmp_path: Path, capsys):
    path = sounds.speech_commands(tmp_path / "s", words=("yes", "no"))
    words = ["finetune", "--preset", "speechcommands", "--data.path", str(path), "--speaker",
             sounds.SPEAKERS[4], "--shots", "1", "--batch", "1,2", "--model.hidden", "[16]",
             "--train.epochs", "1", "--epochs", "1", "--out", str(tmp_path / "o"), "--json",
             "--keep", "rehearse=1", "--quiet"]  # fmt: skip
    assert cli.main(words) == 0
    for found in json.loads(capsys.readouterr().out):
        assert found["samples"] == 2
        assert found["sizes"]["query"] == 0
        assert found["after"]["query"] is None
