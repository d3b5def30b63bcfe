"""What `import synaptrace as st` offers: rules by name, tensors as data, a look inside."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import spiking
import synaptrace as st
import toy
from synaptrace import rules
from synaptrace.data import tensors
from synaptrace.errors import UserError


def some(samples: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Events (N, 6, 12) of the toy's patterns, one of three classes each, and labels."""
    g = torch.Generator().manual_seed(seed)
    patterns = torch.rand(3, 12, generator=torch.Generator().manual_seed(9)) * 0.6
    labels = torch.arange(samples) % 3
    rates = patterns[labels][:, None].expand(samples, 6, 12)
    return torch.bernoulli(rates, generator=g), labels


def test_the_face_is_lazy_and_whole() -> None:
    code = "import sys, synaptrace; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(st.__all__) <= set(dir(st))
    for name in st.__all__:
        assert getattr(st, name) is not None
    assert callable(st.data.load)
    assert callable(st.sweep.run)


def test_every_rule_is_there_by_class_and_by_name() -> None:
    assert set(rules.NAMES) <= set(st.rules.names())
    for name, where in rules.NAMES.items():
        kind = getattr(st.rules, where.split(".")[1])
        assert kind.name == name
        assert where.split(".")[1] in st.rules.__all__
        assert type(st.rules.make(name, spiking.dense())) is kind
    with pytest.raises(AttributeError, match="nothing"):
        st.rules.nothing  # noqa: B018
    with pytest.raises(
        UserError, match=r"rule\.name: no rule 'nothing'; there are .*tp.*rule\.file"
    ):
        st.rules.make("nothing", spiking.dense())
    with pytest.raises(UserError, match=r"rule\.kapa: no such option of eprop; it has .*kappa"):
        st.rules.make("eprop", spiking.dense(), kapa=1)


def test_tensors_are_cut_alike_every_time() -> None:
    events, labels = some(90)
    data = st.TensorData(events, labels, validation=0.2, test=0.3, seed=4, classes=["a", "b", "c"])
    assert data.meta.sizes == {"train": 45, "validation": 18, "test": 27}
    assert data.meta.test_split == "development"
    assert data.frames.dtype == torch.uint8
    again = st.TensorData(events.transpose(0, 1), labels, validation=0.2, test=0.3, seed=4,
                          time_first=True)  # fmt: skip
    other = st.TensorData(events, labels, validation=0.2, test=0.3, seed=5)
    assert again.meta.split_hash == data.meta.split_hash != other.meta.split_hash
    seen = torch.cat([each for split in data.index for each in data.rows(split)])
    assert seen.sort().values.equal(torch.arange(90))
    x, y, ends = next(data.batches("test"))
    assert ends is None
    rows = data.index["test"]
    assert torch.equal(x, events[rows].transpose(0, 1))
    assert torch.equal(y, labels[rows])
    assert torch.equal(x, next(again.batches("test"))[0])


def test_tensors_of_their_own_stay_theirs() -> None:
    (events, labels), more = some(), some(9, seed=1)
    ends = torch.full((40,), 4)
    data = st.TensorData(events + 0.5, labels, lengths=ends, validation=0.0, test=more)
    assert data.meta.sizes == {"train": 40, "test": 9}
    assert data.meta.test_split == "official"
    x, y, lengths = next(data.batches("test"))
    assert torch.equal(x, more[0].transpose(0, 1))
    assert torch.equal(y, more[1])
    assert lengths is not None
    assert lengths.tolist() == [6] * 9
    x, _, lengths = next(data.batches("train"))
    assert lengths is not None
    assert len(x) == 4
    assert x.max() == 1.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"events": [1.0]}, "tensors: events must be a tensor, not list"),
        ({"labels": None}, "tensors: labels must be a tensor, not NoneType"),
        ({"events": torch.ones(40)}, r"frames must be \(samples, steps, …\)"),
        ({"events": torch.ones(40, 6, 2, dtype=torch.complex64)}, "plain numbers, not .*complex64"),
        ({"events": torch.full((40, 6, 12), float("nan"))}, "sample 0 holds NaN"),
        ({"labels": torch.ones(40)}, "labels must be whole numbers, not torch.float32"),
        ({"labels": torch.ones(3, dtype=torch.int64)}, r"40 samples, but labels of shape \(3,\)"),
        ({"labels": torch.full((40,), -1)}, "label -1 is out of range"),
        ({"classes": ["a", "b"]}, "label 2 is out of range; there are 2 classes"),
        ({"lengths": torch.ones(40)}, r"lengths must be \(40,\) whole numbers"),
        ({"lengths": torch.full((40,), 7)}, "from 1 to 6 steps"),
        ({"test": 1.0}, "shares of validation 0.15, test 1 leave nothing"),
        ({"validation": -0.1}, "shares of validation -0.1, test 0.15"),
        ({"validation": 0.001}, "40 samples are too few for a validation split"),
        ({"test": some()[0]}, r"tensors: test: needs \(events, labels\)"),
        ({"test": (torch.ones(2, 6, 9), torch.tensor([0, 1]))}, r"a test sample is \(6, 9\), one"),
        ({"batch_size": 0}, "batch_size: 0"),
    ],
)  # fmt: skip
def test_wrong_tensors_are_named(change: dict[str, Any], said: str) -> None:
    events, labels = some()
    given = {"events": events, "labels": labels} | change
    with pytest.raises(UserError, match=said) as caught:
        st.TensorData(**given)
    assert len(str(caught.value).splitlines()) == 1


