"""Training: it learns, the protocol is honest, and what goes wrong is said in one line."""

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import toy
from synaptrace import memory, rules
from synaptrace.errors import UserError
from synaptrace.seeds import generator
from synaptrace.training import checkpoint, loop, schedule, tensorboard
from synaptrace.training import run as runs
from synaptrace.training.evaluate import evaluate
from synaptrace.training.loop import Diverged, fit
from synaptrace.training.state import State


def train(data: toy.Toy | None = None, **options: Any) -> dict[str, Any]:
    net, rule = toy.make()
    return fit(net, rule, data or toy.Toy(), progress=False, **{"epochs": 2, "lr": 1e-2} | options)


def weights(update: str | int, **options: Any) -> list[torch.Tensor]:
    net, rule = toy.make()
    data = toy.Toy()
    fit(net, rule, data, epochs=1, lr=1e-2, update=update, progress=False, **options)
    return [weight.detach() for weight in net.parameters()]


@pytest.mark.parametrize("update", ["sequence", "step", 4])
def test_it_learns(update: str | int, tmp_path: Path) -> None:
    summary = train(epochs=8, lr=3e-2, update=update, run=tmp_path)
    lines = runs.read_metrics(tmp_path)
    assert summary["test_accuracy"] > 0.8
    assert lines[-1]["losses"]["layers.0"] < lines[0]["losses"]["layers.0"]
    assert lines[-1]["losses"]["readout"] < lines[0]["losses"]["readout"]


def test_metrics_and_summary(tmp_path: Path) -> None:
    summary = train(toy.Toy(lengths=True), run=tmp_path, seed=3, config={"any": "thing"})
    first, second = runs.read_metrics(tmp_path)
    assert first.keys() == second.keys() == {
        "epoch", "train_accuracy", "validation_accuracy", "losses", "rates", "lr", "seconds",
        "peak_memory_bytes", "run_id",
    }  # fmt: skip
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert first["losses"].keys() == {"layers.0", "readout"}
    assert 0 < first["rates"]["layers.0"] < 1
    assert second["lr"] == schedule.cosine(1, 2, 1e-2, 2.5e-3)
    assert 0 < first["seconds"] < second["seconds"] == summary["seconds"]
    assert summary == runs.read_summary(tmp_path)
    assert summary["seed"] == 3
    assert summary["parameters"] == 12 * 16 + 16 * 3
    assert len(summary["config_hash"]) == 64
    assert summary["config_hash"] != train(config={"any": "other"})["config_hash"]
    assert "test_accuracy_best_paper_protocol" not in summary


def test_the_seed_decides(tmp_path: Path) -> None:
    assert all(map(torch.equal, weights("sequence", seed=1), weights("sequence", seed=1)))
    assert not all(map(torch.equal, weights("sequence", seed=1), weights("sequence", seed=2)))


def test_update_schedules_differ_as_they_should() -> None:
    assert all(map(torch.equal, weights("step"), weights(1)))
    assert all(map(torch.equal, weights("sequence"), weights(toy.STEPS)))
    assert not all(map(torch.equal, weights("sequence"), weights("step")))
    for wrong in ("often", 0, -1, True):
        with pytest.raises(UserError, match=r"train\.update"):
            schedule.every(wrong)


def test_cosine_is_pytorchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7, eta_min=0.1)
    for epoch in range(7):
        expected = optimizer.param_groups[0]["lr"]
        assert schedule.cosine(epoch, 7, 0.4, 0.1) == pytest.approx(expected)
        optimizer.step()
        reference.step()


def test_average_forgets_the_start() -> None:
    mean, net = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(mean.weight)
    torch.nn.init.ones_(net.weight)
    expected = 0.0
    for n in range(40):
        schedule.average(mean, net, 0.8, n)
        decay = min(0.8, (1 + n) / (10 + n))
        expected = decay * expected + 1 - decay
        assert mean.weight.item() == pytest.approx(expected, rel=1e-5)
    assert mean.weight.item() > 0.999


