"""ESPP: the gradient where its gates are open, its gates written out, and whose echo is heard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import spiking
from synaptrace.network import Network
from synaptrace.rules import Rule, build
from synaptrace.rules.espp import choose
from synaptrace.training import checkpoint
from test_stllr import NETWORKS, hidden
from unrolled import Step, hidden_gradients, unrolled

BEFORE = torch.tensor([0, 1, 0, 2, 3, 1])


def echoes(net: Network, x: Tensor) -> list[Tensor]:
    """Spike counts of a batch over their sums, (B, *shape) each."""
    steps = list(unrolled(net, x, states=True))
    counts = [sum(step.spikes[i] for step in steps) for i in range(len(net.layers))]
    return [n / n.flatten(1).sum(1).view(-1, *[1] * (n.dim() - 1)) for n in counts]


def pairs(net: Network, before: Tensor) -> tuple[list[Tensor], Tensor]:
    """Each sample's echo, and its b, with the partner sought by hand."""
    labels, partner = spiking.labels().tolist(), []
    for row, label in enumerate(labels):
        order = [(row + k) % len(BEFORE) for k in range(len(BEFORE))]
        same = [j for j in order if BEFORE[j] == label]
        other = [j for j in order if BEFORE[j] != label]
        partner.append((same + other if row % 2 == 0 else other + same)[0])
    b = [1.0 if BEFORE[j] == y else -1.0 for j, y in zip(partner, labels, strict=True)]
    return [r[partner].detach() for r in echoes(net, before)], torch.tensor(b).double()


def judged(net: Network, x: Tensor) -> Iterator[tuple[int, Step]]:
    return enumerate(unrolled(net, x, inputs=True, resets=True, recurrence=True))


def second(rule: Rule, before: Tensor, x: Tensor) -> dict[str, Tensor]:
    """Hidden gradients of the batch x after the batch ``before``, which itself is unscored."""
    rule.sequence(before, BEFORE)
    first = {k: p.grad.clone() for k, p in rule.net.named_parameters() if p.grad is not None}
    assert not any(value.any() for value in hidden(first).values())
    return hidden(spiking.gradients(rule, x))


def batches(net: Network) -> tuple[Tensor, Tensor]:
    x = spiking.events(net)
    x[:, 4] *= torch.arange(len(x)).view(-1, *[1] * (x.dim() - 2)) % 3 == 0  # a quiet sample
    return spiking.events(net, batch=len(BEFORE), seed=2), x