def test_a_network_is_evaluated_on_whatever_is_data() -> None:
    net, _ = toy.make()
    data = st.TensorData(*some(60), test=0.5)
    expected = (net.predict(data.frames[data.index["test"]].transpose(0, 1).float())
                == data.labels[data.index["test"]]).float().mean()  # fmt: skip
    found = st.evaluate(net, data)
    assert found.samples == 30
    assert found.accuracy == pytest.approx(float(expected))
    assert st.evaluate(net, data, "train").samples == data.meta.sizes["train"]
    loaders = st.Loaders(train=DataLoader(TensorDataset(*some())), classes=["a", "b", "c"])
    assert st.evaluate(net, loaders, "train").samples == 40
    wrong: Any = some()
    for case, said in (
        ((net, wrong), "data: a tuple is no data set; give st.TensorData"),
        ((net,), "data: a network doesn't say on which data"),
        ((net, data, "tset"), "split: tensors has no tset samples"),
        ((net, st.TensorData(*some(), classes=list("abcd"))), "has 4 classes, the network 3"),
        ((spiking.dense(), st.TensorData(*some(), classes=list("abcd"))), "doesn't fit"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=said):
            st.evaluate(*case)


@pytest.mark.parametrize("make", [spiking.dense, spiking.conv])
def test_what_is_recorded_is_what_the_network_does(make: Any) -> None:
    net = make(neuron={"trace_decay": 0.7})
    x = spiking.events(net)
    found = net.record(x)
    state = trace = None
    assert {name for name in found if name.startswith("layers.0")} == {
        "layers.0.spikes", "layers.0.membrane", "layers.0.trace"
    }  # fmt: skip
    assert not any(each.requires_grad for each in found.values())
    for t, frame in enumerate(x):
        with torch.no_grad():
            logits, state = net.step(frame, state)
        assert torch.equal(found["readout"][t], logits)
        for i in range(len(net.layers)):
            assert torch.equal(found[f"layers.{i}.spikes"][t], state.spikes[i])
            assert torch.equal(found[f"layers.{i}.membrane"][t], state.membrane[i])
        out = net.layers[-1].pool(state.spikes[-1])
        trace = out if trace is None else 0.7 * trace + out
        torch.testing.assert_close(found[f"layers.{len(net.layers) - 1}.trace"][t], trace)
    assert found["layers.0.spikes"].mean() > 0.02
    assert found["layers.0.trace"].shape == (*x.shape[:2], *net.layers[0].out_shape)


def test_the_recorded_traces_are_those_of_tp() -> None:
    net = spiking.dense(9, 7, neuron={"trace_decay": (0.5, 0.8)})
    x, rule = spiking.events(net), st.TracesPropagation(net)
    found = net.record(x, "trace")
    assert found.keys() == {"readout", "layers.0.trace", "layers.1.trace"}
    rule.start(spiking.labels())
    for t, frame in enumerate(x):
        rule.step(frame)
        for i in range(2):
            assert found[f"layers.{i}.trace"][t].any()
            torch.testing.assert_close(found[f"layers.{i}.trace"][t], rule.state["trace"][i][:5])
    with pytest.raises(UserError, match="what: 'current' is none of spikes, membrane, trace"):
        net.record(x, ["current"])
    with pytest.raises(UserError, match="events: a step of shape"):
        net.record(x[:, :, :3])


def test_a_network_says_what_it_is() -> None:
    text = repr(st.mlp(700, [450, 80], 20, neuron=st.LIF(decay=(0.9, 0.8)), recurrent=True))
    lines = text.splitlines()
    assert lines[0] == "Network: 700 → 20 classes, 561,500 weights"
    assert re.sub(" +", " ", lines[1]) == (
        " layers.0 Dense 700 → 450, recurrent 517,500 "
        "threshold 1, decay 0.9, trace decay 0.9, soft reset, ATan(1)"
    )
    assert "decay 0.8" in lines[2]
    assert re.sub(" +", " ", lines[3]) == " readout Dense 80 → 20 1,600 leaky, decay 1"
    assert "Conv 2 → 5×3×2, pool max 2" in repr(spiking.conv())
    assert max(map(len, lines)) < 110


def test_a_file_of_tensors_is_read_back_or_refused(tmp_path: Path) -> None:
    data = st.TensorData(*some(), lengths=torch.arange(40) % 6 + 1, classes=["a", "b", "ç"])
    file = tmp_path / tensors.FILE
    tensors.save(data, file)
    for path in (file, tmp_path):
        again: Any = st.data.load("tensors", path=path, batch_size=16)
        assert again.meta == data.meta
        assert torch.equal(again.frames, data.frames)
        assert again.batch_size == 16
    whole = file.read_bytes()
    for broken in (whole[:-9], whole[:40], b"", b"{}", whole.replace(b"labels", b"lables")):
        file.write_bytes(broken)
        with pytest.raises(UserError, match=f"{file}: damaged, or no data"):
            tensors.read(file)
    with pytest.raises(UserError, match=r"data\.path: is needed"):
        st.data.load("tensors")


def test_a_rule_that_is_none_or_anothers_is_named() -> None:
    data = st.TensorData(*some(), batch_size=16)
    net, other = (st.mlp(12, [8], 3) for _ in range(2))
    with pytest.raises(UserError, match=r"rule: 'tp' is none; st.rules.make"):
        st.fit(net, "tp", data, epochs=1, lr=1e-2)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="rule: trains another network"):
        st.fit(net, st.rules.make("tp", other), data, epochs=1, lr=1e-2)
    with pytest.raises(UserError, match=r"model.hidden: 8 should be a list, as \[8\]"):
        st.mlp(12, 8, 3)  # type: ignore[arg-type]
