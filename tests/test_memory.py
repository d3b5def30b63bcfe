"""Memory: what is counted is what is measured, nothing is left out, and time costs nothing."""

import json
from typing import Any

import pytest
import torch

import spiking
import synaptrace as st
from synaptrace import cli, rules
from synaptrace.compare.rule_variants import AS_PUBLISHED, DEFAULT, PerSample, contender
from synaptrace.cost import memory_table
from synaptrace.cost.meter import Meter
from synaptrace.cost.profiling import measure
from synaptrace.network import Network
from synaptrace.rules import Rule, synapse
from synaptrace.training import checks

NEURON = st.LIF(threshold=0.3)
NETWORKS: dict[str, tuple[dict[str, Any], int, int]] = {
    "dense": (st.mlp(300, [200, 120], 10, neuron=NEURON, gain=3.0).spec, 16, 8),
    "recurrent": (st.mlp(300, [200, 120], 10, neuron=NEURON, recurrent=True).spec, 16, 8),
    "standardised": (st.mlp(90, [80, 60], 30, neuron=NEURON, standardise=True).spec, 12, 4),
    "many classes": (st.mlp(60, [50, 40], 300, neuron=NEURON, gain=3.0).spec, 12, 4),
    "pooled": (
        st.conv([(8, ("avg", 2)), (12, ("max", 2)), (9, ("none", 1))], in_shape=(2, 20, 20),
                classes=4, neuron=NEURON, gain=3.0).spec, 8, 4,
    ),
}  # fmt: skip
VARIANTS = (
    "tp:train_label=true", "eprop:feedback=adaptive", "eprop:feedback=random",
    "ostl:kappa=0.5", "ostl:feedback=random", "decolle:dropout=0", "stllr:feedback=dfa",
    "stllr:a_post=0", "tess:a_post=1", "stsf:error=global", "espp:form=sequence",
    "tp:temperature=auto", "tp:eligibility=true:train_label=true", "bptt:truncate=3",
)  # fmt: skip


def vgg9() -> dict[str, Any]:
    neuron = st.LIF(threshold=0.2, decay=0.53, trace_decay=0.98)
    with torch.device("meta"):
        return st.vgg(9, in_shape=(2, 48, 48), classes=10, neuron=neuron).spec


def close(found: memory_table.Line) -> None:
    """All that is kept to the byte, the work space and the sum within 2 %."""
    assert found.measured is not None
    assert found.unexplained == 0
    for purpose, measured in found.measured.items():
        counted = found.counted[purpose]
        if purpose == "work space":
            assert counted == pytest.approx(measured, rel=0.02), purpose
        else:
            assert counted == measured, purpose
    assert found.difference == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("label", [*DEFAULT, *VARIANTS])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_count_is_what_is_measured(kind: str, label: str) -> None:
    spec, batch, steps = NETWORKS[kind]
    one = memory_table.defined(spec, label)
    if isinstance(one, str):
        assert kind == "pooled"
        return
    close(memory_table.line(spec, one, batch, steps))


@pytest.mark.parametrize("name", rules.NAMES)
def test_the_count_is_what_is_measured_on_vgg9(name: str) -> None:
    spec = vgg9()
    one = memory_table.defined(spec, "eprop:kappa=0" if name == "eprop" else name)
    if isinstance(one, str):
        assert name in ("ostl", "osttp")
        return
    close(memory_table.line(spec, one, batch=2, steps=2))


def test_a_trace_for_each_neuron_and_synapse_is_counted() -> None:
    spec = st.mlp(12, [9], 4, neuron=NEURON, recurrent=True).spec
    one = contender("ostl:complete=true", 1.0)
    close(memory_table.line(spec, one, batch=6, steps=4))


@pytest.mark.parametrize("steps", [synapse.BLOCK, 2 * synapse.BLOCK, 2 * synapse.BLOCK + 6])
@pytest.mark.parametrize("kind", ["dense", "recurrent", "standardised"])
@pytest.mark.parametrize("label", ["eprop", "eprop:feedback=random", "ostl", "osttp"])
def test_steps_that_wait_are_counted(label: str, kind: str, steps: int) -> None:
    spec, batch, _ = NETWORKS[kind]
    close(memory_table.line(spec, contender(label, 1.0), batch, steps))


def test_every_rule_is_counted_and_shown() -> None:
    assert {contender(label).name for label in DEFAULT} == rules.NAMES.keys()


def total(label: str, steps: int, batch: int = 4) -> int:
    spec = st.mlp(20, [16, 12], 4, neuron=NEURON, recurrent=True).spec
    one = contender(label)
    return measure(lambda: memory_table.make(spec, one), batch, steps).total


@pytest.mark.parametrize("label", dict.fromkeys([*rules.NAMES, *DEFAULT, *VARIANTS]))
def test_no_rule_but_bptt_grows_with_time(label: str) -> None:
    """At its highest moment, the work space and what nobody owns included."""
    short, long = total(label, 72), total(label, 120)  # both beyond twice what waits
    if label == "bptt":
        assert long > 1.5 * short
    else:
        assert long == short


def test_tp_takes_three_hundred_steps_in_the_memory_of_ten() -> None:
    assert total("tp", 300) == pytest.approx(total("tp", 10), rel=0.01)
    assert total("bptt", 100) > 3 * total("bptt", 10)


def test_the_count_knows_what_grows_with_time() -> None:
    spec, batch, _ = NETWORKS["dense"]
    for label in DEFAULT:
        counts = [
            sum(
                memory_table.line(
                    spec, contender(label), batch, steps, measured=False
                ).counted.values()
            )
            for steps in (40, 1000)  # both beyond what waits
        ]
        assert (counts[1] > counts[0]) == (label == "bptt"), label


