"""Comparisons: rates picked by validation, exact continuation, divergence, bad input."""

import csv
import json
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

import toy
from patience import LIMIT, until
from synaptrace import cli
from synaptrace.compare import plan as compare
from synaptrace.compare import run as runner
from synaptrace.compare import table
from synaptrace.errors import UserError
from synaptrace.training import run as runs

SMALL = {
    "model.hidden": "[12]", "data.batch_size": "256", "data.dt": "60", "train.epochs": "1",
    "neuron.threshold": "0.5",
}  # fmt: skip
WORDS = [word for key, value in SMALL.items() for word in (f"--{key}", value)]


def make(out: Path, *labels: str, seeds: int = 2) -> compare.Plan:
    return compare.plan(labels, overrides=SMALL, rates=[1e-3, 1e-2], seeds=seeds, out=out)


def in_process(monkeypatch: pytest.MonkeyPatch) -> list[compare.Task]:
    """Trainings run here, one after the other, and are noted."""
    noted: list[compare.Task] = []

    class Pool:
        def __init__(self, *_: object, **__: object) -> None: ...
        def shutdown(self, **_: object) -> None: ...

        def submit(self, work, config, run, jobs):  # type: ignore[no-untyped-def]
            noted.append((config.rule["name"], config.train["lr"], config.train["seed"]))
            done: runner.Future[None] = runner.Future()
            try:
                done.set_result(work(config, run, jobs))
            except BaseException as error:
                done.set_exception(error)
            return done

    monkeypatch.setattr(runner, "ProcessPoolExecutor", Pool)
    return noted


def test_rates_are_picked_by_validation_and_nothing_is_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = in_process(monkeypatch)
    plan = make(tmp_path, "tp:contrast=class", "readout-only")
    runner.train(plan, progress=False)
    assert len(noted) == len(set(noted)) == 2 * 3
    for label in plan.configs:
        accuracy = {
            task[1]: runs.read_metrics(plan.run(task))[-1]["validation_accuracy"]
            for task in plan.first(label)
        }
        assert accuracy[plan.best(label)] == max(accuracy.values())
        row = runner.row(plan, label)
        assert row["complete"]
        assert {outcome["seed"] for outcome in row["outcomes"]} == {0, 1}
        assert row["state_bytes"] > 0
    assert runner.row(plan, "readout-only")["auxiliary_bytes"] == 0
    assert runner.row(plan, "tp:contrast=class")["auxiliary_bytes"] == 4 * 12 * 10
    noted.clear()
    runner.train(make(tmp_path, "tp:contrast=class", "readout-only"), progress=False)
    assert not noted


