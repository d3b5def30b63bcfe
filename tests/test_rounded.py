"""Fine-tuning for weights in whole numbers: what runs is what will be exported."""

from pathlib import Path

import pytest
import torch

from synaptrace.build import mlp
from synaptrace.errors import UserError
from synaptrace.keyword import adapt as adapting
from synaptrace.keyword.adapt import adapt
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.rounded import Grid, grids
from synaptrace.network import Network
from synaptrace.neuron import LIF
from synaptrace.rules.held import HeldWeights
from synaptrace.rules.tp.native import Updates
from synaptrace.seeds import generator
from synaptrace.ship.c import accuracy, fixed, plan
from synaptrace.training.evaluate import evaluate
from test_adapt import CLASSES, INPUTS, STEPS, make, toy, weights


def on_grid(places: list[Grid]) -> bool:
    """Whether each weight is a whole number of steps, and no larger than it may be."""
    numbers = [grid.weight.detach().double() / grid.step for grid in places]
    return all(
        bool((each == each.round()).all()) and float(each.abs().max()) <= grid.most
        for each, grid in zip(numbers, places, strict=True)
    )


def exported(net: Network, precision: str) -> fixed.Fixed:
    made = plan.plan(net, precision=precision)
    return fixed.fix(net, made, fixed.calibrate(toy()), STEPS)


@pytest.mark.parametrize(
    ("precision", "update", "epochs", "engine"),
    [("int8", "sequence", 10, "auto"), ("int16", "sequence", 10, "torch"),
     ("int8", "step", 3, "torch"), ("int16", "step", 3, "auto")],
)  # fmt: skip
def test_it_runs_with_the_weights_that_are_exported(
    precision, update, epochs, engine, monkeypatch
):  # fmt: skip
    data, (net, rule) = toy(), make()
    rule.engine = engine
    places, seen = grids(net, data, precision), []
    learn, refresh, update_natively = adapting.learn, HeldWeights._refresh, Updates.update

    def watched(*given):
        seen.append(on_grid(places))
        return learn(*given)

    def refreshed(self):
        seen.append(on_grid(places))
        refresh(self)

    def updated(self):
        done = update_natively(self)
        seen.append(on_grid(places))
        return done

    monkeypatch.setattr(adapting, "learn", watched)
    monkeypatch.setattr(HeldWeights, "_refresh", refreshed)
    monkeypatch.setattr(Updates, "update", updated)
    assert not on_grid(places)
    keep = Keep(anchor=0.001)
    adapt(net, rule, data, range(6), epochs=epochs, lr=1e-2, update=update, keep=keep,
          precision=precision)  # fmt: skip
    assert all(seen)
    assert len(seen) >= epochs * 6 * (8 if update == "step" else 1)
    assert on_grid(places)
    whole = exported(net, precision)
    stored = [(whole.layers[0].weight, whole.layers[0].scale, net.layers[0].weight),
              (whole.layers[0].recurrent, whole.layers[0].own_scale, net.layers[0].recurrent),
              (whole.readout.weight, whole.readout.scale, net.readout.weight)]  # fmt: skip
    for numbers, power, weight in stored:
        shipped = torch.from_numpy(numbers).t().double() / 2.0**power
        assert torch.equal(shipped, weight.detach().double())
        assert len(numbers[numbers != 0]) > numbers.size / 2
    right, samples = accuracy.score(lambda x: fixed.run(whole, x), data.batches("query"))
    assert right / samples == evaluate(net, data.batches("query")).accuracy > 0.6


def test_small_gradients_add_up_in_the_weights_as_they_are():
    data, (net, rule) = toy(), make()
    grid = grids(net, data, "int8")[-1]
    start = Grid(grid.weight.detach().clone(), grid.step, grid.most)
    start.round()
    rate = grid.step / 40  # by which Adam changes a weight at most, or nearly so
    adapt(net, rule, data, range(6), epochs=20, lr=rate, precision="int8")
    moved = ((grid.weight.detach() - start.weight) / grid.step).abs()
    assert float(moved.max()) >= 1
    assert bool((moved == moved.round()).all())


def test_cut_off_it_goes_on_bit_for_bit(tmp_path: Path, monkeypatch):
    options = {"epochs": 3, "lr": 1e-2, "precision": "int8", "checkpoint_seconds": 0.0}
    straight, rule = make()
    adapt(straight, rule, toy(), range(6), run=tmp_path / "a", **options)
    learn, calls = adapting.learn, []

    def stopped(*given):
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return learn(*given)

    monkeypatch.setattr(adapting, "learn", stopped)
    net, rule = make()
    with pytest.raises(KeyboardInterrupt):
        adapt(net, rule, toy(), range(6), run=tmp_path / "b", **options)
    net, rule = make()
    done = adapt(net, rule, toy(), range(6), run=tmp_path / "b", **options)
    assert (done["batches"], len(calls)) == (18, 9 + 10)
    assert all(torch.equal(weight, weights(net)[k]) for k, weight in weights(straight).items())
    with pytest.raises(UserError, match="precision 'int8', not None"):
        adapt(*make(), toy(), range(6), run=tmp_path / "b", **options | {"precision": "float32"})


def test_what_lies_on_no_grid_is_refused():
    draws = generator(0, "weights")
    net = mlp(INPUTS, [4], CLASSES, neuron=LIF(1.0, 0.8, 0.8), standardise=True, generator=draws)
    with pytest.raises(UserError, match="--precision: standardised"):
        grids(net, toy(), "int8")