class Hoarder(rules.find("ottt")):  # type: ignore[misc]
    """A rule that keeps something where nobody looks."""

    def _step(self, x: torch.Tensor, running: torch.Tensor | None) -> torch.Tensor:
        self.__dict__.setdefault("hoard", []).append(x.clone())
        logits: torch.Tensor = super()._step(x, running)
        return logits


def test_what_nobody_owns_is_found() -> None:
    def make() -> tuple[Network, Rule]:
        net = st.mlp(20, [16], 4, neuron=NEURON)
        return net, Hoarder(net)

    found = measure(make, batch=4, steps=3)
    assert found.unexplained == (2 + 3) * 4 * 20 * 4  # the frames of both sequences
    assert measure(make, 4, 9).total > found.total


def test_a_row_for_every_sample_gives_the_same_gradients() -> None:
    net = spiking.dense(8, 7, recurrent=True)
    x = spiking.events(net)
    made = [
        kind(net, generator=torch.Generator().manual_seed(0))
        for kind in (st.TracesPropagation, PerSample)
    ]
    lengths = torch.tensor([8, 3, 1, 8, 5])
    for options in ({}, {"lengths": lengths}):
        expected, found = (spiking.gradients(rule, x, **options) for rule in made)
        spiking.assert_same(found, expected)


def test_a_process_grows_by_what_was_counted() -> None:
    spec = st.mlp(2000, [2000], 10, neuron=NEURON).spec
    found = memory_table.line(spec, contender("tp"), 64, 4, measured=False, process=True)
    assert found.process == pytest.approx(sum(found.counted.values()), rel=0.15)


class Allocator:
    """torch.cuda's figures for what a meter sees on the CPU, after something that was there."""

    before = 4096

    def __init__(self, meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.meter, self.calls = meter, list[str]()
        meter.peak = 2**40  # of something that ran before
        for name in ("memory_allocated", "max_memory_allocated", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: self.calls.append("wait"))

    def memory_allocated(self, device: torch.device) -> int:
        return self.before + self.meter.now

    def max_memory_allocated(self, device: torch.device) -> int:
        assert self.calls[-1] == "wait"
        return self.before + self.meter.peak

    def reset_peak_memory_stats(self, device: torch.device) -> None:
        assert self.calls[-1] == "wait"
        self.meter.peak = self.meter.now


def test_the_allocators_peak_is_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, one = st.mlp(300, [200], 10, neuron=NEURON).spec, contender("tp")
    expected = measure(lambda: memory_table.make(spec, one), 16, 8).total
    with Meter() as meter:
        Allocator(meter, monkeypatch)
        job = memory_table.training(spec, "tp", 16, 8)
        assert memory_table.cuda_peak(job, torch.device("cuda")) == pytest.approx(
            expected, rel=0.02
        )


def test_the_command_asks_the_gpu_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def training(*arguments: Any) -> Any:
        asked.append(arguments[4:])
        return lambda: None

    monkeypatch.setattr(checks, "find_device", torch.device)
    monkeypatch.setattr(memory_table, "training", training)
    monkeypatch.setattr(memory_table, "peak_memory", lambda *arguments: 2048)
    monkeypatch.setattr(memory_table, "cuda_peak", lambda job, device: 1024 if device.index else 0)
    words = ["memory", "--input", "30", "--classes", "4", "--steps", "3", "--batch", "6"]
    words += ["--rules", "tp", "--counted", "--process"]
    assert cli.main([*words, "--train.device", "cuda:1"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows[1:]] == ["counted", "process", "cuda"]
    assert [row[-3] for row in rows[2:]] == ["2.0", "1.0"]
    assert len({len(row) for row in rows}) == 1
    assert asked == [(torch.device("cuda:1"),)]
    assert cli.main([*words, "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert (line["process"], line["cuda"]) == (2048, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_takes_what_was_counted() -> None:
    spec, device = st.mlp(2000, [2000], 10, neuron=NEURON).spec, torch.device("cuda")
    one = contender("tp")
    found = memory_table.line(spec, one, 64, 4, measured=False, process=True, device=device)
    assert found.cuda == pytest.approx(sum(found.counted.values()), rel=0.15)


def test_the_command_prints_what_was_counted_and_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["memory", "--input", "30", "--classes", "4", "--steps", "3", "--batch", "6"]
    words += ["--rules", f"tp,{AS_PUBLISHED},bptt", "--model.hidden", "[20]"]
    assert cli.main(words) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[1:3]] == [["tp", "counted"], ["tp", "measured"]]
    assert len({len(row) for row in rows}) == 1
    assert cli.main([*words, "--json", "--counted"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["rule"] for line in lines] == ["tp", AS_PUBLISHED, "bptt"]
    assert lines[0]["counted"]["parameters"] == 4 * (30 * 20 + 20 * 4)
    assert lines[0]["measured"] is None


def test_the_command_takes_shape_and_batch_from_the_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["memory", "--rules", "tp", "--counted", "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)
    assert line["counted"]["parameters"] == 4 * 200 * (2 * 16 * 16 + 10)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "30x"], "--input: '30x'"),
        (["--rules", "nope"], "no rule 'nope'"),
        (["--rules", "tp:contrast"], "should be name:option=value"),
        (["--rules", "tp:contrast=none"], "rule.contrast: 'none'"),
        (["--batch", "1"], "--batch: 1 is too small"),
    ],
)
def test_bad_input_is_named_in_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["memory", "--input", "30", "--classes", "4", "--steps", "3", *words]
    assert cli.main(given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