def test_an_interrupted_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = in_process(monkeypatch)
    work, calls = runner.once, []

    def interrupted(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        work(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "once", interrupted)
    plan = make(tmp_path, "readout-only")
    with pytest.raises(KeyboardInterrupt):
        runner.train(plan, progress=False)
    assert not runner.row(plan, "readout-only")["complete"]
    assert "unfinished" in table.terminal([runner.row(plan, "readout-only")])
    noted.clear()
    runner.train(plan, progress=False)
    assert noted == [("readout-only", 1e-2, 0), ("readout-only", plan.best("readout-only"), 1)]


def test_a_rule_that_diverges_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_process(monkeypatch)
    overrides = {**SMALL, "train.epochs": "9"}
    plan = compare.plan(["tp"], overrides=overrides, rates=[1e38], seeds=2, out=tmp_path)
    runner.train(plan, progress=False)
    row = runner.row(plan, "tp")
    assert row["diverged"] == [[1e38, 0]]
    assert row["complete"]
    assert "diverged at 1e+38" in table.cells(row)


def test_who_is_not_above_the_floor_is_named() -> None:
    def row(rule: str, *accuracies: float) -> dict[str, object]:
        outcomes = [
            {"test_accuracy_last": a, "validation_accuracy": None, "spikes_per_inference": None}
            for a in accuracies
        ]
        return {
            "rule": rule, "lr": 1e-3, "complete": True, "diverged": [], "outcomes": outcomes,
            "seconds_per_epoch": 1.0,
        }  # fmt: skip

    rows = [row("readout-only:rates=1e-2", 0.8, 0.82, 0.84), row("tp", 0.88, 0.89, 0.9)]
    rows += [row("near", 0.81, 0.85, 0.85), row("one seed", 0.5)]
    rows += [row("readout-only", 0.7, 0.7)]
    notes = {line[0]: line[-1] for line in table.ordered(rows)}
    assert notes.pop("near") == "not two standard errors above readout-only"
    assert set(notes.values()) == {""}


def test_the_command_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In processes of their own, two at once."""
    words = ["compare", "--rules", "tp,bptt", "--seeds", "1", "--rates", "1e-3", "--jobs", "2",
             "--out", str(tmp_path / "c"), *WORDS]  # fmt: skip
    assert cli.main([*words, "--table", "--quiet"]) == 0
    assert "unfinished" in capsys.readouterr().out
    assert cli.main(words) == 0
    caught = capsys.readouterr()
    assert "2/2" in caught.err
    lines, beneath = ([line.split("\t") for line in text.splitlines()]
                      for text in caught.out.split("\n\n"))  # fmt: skip
    assert beneath[0][0] in ("against tp", "against bptt")
    assert beneath[1][-1] == "can't tell: 1 seeds"
    assert lines[0] == list(table.COLUMNS)
    assert {line[0] for line in lines[1:]} == {"tp", "bptt"}
    with (tmp_path / "c" / "table.csv").open() as file:
        assert list(csv.reader(file)) == lines
    assert (tmp_path / "c" / "table.md").read_text().count("\n") == 4
    assert (tmp_path / "c" / "table.png").stat().st_size > 1000
    assert cli.main([*words, "--table", "--quiet", "--json"]) == 0
    assert {row["rule"] for row in json.loads(capsys.readouterr().out)} == {"tp", "bptt"}


@pytest.mark.parametrize(
    ("labels", "overrides", "message"),
    [
        (["nothing"], {}, "no rule 'nothing'"),
        (["tp:contrast"], {}, "should be name:option=value"),
        (["tp:contrast=never"], {}, "rule.contrast: 'never'"),
        (["tp", "tp"], {}, "each once"),
        (["tp:rates=fast"], {}, "should be numbers"),
        (["tp:rates=1e-3/-1"], {}, "should be positive numbers"),
        (["tp:rates=1e-3/inf"], {}, "should be positive numbers"),
        (["tp:train.lr=1e-3"], {}, "learning rates are name:rates"),
        (["tp"], {"train.lr": "1"}, "takes --rules name:option=value and --rates"),
        (["tp"], {"rule.contrast": "class"}, "takes --rules name:option=value and --rates"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(
    labels: list[str], overrides: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        compare.plan(labels, overrides=overrides, out=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_contender_may_have_settings_and_rates_of_its_own(tmp_path: Path) -> None:
    labels = ["tp", "espp:train.update=step:form=step:rates=1e-4/3e-4"]
    plan = make(tmp_path, *labels)
    assert list(plan.rates.values()) == [(1e-3, 1e-2), (1e-4, 3e-4)]
    assert plan.configs[labels[1]].train["update"] == "step"
    assert plan.configs[labels[1]].rule["form"] == "step"
    assert plan.configs["tp"].train["update"] == "sequence"


def test_a_readout_may_have_a_rate_of_its_own(tmp_path: Path) -> None:
    own = "tp:train.lr_readout=2e-2"
    plan = make(tmp_path, "tp", own)
    assert [plan.config(task).train["lr"] for task in plan.first(own)] == [1e-3, 1e-2]
    assert plan.config(plan.first(own)[0]).train["lr_readout"] == 2e-2
    assert "lr_readout" not in plan.configs["tp"].train  # as in comparisons made before it


def test_a_presets_options_of_a_rule_are_nobodys(tmp_path: Path) -> None:
    plan = compare.plan(["tp", "tp:contrast=class"], preset="fsdd", out=tmp_path)
    assert [config.rule["contrast"] for config in plan.configs.values()] == ["batch", "class"]


def test_a_directory_of_another_comparison_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process(monkeypatch)
    runner.train(make(tmp_path, "readout-only", seeds=1), progress=False)
    make(tmp_path, "readout-only", seeds=1)
    with pytest.raises(UserError, match="holds a comparison of other settings"):
        make(tmp_path, "readout-only", "bptt")
    (tmp_path / compare.ABOUT).write_text("{half")
    with pytest.raises(UserError, match=r"comparison\.json: can't be read"):
        make(tmp_path, "readout-only", seeds=1)


def test_the_last_rate_keeps_its_share_of_the_first(tmp_path: Path) -> None:
    def last(preset: str) -> float | None:
        plan = compare.plan(["tp"], preset=preset, rates=[1e-2], out=tmp_path)
        found: float | None = plan.config(plan.first("tp")[0]).train["lr_final"]
        return found

    assert last("fsdd") == pytest.approx(1e-2 / 4)  # 5e-4 of 2e-3
    assert last("nmnist") == 0.0
    assert last("digits") is None


def test_an_epochs_seconds_are_their_median(tmp_path: Path) -> None:
    for name, ends in (("a", (1.0, 3.0, 103.0)), ("b", (2.0, 4.0))):
        lines = [
            {"epoch": epoch, "train_accuracy": 0.5, "lr": 1e-3, "seconds": end}
            for epoch, end in enumerate(ends, 1)
        ]
        runs.write_metrics(tmp_path / name, lines)
    assert runner.seconds([tmp_path / "a", tmp_path / "b"]) == 2.0  # of 1, 2, 100, 2, 2
    assert runner.seconds([]) is None


def test_nothing_can_choose_among_rates_without_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = toy.Toy(sizes={"train": 8, "test": 8})
    monkeypatch.setattr("synaptrace.compare.run.load_data", lambda _: data)
    with pytest.raises(UserError, match="no validation samples to choose among 2 rates by"):
        runner.train(make(tmp_path / "c", "tp"), progress=False)
    assert not (tmp_path / "c").exists()
    runner.check(compare.plan(["tp"], overrides=SMALL, rates=[1e-3], out=tmp_path / "c"))


def test_data_that_are_not_there_leave_nothing_behind(tmp_path: Path) -> None:
    words = ["compare", "--rules", "tp", "--preset", "fsdd", "--out", str(tmp_path / "c")]
    assert cli.main([*words, "--data.path", str(tmp_path / "nowhere"), "--quiet"]) == 2
    assert not (tmp_path / "c").exists()


def test_a_killed_process_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_process(monkeypatch)

    def killed(*_: object) -> None:
        raise runner.BrokenProcessPool

    monkeypatch.setattr(runner, "once", killed)
    with pytest.raises(UserError, match=r"readout-only.*killed.*goes on where it stopped"):
        runner.train(make(tmp_path, "readout-only"), progress=False)


def test_every_training_has_the_threads_that_the_comparison_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    in_process(monkeypatch)
    plan = make(tmp_path, "readout-only", seeds=1)
    torch.set_num_threads(2)
    runner.train(plan, jobs=1, progress=False)
    assert json.loads((tmp_path / compare.ABOUT).read_text())["threads"] == 2
    plan = make(tmp_path, "readout-only", seeds=1)
    shutil.rmtree(plan.run(plan.first("readout-only")[0]))
    torch.set_num_threads(1)
    runner.train(plan, jobs=2, progress=False)
    assert {each["threads"] for each in runner.row(plan, "readout-only")["outcomes"]} == {2}


def sleep(pipe: Connection) -> None:
    """A worker's process, whose parent is killed."""
    pool = ProcessPoolExecutor(1, get_context("spawn"), runner.end_with_parent)
    pipe.send(pool.submit(os.getpid).result())
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_end_with_a_killed_parent() -> None:
    ours, theirs = get_context("spawn").Pipe()
    parent = get_context("spawn").Process(target=sleep, args=(theirs,))
    parent.start()
    worker = ours.recv()
    parent.join(LIMIT)

    def ended() -> bool:
        try:
            return Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z"
        except OSError:  # it may go between any two looks
            return True

    try:
        until(ended, "the worker lived on")
    except AssertionError:
        os.kill(worker, signal.SIGKILL)
        raise


@pytest.mark.parametrize("content", ["[]", '{"rates": 1}', "3", "null"])
def test_files_of_wrong_types_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    in_process(monkeypatch)
    plan = make(tmp_path, "readout-only", seeds=1)
    runner.train(plan, progress=False)
    run = plan.run(plan.first("readout-only")[0])
    (run / runner.COSTS).write_text(content)
    with pytest.raises(UserError, match=r"costs\.json"):
        runner.row(plan, "readout-only")
    (run / runs.METRICS).write_text("")
    with pytest.raises(UserError, match=r"metrics\.jsonl: is missing or empty"):
        plan.best("readout-only")
    (tmp_path / compare.ABOUT).write_text(content)
    with pytest.raises(UserError, match=r"comparison\.json"):
        make(tmp_path, "readout-only", seeds=1)


def test_labels_are_brief_in_the_picture() -> None:
    label = "tp:eligibility=true:train.update=step:train.lr_readout=1e-3:rates=1e-4/3e-4"
    assert table.brief(label) == "tp:eligibility:update=step"
    assert table.brief("readout-only") == "readout-only"
