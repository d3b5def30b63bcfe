"""Runs that an earlier version trained are read, evaluated and resumed.

old_run/ was made at commit 9d33b2a, before the code moved house, by

    synaptrace train --model.hidden [6] --train.epochs 2 --rule.engine torch
        --rule.train_label true --train.threads 1 --train.ema 0.5 --data.dt 30
        --data.batch_size 16 --train.lr 5e-3 --neuron.threshold 1.0 --model.readout_decay 0.9

`finished` to its end, `cut_off` killed amid its second epoch, after a checkpoint. amid.safetensors
holds the state dicts of a network and of TP after five of nine steps, with the four inputs left and
the logits and gradients that they gave.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import synaptrace as st
from synaptrace import cli
from synaptrace.rules import build
from synaptrace.training import checkpoint
from synaptrace.training.run import BEST, LAST, METRICS, SUMMARY

OLD = Path(__file__).with_name("old_run")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the runs, as commands write beside them."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_evaluated_as_it_was(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", str(old / "finished"), "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    summary = json.loads((OLD / "finished" / SUMMARY).read_text())
    assert score["accuracy"] == pytest.approx(summary["test_accuracy"], abs=0.005)
    spikes = summary["spikes_per_inference"]
    assert spikes > 1
    assert score["spikes_per_inference"] == pytest.approx(spikes, rel=0.01)


def test_predicts_and_draws(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, run = old / "one.png", str(old / "finished")
    Image.new("L", (8, 8), 128).save(picture)
    assert cli.main(["predict", run, str(picture), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(picture)
    assert cli.main(["plot", "curve", run]) == 0
    assert (old / "finished" / "curve.png").stat().st_size > 1000


def test_gives_its_network_and_rule() -> None:
    net, rule = st.load(OLD / "finished", rule=True)
    assert isinstance(rule, st.TracesPropagation)
    assert rule.train_label
    tensors = checkpoint.load(OLD / "finished" / BEST)[0]
    assert torch.equal(net.readout.weight, tensors["ema.readout.weight"])
    assert torch.equal(rule.label.weight, tensors["rule.label.weight"])


def test_resumed_to_the_same_end(old: Path) -> None:
    """Close, not equal: another processor may round otherwise and so flip a spike."""
    before = checkpoint.load(OLD / "cut_off" / LAST)[0]
    assert cli.main(["resume", str(old / "cut_off"), "--quiet"]) == 0
    for name in (LAST, BEST):
        here, there = (
            checkpoint.load(run / name)[0] for run in (old / "cut_off", old / "finished")
        )
        assert here.keys() == there.keys()
        for key in (key for key in there if key.endswith("weight")):
            torch.testing.assert_close(here[key], there[key], atol=0.01, rtol=0)
            assert name == BEST or (before[key] - there[key]).abs().max() > 0.04
    first, second = (old / "cut_off" / METRICS).read_text().splitlines()
    assert json.loads(first).items() >= json.loads((OLD / "cut_off" / METRICS).read_text()).items()
    assert json.loads(second)["epoch"] == 2
    ends = [json.loads((old / run / SUMMARY).read_text()) for run in ("cut_off", "finished")]
    assert ends[0]["test_accuracy"] == pytest.approx(ends[1]["test_accuracy"], abs=0.03)


def test_taken_up_amid_a_sequence() -> None:
    kept = load_file(OLD / "amid.safetensors")
    net = st.mlp(12, [10, 8], 4, neuron=st.LIF(threshold=0.3), recurrent=True)
    rule = build(net, "tp", train_label=True)
    net.load_state_dict(checkpoint.part(kept, "net"))
    rule.load_state_dict(checkpoint.part(kept, "rule"))
    for x in kept["events"]:
        logits = rule.step(x)
    rule.finish()
    assert rule.time == 9
    assert rule.rates.min() > 0.2
    torch.testing.assert_close(logits, kept["logits"])
    modules = {"net": net, "rule": rule}
    gradients = checkpoint.part(kept, "grad")
    assert len(gradients) == 6
    for name, gradient in gradients.items():
        part, _, own = name.partition(".")
        torch.testing.assert_close(modules[part].get_parameter(own).grad, gradient)