@pytest.mark.parametrize("form", ["step", "sequence"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_autograd_where_every_gate_is_open(kind: str, form: str) -> None:
    net = NETWORKS[kind]()
    if form == "sequence" and len(net.in_shape) == 3:
        with pytest.raises(ValueError, match="a trace for each synapse"):
            build(net, "espp", form=form)
        return
    before, _ = batches(net)
    x = spiking.events(net)
    x[..., 0] = 1.0  # no frame is empty, so that no margin is zero
    rule = build(net, "espp", form=form, c_same=1e6, c_different=1e6, min_input=0.0)
    found = second(rule, before, x)
    r, b = pairs(net, before)
    assert b.tolist() == [1.0, -1.0, 1.0, -1.0, 1.0]
    score = sum(
        (-b[:, None] * (r[i] * step.spikes[i]).flatten(1)).sum()
        for _, step in judged(net, x)
        for i in range(len(net.layers))
    )
    spiking.assert_same(found, hidden_gradients(net, score))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_gate_of_every_step(kind: str) -> None:
    net = NETWORKS[kind]()
    before, x = batches(net)
    c = {"c_same": 0.5, "c_different": -0.3, "min_input": 0.1}
    rule = build(net, "espp", **c)
    found, (r, b) = second(rule, before, x), pairs(net, before)
    total, gates = torch.zeros((), dtype=x.dtype), []
    for t, step in judged(net, x):
        for i in range(len(net.layers)):
            for n in range(spiking.BATCH):
                score = -b[n] * (r[i][n] * step.spikes[i][n]).sum()
                margin = c["c_same"] if b[n] > 0 else c["c_different"]
                gates.append(bool(score + margin * x[t, n].mean() > 0 and x[t, n].mean() > 0.1))
                # Through the whole past of the membrane, as far as the trace goes.
                total = total + score * gates[-1]
    assert 0.2 < sum(gates) / len(gates) < 0.8
    spiking.assert_same(found, hidden_gradients(net, total))


@pytest.mark.parametrize("kind", ["dense", "recurrent"])
def test_the_gate_of_the_sequence(kind: str) -> None:
    net, lengths = NETWORKS[kind](), torch.tensor([8, 3, 5, 8, 8])
    before, x = batches(net)
    rule = build(net, "espp", form="sequence", c_same=0.055, c_different=-0.09)
    rule.sequence(before, BEFORE)
    found, (r, b) = hidden(spiking.gradients(rule, x, lengths=lengths)), pairs(net, before)
    total, gates = torch.zeros((), dtype=x.dtype), []
    steps = [step for _, step in judged(net, x)]
    for i, layer in enumerate(net.layers):
        for n, length in enumerate(lengths.tolist()):
            spikes = torch.stack([step.spikes[i][n] for step in steps[:length]]).sum(0)
            score = -b[n] * (r[i][n] * spikes).sum()
            c = 0.055 if b[n] > 0 else -0.09
            gates.append(bool(score + c * length * len(layer.weight) > 0))
            total = total + score * gates[-1]
    assert 0.2 < sum(gates) / len(gates) < 0.8
    spiking.assert_same(found, hidden_gradients(net, total))


def test_an_echo_stops_at_its_samples_end() -> None:
    net = NETWORKS["dense"]()
    x, lengths = spiking.events(net), torch.tensor([8, 3, 5, 8, 1])
    padded = x.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[length:, row] = float("nan")
    rule = build(net, "espp")
    rule.sequence(padded, spiking.labels(), lengths=lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = echoes(net, x[:length, row : row + 1])
        for echo, expected in zip(rule.tensors()["echo"], alone, strict=True):
            assert torch.allclose(echo[row], expected[0].nan_to_num(), atol=1e-12)


def test_rows_choose_their_partners_in_turn() -> None:
    earlier = torch.tensor([0, 1, 0, 2])
    assert choose(torch.tensor([0, 1, 0, 2]), earlier).tolist() == [0, 2, 2, 0]
    assert choose(torch.tensor([1, 1]), earlier).tolist() == [1, 2]
    assert choose(torch.tensor([3, 3]), earlier).tolist() == [0, 1]  # no such class
    assert choose(torch.tensor([0, 0, 0]), torch.tensor([0])).tolist() == [0, 0, 0]


def test_echoes_outlive_a_sequence_and_a_checkpoint_of_it(tmp_path: Path) -> None:
    net = NETWORKS["recurrent"]()
    before, x = batches(net)
    rule, other, path = build(net, "espp"), build(net, "espp"), tmp_path / "last.safetensors"
    rule.sequence(before, BEFORE)
    checkpoint.save(path, {"rule": rule.state_dict()}, {})
    expected = hidden(spiking.gradients(rule, x))
    saved = checkpoint.part(checkpoint.load(path)[0], "rule")
    assert {name.split(".")[1] for name in saved} == {"echo", "echo_labels"}
    checkpoint.restore(other, saved, path)
    assert not other.open
    found = hidden(spiking.gradients(other, x))
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    spiking.assert_same(found, expected)
    fresh = hidden(spiking.gradients(build(net, "espp"), x))
    assert not any(value.any() for value in fresh.values())


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match=r"rule\.form: 'odd'"):
        build(NETWORKS["dense"](), "espp", form="odd")
