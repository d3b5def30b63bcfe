"""Every data set of recordings trains a network on its miniature, and the benchmark runs."""

import argparse
import os

import pytest
import torch

import recordings
import synaptrace as st
from synaptrace import data
from synaptrace.bench import data as bench
from synaptrace.data.sets import dvscifar10
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


def shd(path):
    pytest.importorskip("h5py", reason="h5py isn't installed")
    recordings.heidelberg(path / "shd_train.h5", 80)
    recordings.heidelberg(path / "shd_test.h5", 20, seed=1)
    return path


MINIATURES = {
    "nmnist": lambda path: recordings.nmnist(path, train=6),
    "shd": shd,
    "dvsgesture": recordings.gestures,
    "dvscifar10": lambda path: recordings.cifar10(path, (0, 1, 2, 850, 950), dvscifar10.CLASSES),
}


@pytest.mark.parametrize("name", MINIATURES)
def test_a_network_trains(name, tmp_path):
    loaded = data.load(name, path=MINIATURES[name](tmp_path / "files"), batch_size=16)
    meta, g = loaded.meta, torch.Generator().manual_seed(0)
    inputs = torch.Size(meta.shape).numel()
    neuron = st.LIF(threshold=0.1, decay=0.9, trace_decay=0.9)
    net = st.mlp(inputs, [16], len(meta.classes), neuron=neuron, generator=g)
    before = net.layers[0].weight.detach().clone()
    rule = st.TracesPropagation(net, generator=g)
    summary = st.fit(net, rule, loaded, epochs=1, progress=False)
    assert not torch.equal(before, net.layers[0].weight)
    assert 0 <= summary["test_accuracy"] <= 1
    assert summary["test_split"] == meta.test_split


@pytest.mark.parametrize("name", bench.DRAWN)
def test_the_benchmark_runs(name, capsys):
    if name == "shd":
        pytest.importorskip("h5py", reason="h5py isn't installed")
    place = os.environ["SYNAPTRACE_DATA"]
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    options = ["--preset", name, "--samples", "40", "--repeats", "1"]
    bench.main(parser.parse_args(options))
    out = capsys.readouterr().out
    assert "\nload\t" in out
    assert "\ntrain\t" in out
    assert os.environ["SYNAPTRACE_DATA"] == place


def test_the_benchmark_draws_what_it_can_only():
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    with pytest.raises(UserError, match=r"^--path: fsdd can't be drawn"):
        bench.main(parser.parse_args(["--preset", "fsdd"]))
