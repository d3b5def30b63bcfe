"""Fine-tuning: what it changes and what not, resuming, costs."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch

from processes import PROCESSES
from synaptrace import rules
from synaptrace.build import mlp
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.keyword.adapt import adapt, operations
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.rehearse import share
from synaptrace.neuron import LIF
from synaptrace.seeds import generator
from synaptrace.training import checkpoint
from synaptrace.training import run as runs
from synaptrace.training.state import Progress

STEPS, INPUTS, HIDDEN, CLASSES = 8, 12, 16, 3


def disturb(events, draws):
    return events + 0.1 * torch.randn(events.shape, generator=draws)


def toy():
    """Noisy patterns, six samples a class, noise where they are trained on."""
    labels = torch.arange(18) % CLASSES
    patterns = torch.rand(CLASSES, INPUTS, generator=generator(0, "patterns")) * 2
    noise = torch.rand(18, STEPS, INPUTS, generator=generator(0, "noise"))
    return ArrayDataset(
        patterns[labels][:, None] * 0.7 + noise * 0.6,
        labels,
        name="toy",
        classes="abc",
        index={"train": range(6), "query": range(6, 18)},
        augment=disturb,
    )


@pytest.fixture
def data():
    return toy()


def make(contrast="class", train_label=False):
    draws = generator(0, "weights")
    net = mlp(INPUTS, [HIDDEN], CLASSES, neuron=LIF(1.0, 0.8, 0.8), recurrent=True, generator=draws)
    rule = rules.build(net, contrast=contrast, train_label=train_label, generator=draws)
    return net, rule


def weights(net):
    return {name: weight.detach().clone() for name, weight in net.state_dict().items()}


@pytest.mark.parametrize(("contrast", "batch"), [("class", 1), ("class", 4), ("batch", 4)])
def test_it_learns(data, contrast, batch):
    net, rule = make(contrast)
    events, labels, _ = data.gather(data.index["query"])
    state, spikes = net.initial_state(len(labels)), 0
    with torch.no_grad():
        for x in events:
            _, state = net.step(x, state)
            spikes += int(state.spikes[0].sum())
    assert spikes > 100  # the network really spikes
    before = float((net.predict(events) == labels).float().mean())
    done = adapt(net, rule, data, range(6), batch_size=batch, epochs=30, lr=1e-2)
    assert float((net.predict(events) == labels).float().mean()) > max(before, 0.9)
    assert done["batches"] == 30 * math.ceil(6 / batch)
    assert all(weight.grad is None for weight in net.parameters())


def test_one_utterance_has_no_batch_contrast(data):
    with pytest.raises(UserError, match="one sample has no contrast"):
        adapt(*make("batch"), data, range(6), batch_size=1, epochs=1)


def test_only_what_is_asked_for_learns(data):
    for learn, changed in {
        ("readout",): {"readout.weight"},
        ("layers.0.recurrent",): {"layers.0.recurrent"},
        ("layers.0", "readout"): {"layers.0.weight", "layers.0.recurrent", "readout.weight"},
        (): {"layers.0.weight", "layers.0.recurrent", "readout.weight"},
    }.items():
        for engine in ("native", "torch"):
            net, rule = make()
            rule.engine = engine if engine == "torch" else "auto"
            before = weights(net)
            adapt(net, rule, data, range(6), epochs=2, keep=Keep(learn=learn))
            after = net.state_dict()
            assert {k for k in before if not torch.equal(before[k], after[k])} == changed
            assert all(weight.requires_grad for weight in net.parameters())
    with pytest.raises(UserError, match=r"no weights 'layers\.1' to learn; there are layers\.0\."):
        adapt(*make(), data, range(6), keep=Keep(learn=("layers.1",)))


def test_an_anchor_holds_weights_back(data):
    ends = []
    for anchor in (0.0, 0.5):
        net, rule = make()
        before = weights(net)
        adapt(net, rule, data, range(6), epochs=5, keep=Keep(anchor=anchor))
        ends.append(sum(float((w - before[k]).norm()) for k, w in net.state_dict().items()))
    assert 0 < ends[1] < 0.3 * ends[0]


def test_rehearsal_adds_as_many_samples_of_the_buffer_to_each_batch(data, monkeypatch):
    seen, gather = [], ArrayDataset.gather

    def spy(self, rows, draws=None):
        seen.append(rows.tolist())
        return gather(self, rows, draws)

    monkeypatch.setattr(ArrayDataset, "gather", spy)
    adapt(*make(), data, range(6), batch_size=4, epochs=3, keep=Keep(rehearse=1), buffer=[15, 16])
    for rows in seen[1:]:  # the first is what costs are measured on
        half = len(rows) // 2
        assert set(rows[:half]) <= set(range(6))
        assert set(rows[half:]) <= {15, 16}
    assert sum(len(rows) for rows in seen[1:]) == 2 * 3 * 6
    assert {row for rows in seen[1:] for row in rows} == {*range(6), 15, 16}
    with pytest.raises(UserError, match="nothing to rehearse"):
        adapt(*make(), data, range(6), keep=Keep(rehearse=1))


def test_a_new_word_alone_comes_with_one_sample_of_each_old_word(data, monkeypatch):
    seen, gather = [], ArrayDataset.gather

    def spy(self, rows, draws=None):
        seen.append(rows)
        return gather(self, rows, draws)

    monkeypatch.setattr(ArrayDataset, "gather", spy)
    new = [row for row in range(18) if row % CLASSES == 2]
    old = [row for row in range(18) if row % CLASSES != 2]
    done = adapt(*make(), data, new, epochs=8, keep=Keep(rehearse=6), buffer=old)
    assert done["rehearsed"] == 2
    for rows in seen[1:]:
        assert sorted(data.labels[rows].tolist()) == [0, 1, 2]
    assert {row for rows in seen[1:] for row in rows.tolist()} == set(range(18))
    assert share(data.labels, range(18), old) == share(data.labels, new, new) == 1


OPTIONS = {"batch_size": 2, "epochs": 4, "lr": 1e-2, "keep": Keep(rehearse=1, anchor=0.01),
           "buffer": [15, 16, 17]}  # fmt: skip


def live(run: Path, interval: float, batches: int) -> None:
    """Fine-tune in a process that kills itself (SIGKILL) after so many batches."""
    calls, add = [], Progress.add

    def die(self, *arguments):
        calls.append(1)
        if len(calls) > batches:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, *arguments)

    Progress.add = die
    net, rule = make(train_label=True)
    adapt(net, rule, toy(), range(6), run=run, checkpoint_seconds=interval, **OPTIONS)


@pytest.mark.parametrize(("interval", "epoch"), [(0.0, 1), (1e9, 0)])
def test_a_killed_one_goes_on_bit_for_bit(data, tmp_path: Path, interval, epoch):
    net, rule = make(train_label=True)
    adapt(net, rule, data, range(6), run=tmp_path / "whole", **OPTIONS)
    process = PROCESSES.Process(target=live, args=(tmp_path / "cut", interval, 5))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    at = checkpoint.load(tmp_path / "cut" / runs.LAST)[1]["progress"]
    assert (at["epoch"], at["batch"]) == (epoch, 2 if epoch else 0)
    resumed, rule = make(train_label=True)
    done = adapt(resumed, rule, data, range(6), run=tmp_path / "cut", **OPTIONS)
    assert done["batches"] == 12
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
    whole, cut = (checkpoint.load(tmp_path / name / runs.BEST)[0] for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    with pytest.raises(UserError, match="trained with train lr"):
        adapt(*make(train_label=True), data, range(6), run=tmp_path / "cut",
              **OPTIONS | {"lr": 1e-3})  # fmt: skip


def test_costs_are_what_they_say(data):
    net, rule = make()
    done = adapt(net, rule, data, range(6), epochs=2, keep=Keep(rehearse=2, anchor=0.1),
                 buffer=range(12, 18))  # fmt: skip
    trained = HIDDEN * (INPUTS + HIDDEN + CLASSES)
    assert done["optimizer_bytes"] == 3 * 4 * trained
    # two samples, one new and one rehearsed, and three classes: u, s, z; the logits and a few more
    rows = 2 + CLASSES
    state = 4 * 3 * rows * HIDDEN + 4 * 2 * CLASSES + 4 * rows + 8 * 2
    assert state <= done["state_bytes"] <= state + 4 * (CLASSES + CLASSES**2) + 8 * CLASSES
    assert done["auxiliary_bytes"] == 4 * HIDDEN * (CLASSES + HIDDEN)  # S, and its recurrence
    assert done["stored_bytes"] == (6 + 6) * 4 * STEPS * INPUTS + 4 * trained
    once = adapt(*make(), data, range(6), epochs=1)
    assert once["stored_bytes"] == 0  # heard once and forgotten


def test_operations_are_counted(data):
    net, rule = make()
    rule.start(torch.tensor([0, 1]))
    recurrent, classes = HIDDEN * HIDDEN, CLASSES
    forward = 2 * (INPUTS * HIDDEN + recurrent) + classes * recurrent
    contrast = 2 * 2 * classes * HIDDEN + classes**2 * HIDDEN
    gradient, readout = 2 * (INPUTS * HIDDEN + recurrent), 2 * 2 * HIDDEN * classes
    assert operations(rule, 5, 2) == 5 * (forward + contrast + gradient + readout)
    assert operations(rules.build(net, "bptt"), 5, 2) is None


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("none", Keep()),
        ("rehearse=5", Keep(rehearse=5)),
        ("learn=readout/layers.0+anchor=0.01", Keep(learn=("readout", "layers.0"), anchor=0.01)),
    ],
)
def test_options_are_read(text, keep):
    assert Keep.parse(text) == keep


@pytest.mark.parametrize("text", ["", "rehearse", "rehearse=x", "anchor=1", "rehearse=-1", "all=1"])
def test_options_that_can_not_be_are_named(text):
    with pytest.raises(UserError, match=r"rehearse|anchor"):
        Keep.parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "--batch: 0 is not"),
        ({"epochs": 0}, "--epochs: 0 is not"),
        ({"lr": 0.0}, "--lr: 0.0 is not"),
        ({"lr": 1e30, "epochs": 8}, "--lr: the loss or a weight is not finite at 1e"),
    ],
)
def test_arguments_out_of_range_are_named(data, options, message):
    with pytest.raises(UserError, match=message):
        adapt(*make(), data, range(6), **options)
    with pytest.raises(UserError, match="nothing to learn from"):
        adapt(*make(), data, [])
