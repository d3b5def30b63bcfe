"""Sweeps: the space, what a trial may see, exact continuation, the winner, bad input."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import yaml

import synaptrace as st
import toy
from processes import PROCESSES
from synaptrace import cli
from synaptrace.compare import run as compared
from synaptrace.config import resolve
from synaptrace.errors import UserError
from synaptrace.sweep import plan as plans
from synaptrace.sweep import score, space, study, table, winner, work
from synaptrace.training.loop import Diverged
from synaptrace.training.telling import left

pytest.importorskip("optuna")

SMALL = {
    "model.hidden": "[12]", "data.batch_size": "256", "data.dt": "60", "train.epochs": "2",
    "neuron.threshold": "0.5",
}  # fmt: skip
WORDS = [word for key, value in SMALL.items() for word in (f"--{key}", value)]
SEARCH = {"train.lr": "1e-3..1e-1:log", "neuron.decay": "0.5,0.9"}


def make(out: Path, **options: object) -> plans.Plan:
    return plans.plan(
        SEARCH, overrides=SMALL, out=out, **{"trials": 4, "final": 2, "prune": "none", **options}
    )


def carry_out(plan: plans.Plan) -> dict[str, object]:
    return work.carry_out(plan, progress=False)


def trials(plan: plans.Plan) -> list[tuple[object, ...]]:
    found = study.opened(plan).trials
    return [(each.state.name, each.params, each.value, each.intermediate_values) for each in found]


@pytest.fixture
def no_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies end with their trials; nothing is tested."""
    monkeypatch.setattr(work, "judge", lambda *_: {})


def scored(monkeypatch: pytest.MonkeyPatch, by: object) -> None:
    """Trials aren't trained: ``by(config, epoch)`` is the accuracy after each of their epochs."""

    def scores(config, dataset, seeds, run, report):  # type: ignore[no-untyped-def]
        for epoch in range(1, config.train["epochs"] + 1):
            accuracy = by(config, epoch)  # type: ignore[operator]
            report(epoch, accuracy)
        return [accuracy] * seeds

    monkeypatch.setattr(work, "scores", scores)
    monkeypatch.setattr(work, "fits", lambda *_: None)


