"""The benchmark on tiny networks: peers train the same network, figures are what they say."""

import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import synaptrace as st
from synaptrace import rules
from synaptrace.bench import __main__ as command
from synaptrace.bench import (
    cases,
    check,
    energy,
    online,
    peers,
    published,
    roofline,
    scaling,
    speed,
    torch_peers,
    variant,
)
from synaptrace.bench.cases import Case
from synaptrace.cost import process
from synaptrace.errors import UserError
from synaptrace.native import library

pytestmark = pytest.mark.usefixtures("one_thread")

NEURON = st.LIF(threshold=0.15, decay=0.8, trace_decay=0.8)
FORWARD = Case("small", (30,), (20, 16), 4, 9, 0.2, NEURON, gain=2.0, batches=(1, 3), repeats=1)
RECURRENT = replace(FORWARD, recurrent=True)
LIMITS = roofline.Limits(gemm=1e9, bandwidth=1e9)


def test_the_published_sizes_spike() -> None:
    for case in (cases.SHD, cases.NMNIST, cases.DEEP):
        rates = speed.spike_rates(cases.make(case, 4))
        assert all(0.01 < rate < 0.2 for rate in rates), (case.name, rates)


def test_the_same_case_twice_is_the_same() -> None:
    one, other = cases.make(RECURRENT, 3), cases.make(RECURRENT, 3)
    assert torch.equal(one.events, other.events)
    for a, b in zip(one.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("case", [FORWARD, RECURRENT], ids=["forward", "recurrent"])
@pytest.mark.parametrize("peer", [torch_peers.SnnTorch, torch_peers.SpikingJelly])
def test_peers_train_the_same_network(case: Case, peer: Any) -> None:
    pytest.importorskip(peer.__name__.lower())
    parts = cases.make(case, 3)
    rule = rules.build(parts.net, "bptt")
    logits = rule.sequence(parts.events, parts.labels)
    assert (rule.rates > 0.01).all()
    theirs = peer(parts.net)
    out = theirs(parts.events)
    assert torch.allclose(out[-1], logits, atol=1e-5)
    torch_peers.loss(out, parts.labels).backward()
    ours = [*parts.net.layers, parts.net.readout]
    for layer, copy in zip(ours, [*theirs.drive, theirs.readout], strict=True):
        assert close(copy.weight.grad, layer.weight.grad)
    for layer, copy in zip(parts.net.layers, theirs.recurrent, strict=False):
        assert close(copy.weight.grad, layer.recurrent.grad)


@pytest.mark.skipif(find_spec("braintrace") is None, reason="braintrace is not installed")
@pytest.mark.parametrize("case", [FORWARD, RECURRENT], ids=["forward", "recurrent"])
def test_braintrace_runs_the_same_network(case: Case) -> None:
    import numpy as np

    from synaptrace.bench import jax_peer

    parts = cases.make(case, 3)
    state = None
    expected = []
    for x in parts.events:
        logits, state = parts.net.step(x, state)
        expected.append(logits.detach())
    compiled = jax_peer.build(parts, "pp_prop", rate=1e-3)
    first, second = (
        torch.tensor(np.asarray(compiled.train(compiled.events, compiled.labels))) for _ in range(2)
    )
    assert torch.allclose(first, torch.stack(expected), atol=1e-5)
    before, after = (float(torch_peers.loss(each, parts.labels)) for each in (first, second))
    assert 0.8 * before < after < before  # from a fresh state, and it learned


def close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-4 * theirs.abs().max())


def test_peers_refuse_another_neuron() -> None:
    pytest.importorskip("snntorch")
    net = st.mlp(4, [3], 2, neuron=st.LIF(reset="hard"))
    with pytest.raises(UserError, match="soft resets"):
        torch_peers.SnnTorch(net)


@pytest.mark.parametrize("batch", [1, 3])
def test_every_contender_runs_and_hardly_moves_the_weights(batch: int) -> None:
    for name in peers.chosen(RECURRENT, batch):
        parts = cases.make(RECURRENT, batch)
        before = [p.detach().clone() for p in parts.net.parameters()]
        job = peers.CONTENDERS[name](parts)
        job()
        job()
        if name.startswith("TP") or name == peers.BPTT:
            for parameter, old in zip(parts.net.parameters(), before, strict=True):
                assert 0 < (parameter - old).abs().max() < 1e-4, name


