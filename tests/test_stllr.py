"""S-TLLR: its sums written out, OTTT as a special case, and a signal at the end only."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace.network import Network
from synaptrace.rules import Rule, build
from unrolled import Step, add, discounted, unrolled, weight_gradients

NETWORKS = {
    "dense": lambda reset="soft": spiking.dense(7, 6, neuron={"reset": reset}),
    "recurrent": lambda reset="soft": spiking.dense(7, 6, neuron={"reset": reset}, recurrent=True),
    "conv": lambda reset="soft": spiking.conv(neuron={"reset": reset}),
    "standardised": lambda reset="soft": spiking.conv(neuron={"reset": reset}, standardise=True),
}
Errors = Callable[[int, Step], list[Tensor]]


def three_factors(
    net: Network, x: Tensor, errors: Errors, pre: float, post: float, a_pre: float, a_post: float
) -> dict[str, Tensor]:
    """∂W and ∂R with every trace summed anew at every step; ``errors(t, step)`` gives each δ."""
    total: dict[str, Tensor] = {}
    steps = list(unrolled(net, x, states=True))
    deltas = [errors(t, step) for t, step in enumerate(steps)]
    for i, layer in enumerate(net.layers):
        xs = [step.x[i] for step in steps]
        before = [torch.zeros_like(steps[0].spikes[i]), *(step.spikes[i] for step in steps)]
        psi = [layer.neuron.surrogate(step.v[i].detach() - 0.4) for step in steps]
        for t in range(len(steps)):
            g = a_pre * deltas[t][i] * psi[t]
            q, q_recurrent = discounted(xs[: t + 1], pre), discounted(before[: t + 1], pre)
            add(total, weight_gradients(net, i, g, q, q_recurrent))
            if t:
                g = a_post * deltas[t][i] * discounted(psi[:t], post)
                add(total, weight_gradients(net, i, g, xs[t], before[t]))
    return total


def instant(net: Network, labels: Tensor) -> Errors:
    """δ as autograd has it with all states of the step before held."""
    return lambda t, step: list(
        torch.autograd.grad(F.cross_entropy(step.logits, labels), step.spikes, retain_graph=True)
    )


def direct(rule: Rule, labels: Tensor) -> Errors:
    """δ = p*(F e)."""

    def errors(t: int, step: Step) -> list[Tensor]:
        e = (step.logits.softmax(1) - F.one_hot(labels, spiking.CLASSES)) / len(labels)
        drives = [(e @ f).detach() for f in rule.feedback.buffers()]
        return [
            torch.autograd.grad(out.flatten(1), s, drive, retain_graph=True)[0]
            for out, s, drive in zip(step.out, step.spikes, drives, strict=True)
        ]

    return errors


def hidden(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in found.items() if name.startswith("layers")}


@pytest.mark.parametrize("feedback", ["symmetric", "dfa"])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_sums_written_out(kind: str, reset: str, feedback: str) -> None:
    net, labels = NETWORKS[kind](reset), spiking.labels()
    factors = {"lambda_pre": 0.75, "lambda_post": 0.2, "a_pre": 0.8, "a_post": -1.0}
    rule = build(net, "stllr", feedback=feedback, generator=torch.Generator().manual_seed(0),
                 **factors).double()  # fmt: skip
    x = spiking.events(net)
    found = hidden(spiking.gradients(rule, x))
    errors = instant(net, labels) if feedback == "symmetric" else direct(rule, labels)
    spiking.assert_same(found, three_factors(net, x, errors, *factors.values()))


@pytest.mark.parametrize("kind", NETWORKS)
def test_ottt_is_a_special_case_bit_for_bit(kind: str) -> None:
    net = NETWORKS[kind]()
    x, beta = spiking.events(net), net.layers[0].neuron.beta
    found = spiking.gradients(build(net, "stllr", lambda_pre=beta, a_pre=1.0, a_post=0.0), x)
    for name, value in spiking.gradients(build(net, "ottt"), x).items():
        assert torch.equal(found[name], value), name


def test_only_the_last_steps_have_a_signal() -> None:
    net, labels = NETWORKS["recurrent"](), spiking.labels()
    x = spiking.events(net)
    found = hidden(spiking.gradients(build(net, "stllr", last=3), x))
    every = instant(net, labels)

    def late(t: int, step: Step) -> list[Tensor]:
        return [delta * (t >= len(x) - 3) for delta in every(t, step)]

    spiking.assert_same(found, three_factors(net, x, late, 1.0, 0.5, 1.0, 1.0))


def test_a_samples_last_steps_are_counted_from_its_own_end() -> None:
    net, lengths = NETWORKS["recurrent"](), torch.tensor([8, 3, 5, 8, 1])
    x, rule = spiking.events(net), build(net, "stllr", last=2)
    together = spiking.gradients(rule, x, lengths=lengths)
    alone: dict[str, Tensor] = {}
    net.zero_grad()
    for b, length in enumerate(lengths.tolist()):
        rule.sequence(x[:length, b : b + 1], spiking.labels()[b : b + 1])
    alone = {name: p.grad / len(lengths) for name, p in net.named_parameters()}
    spiking.assert_same(together, alone)


def test_what_cannot_be_is_named() -> None:
    net = NETWORKS["dense"]()
    for option in ({"lambda_pre": 1.5}, {"lambda_post": -0.1}, {"last": 0}, {"feedback": "odd"}):
        with pytest.raises(ValueError, match=rf"rule\.{next(iter(option))}"):
            build(net, "stllr", **option)
    rule = build(net, "stllr", last=2)
    with pytest.raises(ValueError, match="steps or lengths"):
        rule.start(spiking.labels())
    rule.start(spiking.labels(), steps=4)
