"""Costs: matrix products against PyTorch's own count, energy by hand."""

import json
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import synaptrace as st
from synaptrace import cli, rules
from synaptrace.compare.rule_variants import AS_PUBLISHED, contender
from synaptrace.cost import count, energy, memory_table, sizes

LABELS = (
    *rules.NAMES, AS_PUBLISHED, "tp:contrast=class", "tp:eligibility=true", "eprop:kappa=0",
    "stsf:error=global", "eprop:feedback=random", "stllr:feedback=dfa", "stllr:a_post=0",
    "tess:a_post=1",
)  # fmt: skip


def product(out: Any, left: Any, right: Any, *others: Any, **options: Any) -> int:
    """Operations of addmm_, which PyTorch's counter leaves out."""
    return int(2 * left[0] * left[1] * right[1])


def products(out: Any, left: Any, right: Any, *others: Any, **options: Any) -> int:
    """Operations of baddbmm_, likewise."""
    return int(2 * left[0] * left[1] * left[2] * right[2])


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("label", LABELS)
def test_products_are_those_that_pytorch_counts(label: str, recurrent: bool) -> None:
    """All as if every neuron spiked, as a dense product takes it; two operations a MAC."""
    neuron, batch, steps = st.LIF(threshold=0.3), 6, 3
    spec = st.mlp(20, [16, 12], 4, neuron=neuron, recurrent=recurrent).spec
    one = contender(label)
    net, rule = memory_table.make(spec, one)
    events = torch.bernoulli(torch.full((steps, batch, 20), 0.3))
    in_place = {torch.ops.aten.addmm_: product, torch.ops.aten.baddbmm_: products}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        rule.start(torch.arange(batch) % 4, steps=steps)
        for x in events:  # not `sequence`, in which traces of synapses wait to be taken at once
            rule.step(x)
        rule.finish()
    case = sizes.case(net, batch, steps)
    counted = batch * steps * sum(energy.products(one.name, one.options, case, 1.0))
    if label == "bptt" and recurrent:
        counted -= batch * sum(layer.recurrent for layer in case.layers)  # nothing before step 1
    assert 2 * counted == counter.get_total_flops()


def test_inference_and_energy_by_hand() -> None:
    case = sizes.case(st.mlp(10, [8], 4), batch=2, steps=5)
    found = energy.inference(case, 0.5)
    assert found.synaptic == 5 * 0.5 * (80 + 32)
    assert found.macs == 5 * 12
    assert found.traffic == 5 * 4 * (56 + 24)
    joule = 60 * 4.6e-12 + 280 * 0.9e-12
    assert found.energy(8192) == pytest.approx(joule + 200 * 10e-12)
    assert found.energy(8193) == pytest.approx(joule + 200 * 20e-12)
    assert found.energy(2**21) == pytest.approx(joule + 200 * 1.3e-9)


def test_learning_costs_more_than_inference_and_less_where_little_spikes() -> None:
    net = st.mlp(20, [16, 12], 4)
    case = sizes.case(net, batch=8, steps=5)
    for name in rules.NAMES:
        one = contender(name)
        kept = count.count(net.spec, one, 8, 5)
        sparse, busy = (energy.learning(name, one.options, case, r, kept) for r in (0.1, 0.9))
        assert sparse.energy(1e9) < busy.energy(1e9)
        assert busy.energy(1e9) > energy.inference(case, 0.9).energy(1e9)


def test_the_command_prints_costs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["memory", "--input", "20", "--classes", "4", "--steps", "5", "--batch", "8"]
    assert cli.main([*words, "--rules", "tp,bptt", "--cost", "0.1"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["", "inference", "tp", "bptt"]
    assert cli.main([*words, "--rules", "tp", "--cost", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"inference", "tp"}
    assert f"{found['tp']['energy'] * 1e6:.1f}" == rows[2][4]
    assert cli.main([*words, "--cost", "2"]) == 2
    assert "--cost: 2.0" in capsys.readouterr().err