def test_a_contender_that_lacks_its_package_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert peers.missing() == ["braintrace", "snntorch", "spikingjelly"]
    assert not set(peers.chosen(RECURRENT, 3)) & set(peers.PACKAGES)
    lines: list[str] = []
    monkeypatch.setattr(process, "peak_memory", lambda *args, **kwargs: 2**20)
    speed.run([replace(RECURRENT, repeats=1)], [3], limits=LIMITS, say=lines.append)
    assert "not installed: snntorch" in lines


def test_a_batch_of_one_has_no_batch_contrast() -> None:
    names = peers.chosen(RECURRENT, 1)
    assert peers.TRANSCRIPTION in names
    assert not [name for name in names if name.endswith(", batch")]
    assert bool([name for name in names if "native" in name]) == (not library.why())


def test_ideal_work_by_hand() -> None:
    parts = cases.make(replace(RECURRENT, hidden=(20,), steps=2), 3)
    active = float(parts.events.sum()) / 6
    work = roofline.ideal(parts, [0.25], rows=3, updates=1)
    weights = 30 * 20 + 20 * 20 + 20 * 4
    step = 2 * 3 * (active + 5) * 20 + 12 * 3 * 20 + 4 * 3 * 3 * 20 + 3 * 5 * 4 + 2 * 3 * 4 * 20
    assert work.operations == pytest.approx(2 * step + 12 * weights)
    assert work.bytes == 4 * (2 * 3 * 30 + 7 * weights)


def test_limits_are_measured() -> None:
    limits = roofline.limits(size=64, megabytes=1)
    assert limits.gemm > 1e6
    assert limits.bandwidth > 1e6


def test_memory_in_a_process_of_its_own() -> None:
    large = process.peak_memory(grab, 64, threads=1)
    assert large < 90 * 2**20
    if sys.platform == "linux":
        assert large > 60 * 2**20


def grab(megabytes: int) -> process.Job:
    torch.ones(2 * megabytes * 2**18).sum()  # doesn't count
    return lambda: torch.ones(megabytes * 2**18).sum()