def test_a_space_is_read_as_it_is_written(tmp_path: Path) -> None:
    words = ["train.lr=1e-4..1e-2:log", "rule.temperature=1..10", "train.epochs=2..8:int",
             "model.hidden=[200],[450,200]", "neuron.reset=zero,subtract"]  # fmt: skip
    found = space.parse(space.given(words))
    assert found == {
        "train.lr": space.Range(1e-4, 1e-2, log=True),
        "rule.temperature": space.Range(1, 10),
        "train.epochs": space.Range(2, 8, whole=True),
        "model.hidden": space.Choices(("[200]", "[450,200]")),
        "neuron.reset": space.Choices(("zero", "subtract")),
    }
    file = tmp_path / "space.yaml"
    file.write_text(
        "train.lr: 1e-4..1e-2:log\nrule.temperature: 1..10\ntrain.epochs: 2..8:int\n"
        "model.hidden: [[200], [450, 200]]\nneuron.reset: zero,subtract\n"
    )
    again = space.parse(space.given([str(file)]))
    assert again.pop("model.hidden") == space.Choices(("[200]", "[450, 200]"))
    del found["model.hidden"]
    assert again == found


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train.lrr=1e-4..1e-2", "train.lrr' is no setting; did you mean train.lr"),
        ("tp.xyzzy=1..2", "is no setting; there are"),
        ("train.lr=1e-2..1e-4", "LOW should be below HIGH"),
        ("train.lr=1e-2..1e-2", "LOW should be below HIGH"),
        ("train.lr=0..1:log", "a logarithmic range begins above 0"),
        ("train.lr=a..b", "should be numbers"),
        ("train.lr=1..inf", "finite"),
        ("train.lr=1..2:exp", "ends with :log, :int"),
        ("train.epochs=1..8", "whole numbers: LOW..HIGH:int"),
        ("train.epochs=1.5..8:int", "begins and ends with one"),
        ("train.ema=0.5..1.5", "train.ema: 1.5 should be less than 1"),
        ("model.hidden=[8],x", "model.hidden"),
        ("model.hidden=[8],[8", "brackets don't match"),
        ("neuron.reset=zero", "a single value"),
        ("neuron.reset=zero,zero", "one twice"),
        ("train.seed=0..5:int", "can't be chosen by validation"),
        ("train.lr", "--search: train.lr: "),
        ("train.threshold=1,2", "train.threshold' is no setting; did you mean neuron.threshold"),
    ],
)
def test_what_is_no_space_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    words = ["sweep", "--search", word, "--out", str(tmp_path / "s"), *WORDS]
    if "model.hidden" in word:
        words = words[:-10]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert said.removeprefix("--search: train.lr: ") in error
    assert error.count("\n") == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sweep"], "at least one KEY=SPACE"),
        (["sweep", "tell", "DIR"], "the only word"),
        (["sweep", "--join", "DIR"], "no study of a sweep"),
        (["sweep", "--join", "DIR", "--jobs", "0"], "--jobs: 0"),
        (["sweep", "show", "DIR"], "no study of a sweep"),
        (["sweep", "--join", "DIR", "--trials", "9"], "--jobs, --quiet alone go with it, --trials"),
        (["sweep", "--join=DIR", "--train.lr", "1"], "--train.lr doesn't"),
        (["sweep", "show", "DIR", "--jobs=2"], "--best-preset, --json alone go with it, --jobs"),
        (["sweep", "--search", "no.yaml"], "no.yaml: "),
        (["sweep", "--search", "train.lr=1,2", "--trials", "0"], "--trials: 0"),
        (["sweep", "--search", "train.lr=1,2", "--final", "1"], "--final: 1"),
        (["sweep", "--search", "train.lr=1,2", "--jobs", "0"], "--jobs: 0"),
        (["sweep", "--search", "train.lr=1,2", "--prune", "all"], "--prune: 'all'"),
        (["sweep", "--search", "train.lr=1,2", "--train.lr", "3"], "is searched already"),
        (["sweep", "--search", "train.lr=1,2", "--storage", "what://x"], "can't be opened"),
        (["sweep", "--search", "train.lr=1,2", "--train.paper_protocol", "true"], "reads the test"),
    ],
)
def test_bad_options_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert said in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_optuna_the_extra_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "find_spec", lambda _: None)
    assert cli.main(["sweep", "--search", "train.lr=1,2", "--out", str(tmp_path / "s")]) == 2
    assert "pip install 'synaptrace[sweep]'" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_score_is_validation_and_the_test_set_stays_unread(tmp_path: Path) -> None:
    """Of the same training, seed by seed, as without a sweep; whatever is at hand of it goes on."""
    config = resolve(overrides={**SMALL, "rule.name": "tp", "train.lr": "0.03"})
    data = toy.Toy()
    seen: list[tuple[int, float]] = []
    values = score.scores(config, data, 2, tmp_path / "t", lambda *each: seen.append(each))
    drawn = {split for split, _ in data.drawn}
    assert drawn == {"train", "validation"}
    assert len(set(values)) > 1 or 0 < values[0] <= 1
    for seed, value in enumerate(values):
        net, rule = score.job.build(config.with_train(seed=seed), data)
        own = config.with_train(seed=seed)
        st.fit(net, rule, toy.Toy(), **own.train, run=tmp_path / f"{seed}", progress=False)
        line = json.loads((tmp_path / f"{seed}" / "metrics.jsonl").read_text().splitlines()[-1])
        assert line["validation_accuracy"] == value
        assert sum(line["rates"].values()) > 0
    assert seen == [(1, seen[0][1]), (2, values[0])]
    data.drawn.clear()
    assert score.scores(config, data, 2, tmp_path / "t") == values
    assert not data.drawn