def test_averaged_weights_are_the_ones_evaluated(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    net, rule = toy.make()

    class Watched(toy.Toy):
        def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
            for batch in super().batches(split, generator):
                seen.append(net.readout.weight.detach().clone())
                yield batch

    data = Watched(sizes={"train": 40, "test": 24})
    summary = fit(net, rule, data, epochs=2, lr=1e-2, ema=0.5, run=tmp_path, progress=False)
    last = checkpoint.load(tmp_path / runs.LAST)[0]["net.readout.weight"]
    mean, *after = [*seen[:10], last]  # before the first batch, and after each of the ten
    for n, weight in enumerate(after):
        mean = mean.lerp(weight, 1 - min(0.5, (1 + n) / (10 + n)))
    torch.testing.assert_close(net.readout.weight.detach(), mean)
    assert summary["test_accuracy"] == evaluate(net, toy.Toy().batches("test")).accuracy


def test_validation_picks_and_the_test_set_is_read_last(tmp_path: Path) -> None:
    data = toy.Toy()
    summary = train(data, epochs=6, run=tmp_path)
    lines = runs.read_metrics(tmp_path)
    ranked = max(lines, key=lambda line: (line["validation_accuracy"], line["epoch"]))
    assert summary["picked_epoch"] == ranked["epoch"]
    assert summary["validation_accuracy"] == ranked["validation_accuracy"]
    splits = [split for split, _ in data.drawn]
    first = splits.index("test")
    assert set(splits[first:]) == {"test"}
    reads = 1 if summary["picked_epoch"] == 6 else 2
    assert len(splits) - first == reads * 3  # 24 samples in batches of 8
    for name, key in ((runs.BEST, "test_accuracy"), (runs.LAST, "test_accuracy_last")):
        net = runs.load(tmp_path / name)
        assert summary[key] == evaluate(net, data.batches("test")).accuracy


class Worsening(toy.Toy):
    """Its validation labels are moved on by one class after the first epoch."""

    def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
        for events, labels, lengths in super().batches(split, generator):
            wrong = split == "validation" and self.drawn.count(("train", 0)) > 1
            yield events, (labels + 1) % toy.CLASSES if wrong else labels, lengths


def test_the_picked_weights_are_those_of_their_epoch(tmp_path: Path) -> None:
    net, rule = toy.make()
    summary = fit(net, rule, Worsening(), epochs=6, lr=1e-2, run=tmp_path, progress=False)
    assert summary["picked_epoch"] == 1
    twin, rule = toy.make()
    fit(twin, rule, toy.Toy(), epochs=1, lr=1e-2, progress=False)
    assert all(map(torch.equal, net.parameters(), twin.parameters()))
    last = runs.load(tmp_path / runs.LAST)
    assert not any(map(torch.equal, net.parameters(), last.parameters()))


def test_the_picked_epochs_spikes_are_told(tmp_path: Path) -> None:
    summary = train(Worsening(), epochs=6, lr=5e-2, run=tmp_path)
    assert summary["picked_epoch"] == 1
    picked, last = (
        evaluate(runs.load(tmp_path / name), toy.Toy().batches("test")).spikes_per_inference
        for name in (runs.BEST, runs.LAST)
    )
    assert summary["spikes_per_inference"] == picked != last


def test_a_layer_that_spikes_is_not_called_silent(capsys: pytest.CaptureFixture[str]) -> None:
    line = {"epoch": 1, "rates": {"layers.0": 5e-5}}
    loop.warn_of_idle_layers(line, [])
    assert capsys.readouterr().err == ""
    line["rates"] = {"layers.0": 0.0}
    loop.warn_of_idle_layers(line, [])
    assert "layers.0 is silent" in (said := capsys.readouterr().err)
    assert "can't learn" not in said


def test_an_earlier_trainings_memory_is_not_this_ones() -> None:
    net, rule = toy.make()
    large = torch.ones(2**25)  # 128 MiB
    place = torch.device("cpu")
    before = memory.peak_memory(place)
    del large
    summary = fit(net, rule, toy.Toy(), epochs=1, progress=False)
    assert summary["peak_memory_bytes"] < before - 2**26


def test_paper_protocol_adds_a_label_and_changes_nothing(tmp_path: Path) -> None:
    plain = train(epochs=4)
    summary = train(epochs=4, paper_protocol=True, run=tmp_path)
    lines = runs.read_metrics(tmp_path)
    best = max(line["test_accuracy_paper_protocol"] for line in lines)
    assert summary["test_accuracy_best_paper_protocol"] == best
    assert "test set picked it" in summary["paper_protocol"]
    for key in ("test_accuracy", "test_accuracy_last", "validation_accuracy", "picked_epoch"):
        assert summary[key] == plain[key]


@pytest.mark.parametrize("left_out", [("validation",), ("test",), ("validation", "test")])
def test_splits_that_do_not_exist(left_out: tuple[str, ...], tmp_path: Path) -> None:
    sizes = {name: size for name, size in toy.SIZES.items() if name not in left_out}
    summary = train(toy.Toy(sizes=sizes), run=tmp_path, paper_protocol=True)
    if "validation" in left_out:
        assert summary["validation_accuracy"] is None
        assert summary["picked_epoch"] == 2
        assert summary["test_accuracy"] == summary["test_accuracy_last"]
    for key in ("test_accuracy", "test_accuracy_last", "test_accuracy_best_paper_protocol"):
        assert (summary[key] is None) == ("test" in left_out)
    runs.load(tmp_path)


def test_a_silent_and_a_saturated_layer_are_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    for value, kind in ((-1.0, "silent"), (1.0, "saturated")):
        net, rule = toy.make()
        with torch.no_grad():
            net.layers[0].weight.fill_(value)
        fit(net, rule, toy.Toy(), epochs=2, lr=1e-9, progress=False)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith(f"synaptrace: warning: layers.0 is {kind}: ")
    train()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("update", ["sequence", "step"])
def test_divergence_stops_and_keeps_the_last_good_weights(tmp_path: Path, update: str) -> None:
    class Poisoned(toy.Toy):
        def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
            for events, labels, lengths in super().batches(split, generator):
                third = sum(drawn == ("train", 0) for drawn in self.drawn) == 3
                yield events * (math.inf if third else 1.0), labels, lengths

    with pytest.raises(Diverged, match=r"train\.lr: .* after epoch 3, batch 1; .*last\.saf"):
        train(Poisoned(), epochs=4, update=update, run=tmp_path)
    assert Diverged.exit_code == 3
    good = runs.load(tmp_path / runs.LAST)
    assert all(weight.isfinite().all() for weight in good.parameters())
    assert len(runs.read_metrics(tmp_path)) == 2
    assert runs.read_summary(tmp_path) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"train\.epochs"),
        ({"epochs": True}, r"train\.epochs"),
        ({"lr": -1.0}, r"train\.lr"),
        ({"lr": math.nan}, r"train\.lr"),
        ({"lr_final": -1.0}, r"train\.lr"),
        ({"lr_readout": 0.0}, r"train\.lr_readout"),
        ({"lr_readout": math.inf}, r"train\.lr_readout"),
        ({"ema": 1.0}, r"train\.ema"),
        ({"update": "daily"}, r"train\.update"),
        ({"device": "abacus"}, r"train\.device: 'abacus' can't be used"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        train(run=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_the_readout_has_a_rate_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    def learn(state: State, *rest: Any) -> list[float]:
        groups = state.optimizer.param_groups
        if not state.at.batch:
            seen.append([group["lr"] for group in groups])
        if len(groups) == 2:
            assert [id(p) for p in groups[1]["params"]] == [id(state.net.readout.weight)]
        return loop_learn(state, *rest)

    loop_learn = loop.learn
    monkeypatch.setattr(loop, "learn", learn)
    net, rule = toy.make(train_label=True)  # a parameter that comes after the readout's
    options: dict[str, Any] = {"epochs": 3, "lr": 1e-2, "progress": False}
    fit(net, rule, toy.Toy(), lr_readout=4e-2, run=tmp_path, **options)
    rates = [schedule.cosine(epoch, 3, 1e-2, 2.5e-3) for epoch in range(3)]
    assert [pytest.approx([rate, 4 * rate]) for rate in rates] == seen
    lines = runs.read_metrics(tmp_path)
    assert [[line["lr"], line["lr_readout"]] for line in lines] == seen

    seen.clear()
    net, rule = toy.make(train_label=True)
    fit(net, rule, toy.Toy(), lr_readout=None, **options)
    assert seen == [[rate] for rate in rates]
    net.readout.weight.requires_grad_(False)
    with pytest.raises(UserError, match=r"train\.lr_readout: the readout's weight is frozen"):
        fit(net, rule, toy.Toy(), lr_readout=4e-2, **options)


@pytest.mark.parametrize("update", ["sequence", "step"])
@pytest.mark.parametrize("rule", ["tp", "eprop"])
def test_a_readout_at_everyones_rate_is_as_in_one_group(rule: str, update: str) -> None:
    def trained(lr_readout: float | None) -> list[torch.Tensor]:
        net, _ = toy.make()
        fit(
            net, rules.build(net, rule, generator=generator(0, "rule")), toy.Toy(), epochs=2,
            lr=0.5**7, lr_final=0.5**7, lr_readout=lr_readout, update=update, progress=False,
        )  # fmt: skip
        return [weight.detach() for weight in net.parameters()]

    one = trained(None)
    assert all(map(torch.equal, one, trained(0.5**7)))
    assert not torch.equal(one[-1], trained(0.5**5)[-1])


def test_data_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="toy has no training samples"):
        train(toy.Toy(sizes={"test": 24}), run=tmp_path / "run")
    _, rule = toy.make()
    for inputs, classes, message in ((13, 3, "doesn't fit a network"), (12, 4, "3 classes")):
        net = toy.mlp(inputs, [4], classes)
        with pytest.raises(UserError, match=message):
            fit(net, rule, toy.Toy(), run=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()

    class Exhausted(toy.Toy):
        def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
            return iter(()) if ("train", 0) in self.drawn else super().batches(split, generator)

    with pytest.raises(UserError, match="toy gave no training samples in epoch 2"):
        train(Exhausted())


def test_tensorboard_is_asked_for_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="TensorBoard is not installed"):
        train(run=tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(run=tmp_path, tensorboard=True)
    curves = EventAccumulator(str(tmp_path / "tensorboard"))
    curves.Reload()
    written = [event.value for event in curves.Scalars("losses/layers.0")]
    expected = [line["losses"]["layers.0"] for line in runs.read_metrics(tmp_path)]
    assert written == pytest.approx(expected)


def test_every_argument_is_documented() -> None:
    text = inspect.getdoc(fit) or ""
    missing = [name for name in inspect.signature(fit).parameters if name not in text]
    assert missing == []