def test_the_command_writes_figures_and_plots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "CASES", {"shd": FORWARD})
    monkeypatch.setattr(roofline, "limits", lambda: LIMITS)
    monkeypatch.setattr(process, "peak_memory", lambda *args, **kwargs: 2**20)
    axes = {"steps T": (2, 3), "hidden neurons H": (4, 8), "threads": (1, 64)}
    points = list(scaling.measure_all(axes, FORWARD, batch=2, repeats=1))
    assert {(p.axis, p.value) for p in points} == {
        ("steps T", 2), ("steps T", 3), ("hidden neurons H", 4), ("hidden neurons H", 8),
        ("threads", 1),
    }  # fmt: skip
    monkeypatch.setattr(scaling, "measure_all", lambda: points)
    names = ["--json", str(tmp_path / "a.json"), "--plots", str(tmp_path / "plots")]
    monkeypatch.setattr(sys, "argv", ["bench", "speed", *names])
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    command.main()
    printed = capsys.readouterr().out
    assert "| transcription, sequence |" in printed
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["missing"] == ["braintrace", "snntorch", "spikingjelly"]
    assert {row["batch"] for row in written["rows"]} == {1, 3}
    reference = {(r["batch"], r["contender"]): r["median"] for r in written["rows"]}
    for row in written["rows"]:
        assert row["median"] > 0
        expected = reference[row["batch"], peers.TRANSCRIPTION] / row["median"]
        assert row["ratios"]["transcription"] == pytest.approx(expected)
        assert (row["of_gemm"] is not None) == row["contender"].startswith("TP")
    for name in ("bench-scaling.png", "bench-batch.png"):
        assert (tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_loops_in_python_are_measured_beside_the_transcription() -> None:
    lines: list[str] = []
    online.run([1, 3], 1, FORWARD, lines.append, cpu=True)
    assert len(lines) == 3 + 2 * 8
    for line in lines[3:]:
        name, _, median, _, transcription, plain = (c.strip() for c in line.strip("|").split("|"))
        assert float(median) > 0
        assert bool(transcription) == ("net.step" not in name)
        assert plain


def test_a_ratio_below_two_thirds_of_its_record_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not library.levels():
        pytest.skip("the engine isn't built")
    found = check.ratios(FORWARD, 3, repeats=1)
    assert found.keys() == set(library.levels())
    assert all(each.keys() == set(check.CONTENDERS) for each in found.values())
    assert min(ratio for each in found.values() for ratio in each.values()) > 0
    monkeypatch.setattr(check, "ratios", lambda repeats: {"plain": {"A": 6.1}, "other": {"A": 1.0}})
    monkeypatch.setattr(check.native, "level", lambda: "plain")
    monkeypatch.setattr(published, "figures", lambda: {"ratios": {"plain": {"A": 9.0}}})
    monkeypatch.setattr(sys, "argv", ["bench", "check", "--json", str(tmp_path / "a.json")])
    command.main()
    assert "plain\tA\t6.1\t9.0\t\nother\tA\t1.0\tnone\t\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["ratios"]["plain"] == {"A": 6.1}
    monkeypatch.setattr(check, "ratios", lambda repeats: {"plain": {"A": 5.9}})
    with pytest.raises(SystemExit) as error:
        command.main()
    assert error.value.code == 2
    assert "TOO SLOW" in capsys.readouterr().out


def test_the_records_are_of_what_is_checked() -> None:
    kept = published.figures()
    assert kept["documentation"].keys() == {"processor", "engine"}
    assert kept["ratios"].keys() >= {"plain", "avx2"}
    assert all(each.keys() == set(check.CONTENDERS) for each in kept["ratios"].values())


def figures(ratio: float, processor: str) -> dict[str, Any]:
    row = {"case": "shd", "batch": 8, "contender": "BPTT", "ratios": {"transcription": ratio}}
    alone = {"case": "shd", "batch": ratio, "contender": "TP", "ratios": {"transcription": 1.0}}
    machine = {"processor": processor, "engine": "plain"}
    return {"machine": machine, "rows": [row, alone, {**row, "ratios": {}}]}


def test_figures_are_compared_by_their_ratios(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    file.write_text(json.dumps(figures(2.0, "old")))
    lines = list(published.compare(figures(3.0, "new"), published.read(file)))
    assert lines[:2] == ["earlier: old, engine plain", "now: new, engine plain"]
    assert lines[-1] == "| shd | 8 | BPTT | 3.00 | 2.00 | 1.50 |"
    assert sum("BPTT" in line or "TP" in line for line in lines) == 1  # the other had no earlier
    for wrong in ("[]", "{", '{"rows": []}', '{"rows": [{}]}'):
        file.write_text(wrong)
        with pytest.raises(UserError, match="is no file of"):
            published.read(file)


def test_energy_is_what_the_packages_counters_say(tmp_path: Path) -> None:
    assert energy.joules(lambda: None, 0.0, tmp_path / "none") is None
    for name, used in (("intel-rapl:0", 990), ("intel-rapl:1", 5), ("intel-rapl:0:0", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{used}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000\n")

    def job() -> None:
        (tmp_path / "intel-rapl:0" / "energy_uj").write_text("10")  # it went past its range
        (tmp_path / "intel-rapl:1" / "energy_uj").write_text("35")

    assert energy.joules(job, 0.0, tmp_path) == pytest.approx((20 + 30) / 1e6)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("secret")
    assert energy.joules(job, 0.0, tmp_path) is None


@pytest.mark.skipif(bool(library.why()), reason="no native engine")
def test_pairs_of_ways_to_learn() -> None:
    for made in (variant.variants(RECURRENT, [3]), variant.engines(RECURRENT, [3], 40)):
        lines: list[str] = []
        variant.run(made, 1, lines.append)
        assert len(lines) == 3 + len(made)
        assert all(float(line.strip("| ").split("|")[-1]) > 0 for line in lines[3:])


def test_loading_is_measured_beside_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say = "--threads 1 data --samples 60 --batches 1 --repeats 1"
    monkeypatch.setattr(sys, "argv", ["bench", *say.split()])
    command.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("nmnist: 32 drawn at random training samples")
    assert [line.split("\t")[0] for line in lines[2:5]] == ["load", "train", "both at once"]
    assert lines[6].startswith("both at once take ")
    assert lines[7].startswith("processor time: ")


def test_bad_numbers_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "speed", "--batch", "0"])
    with pytest.raises(SystemExit) as error:
        command.main()
    assert error.value.code == 2
    assert capsys.readouterr().err == "bench: batch sizes and repeats must be positive\n"