def test_the_objective_takes_values_as_python_has_them() -> None:
    changes = {**SMALL, "model.hidden": [10], "train.lr": 0.01, "train.epochs": 1}
    seen: list[int] = []
    found = st.sweep.objective(changes, report=lambda epoch, _: seen.append(epoch))
    assert found == st.sweep.objective({k: str(v) for k, v in changes.items()})
    assert seen == [1]
    assert 0 < found < 1

    def enough(epoch: int, accuracy: float) -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        st.sweep.objective(changes, report=enough)


def test_the_preset_comes_first_and_one_job_finds_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_final: None
) -> None:
    scored(monkeypatch, lambda config, epoch: 1 / (1 + abs(config.train["lr"] - 0.02)))
    plan = plans.plan(
        {**SEARCH, "train.lr": "1e-3..1e-1:log", "model.gain": "1..4"},
        overrides=SMALL, trials=16, final=2, prune="none", out=tmp_path / "a",
    )  # fmt: skip
    carry_out(plan)
    found = trials(plan)
    assert len(found) == 16
    own = {"train.lr": 3e-3, "neuron.decay": "0.9", "model.gain": plan.base.model["gain"]}
    assert found[0][1] == own
    assert len({str(each[1]) for each in found}) == 16
    again = plans.plan(
        plan.search, overrides={k: v for k, v in SMALL.items() if k != "train.lr"},
        trials=16, final=2, prune="none", out=tmp_path / "b",
    )  # fmt: skip
    carry_out(again)
    assert trials(again) == found


@pytest.mark.parametrize("how", ["median", "hyperband"])
def test_bad_trials_are_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_final: None, how: plans.Pruning
) -> None:
    scored(monkeypatch, lambda config, epoch: 0.5 - config.train["lr"] + 0.01 * epoch)
    monkeypatch.setitem(SMALL, "train.epochs", "9")
    plan = make(tmp_path, trials=12, prune=how)
    carry_out(plan)
    found = trials(plan)
    states = [each[0] for each in found]
    assert states[0] == "COMPLETE"
    assert "PRUNED" in states
    assert all(len(each[3]) < 9 for each in found if each[0] == "PRUNED")
    assert "pruned after epoch" in work.said(study.opened(plan), states.index("PRUNED"))


def test_what_diverges_or_does_not_fit_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_final: None
) -> None:
    def by(config, epoch):  # type: ignore[no-untyped-def]
        if config.train["lr"] > 1:
            raise Diverged("train.lr: the loss is infinite")
        return 0.5

    scored(monkeypatch, by)
    search = {"train.lr": "3e-3,3e38", "rule.name": "tp,readout-only"}
    search["rule.contrast"] = "class,batch"
    plan = plans.plan(search, overrides=SMALL, trials=8, final=2, prune="none", out=tmp_path)
    carry_out(plan)
    rows = table.rows(plan, study.opened(plan).trials)
    notes = [row[-1] for row in rows if row[3] == "failed"]
    assert len(rows) == 9
    assert any("diverged" in note for note in notes)
    assert any("rule.contrast: no such setting" in note for note in notes)
    assert any(row[3] == "finished" for row in rows)


def live(plan: plans.Plan, death: str) -> None:
    """`toy.live`, for a study: its process kills itself when ``death`` names the moment."""
    seen, move = toy.Counter(), Path.replace

    def replace(source: Path, target: Path) -> Path:
        seen[target.name] += 1
        if f"{target.name} {seen[target.name]}" == death:
            os.kill(os.getpid(), signal.SIGKILL)
        return move(source, target)

    Path.replace = replace  # type: ignore[method-assign]
    work.prepare(plan, 1)
    work.work(plan, 1, progress=False)


