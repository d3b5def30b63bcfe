"""Steps of a trace that wait in `sequence` against the loop that takes each as it comes."""

from typing import Any

import pytest
import torch
from torch import Tensor

import spiking
from synaptrace.rules import build, synapse
from synaptrace.seeds import generator

LENGTHS = torch.tensor([8, 3, 1, 8, 5])


def trained(name: str, every: int | None, at_once: bool, options: dict[str, Any]) -> list[Tensor]:
    """Logits, all weights and the last trace of a sequence in which the optimizer steps."""
    net = spiking.dense(7, 6, recurrent=name != "ostl", standardise=True)
    rule = build(net, name, generator=generator(0, "rule"), **options)
    weights = [*net.parameters(), *rule.parameters()]
    optimizer, x = torch.optim.SGD(weights, lr=0.1), spiking.events(net)
    if at_once:
        logits = rule.sequence(
            x, spiking.labels(), lengths=LENGTHS, optimizer=optimizer, every=every
        )
    else:
        rule.start(spiking.labels(), steps=len(x), lengths=LENGTHS)
        for t, frame in enumerate(x, 1):
            rule.step(frame)
            if (every and t % every == 0) or t == len(x):
                optimizer.step()
                optimizer.zero_grad()
        logits = rule.finish()
    kept = rule.state["eligibility" if name == "eprop" else "trace"]
    return [logits, *(weight.detach() for weight in weights), *kept]


@pytest.mark.parametrize("every", [None, 1, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [("eprop", {"kappa": 0.6}), ("eprop", {"feedback": "random"}), ("ostl", {}), ("osttp", {})],
)
def test_steps_that_wait_come_to_the_same(
    name: str, options: dict[str, Any], every: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trained(name, every, False, options)
    lengths, take = [], synapse.take

    def counted(layer: Any, trace: Tensor, *steps: Tensor) -> None:
        lengths.append(len(steps[0]))
        take(layer, trace, *steps)

    monkeypatch.setattr(synapse, "take", counted)
    for block in (2, 5, 32):
        monkeypatch.setattr(synapse, "BLOCK", block)
        for found, expected in zip(trained(name, every, True, options), plain, strict=True):
            assert expected.any()
            assert (found - expected).abs().max() <= 1e-11 * expected.abs().max()
    assert set(lengths) == {None: {2, 5, 3, 8}, 1: {1}, 3: {1, 2, 3}}[every]