def test_a_study_that_is_killed_goes_on_as_if_it_had_not_been(
    tmp_path: Path, no_final: None, one_thread: None
) -> None:
    """SIGKILL in the second epoch of trial 1: the same trials, settings and accuracies."""
    whole, cut = make(tmp_path / "whole", trials=3), make(tmp_path / "cut", trials=3)
    carry_out(whole)
    killed = PROCESSES.Process(target=live, args=(cut, "metrics.jsonl 4"))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert [each[0] for each in trials(cut)] == ["COMPLETE", "RUNNING"]
    carry_out(cut)
    assert trials(cut) == trials(whole)
    assert [each[0] for each in trials(cut)] == ["COMPLETE"] * 3


def test_a_lock_that_a_kill_left_in_the_journal_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_final: None
) -> None:
    """Optuna gives it up after 30 s, by a clock that here runs fast."""
    scored(monkeypatch, lambda config, epoch: 0.5)
    monkeypatch.chdir(tmp_path)
    plan = make(Path("s"), trials=1)
    work.prepare(plan, 1)
    links: list[tuple[object, ...]] = []
    link, clock = os.symlink, iter(range(0, 10**6, 5))
    monkeypatch.setattr(os, "symlink", lambda *paths: links.append(paths) or link(*paths))
    study.opened(plan)
    carry_out(plan)
    link(*links[0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))  # ends where it waits for good
    assert len(study.opened(plan).trials) == 1
    study.opened(plan).set_user_attr("any", 1)
    assert not os.path.lexists(links[0][1])


def test_a_trial_that_is_killed_each_time_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_final: None
) -> None:
    scored(monkeypatch, lambda config, epoch: 0.5)
    plan = make(tmp_path, trials=2)
    work.prepare(plan, 1)
    for _ in range(study.MOST_BEGUN):
        with study.claimed(plan, study.opened(plan)) as trial:
            assert trial is not None
            assert trial.number == 0
            trial.set_user_attr(study.BEGUN, trial.user_attrs.get(study.BEGUN, 0) + 1)
            with study.claimed(plan, study.opened(plan)) as other:  # what is held isn't taken
                assert other is not None
                assert other.number == 1
    carry_out(plan)
    rows = table.rows(plan, study.opened(plan).trials)
    assert [row[3] for row in rows[1:]] == ["finished", "failed"]
    assert "killed 3 times" in rows[2][-1]


def test_only_the_winner_and_the_preset_are_tested_and_on_fresh_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested: list[object] = []
    real = winner.load_data

    class Spy:
        def __init__(self, settings: str) -> None:
            self.whole = real(settings)
            self.meta = self.whole.meta

        def batches(self, split, generator=None):  # type: ignore[no-untyped-def]
            tested.extend([split] if split == "test" else [])
            return self.whole.batches(split, generator)

    monkeypatch.setattr(work, "load_data", Spy)
    plan = make(tmp_path / "s", trials=3, seeds=2, storage=f"sqlite:///{tmp_path / 'x.db'}")
    work.prepare(plan, 1)
    work.work(plan, 1, progress=False)
    assert not tested
    assert not (plan.out / winner.CLOSED).exists()
    monkeypatch.setattr(winner, "load_data", Spy)
    report = carry_out(plan)
    runs = list((plan.out / "final").glob("*/seed-*/summary.json"))
    assert report["seeds"] == [2, 3]
    assert len(runs) == 2 * (1 if report["winner_is_preset"] else 2)
    assert len(runs) <= len(tested) <= 2 * len(runs)  # the last weights, and the picked ones
    tested.clear()
    assert carry_out(plan) == report
    assert not tested
    assert (tmp_path / "x.db").exists()
    assert not (plan.out / plans.JOURNAL).exists()
    other = make(tmp_path / "t", trials=3, seeds=2, storage=plan.storage)
    with pytest.raises(UserError, match="this very study"):
        work.prepare(other, 1)
    assert not other.out.exists()
    with pytest.raises(UserError, match="another study"):
        make(tmp_path / "s", trials=4)


@pytest.mark.parametrize(
    ("own", "said"), [((0.9, 0.91), "better"), ((0.8, 0.81), "level"), ((0.5, 0.51), "worse")]
)
def test_the_verdict_goes_by_two_standard_errors(own: tuple[float, ...], said: str) -> None:
    test = {"winner": {"values": own}, "preset": {"values": (0.8, 0.82)}}
    assert winner.verdict(test) == said


def test_two_jobs_a_table_pictures_and_a_preset(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, best = tmp_path / "s", tmp_path / "best.yaml"
    words = ["sweep", "--search", *(f"{k}={v}" for k, v in SEARCH.items()), "--trials", "4",
             "--final", "2", "--jobs", "2", "--out", str(out), *WORDS]  # fmt: skip
    assert cli.main(words) == 0
    caught = capfd.readouterr()
    assert "4/4 trial" in caught.err
    assert "trials looked at   4 (" in caught.out
    assert "on fresh seeds     the winner is" in caught.out
    assert cli.main(["sweep", "--join", str(out)]) == 0  # nothing is left to do
    assert cli.main(["sweep", "show", str(out), "--best-preset", str(best)]) == 0
    shown = capfd.readouterr().out
    assert shown.splitlines()[0].startswith("trial\tvalidation %")
    assert "the preset" in shown
    for name in ("history.png", "parallel.png"):
        assert (out / name).stat().st_size > 1000
    assert cli.main(["sweep", "show", str(out), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert {each["state"] for each in told["trials"]} <= {"finished", "pruned"}
    plan = plans.read(out)
    found = study.best(study.opened(plan))
    assert found is not None
    assert resolve(file=best) == plan.config(found.params).with_train(
        threads=resolve(file=best).train["threads"]
    )
    assert "found by synaptrace sweep" in yaml.safe_load(best.read_text())["description"]


def test_a_process_that_is_killed_is_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed:
        def submit(self, *_: object) -> None:
            raise compared.BrokenProcessPool

        def shutdown(self, **_: object) -> None:
            pass

    monkeypatch.setattr(compared, "fresh", lambda _: Killed())
    plan = make(tmp_path / "s")
    with pytest.raises(UserError, match=r"/s: a training's process was killed.*same command"):
        work.take_part(plan, 2, 1, progress=False)
    last = plan.out / "final" / "winner" / "seed-9"
    with pytest.raises(UserError, match="final: a training's process was killed"):
        winner.train([(plan.base, last)], 2, 1, progress=False)


def test_the_time_that_is_left_is_told_in_its_unit() -> None:
    assert left(30.0, 3, 4) == "; about 40 s left"
    assert left(30.0, 0, 4) == "; about 2 min left"
    assert left(3600.0, 1, 5) == "; about 5 h left"
    assert left(30.0, 3, 0) == ""


def test_a_comparison_tunes_every_rule_with_the_same_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, lambda config, epoch: 1 / (1 + config.train["lr"]))
    trained: list[tuple[str, tuple[float, ...]]] = []
    monkeypatch.setattr(
        compared, "train", lambda plan, *_, **__: trained.extend(plan.rates.items())
    )
    words = ["compare", "--rules", "tp,eprop", "--tune", "6", "--seeds", "2", "--quiet",
             "--out", str(tmp_path / "c"), *WORDS]  # fmt: skip
    assert cli.main(words) == 0
    found = dict(trained)
    for label in ("tp", "eprop"):
        each = study.opened(plans.read(tmp_path / "c" / "tune" / label)).trials
        lowest = min(trial.params["train.lr"] for trial in each)
        assert len(each) == 6
        assert found[label] == (lowest,)
        assert each[0].params["train.lr"] == 3e-3  # the preset's own
    trained.clear()
    assert cli.main(words) == 0
    assert dict(trained) == found
    capsys.readouterr()
    for bad, said in (["--rates", "1e-3"], "chooses the rates"), (["--tune", "0"], "--tune"):
        assert cli.main(["compare", "--rules", "tp", "--tune", "6", *bad]) == 2
        assert said in capsys.readouterr().err
    other = [*words[:4], "7", *words[5:]]
    assert cli.main(other) == 2
    assert "another study" in capsys.readouterr().err
