"""Evaluation counts what the network does, sample by sample, whoever shares the batch."""

import pytest
import torch
from torch import Tensor

from synaptrace.build import mlp
from synaptrace.network import Network
from synaptrace.neuron import LIF
from synaptrace.training.evaluate import evaluate

STEPS, BATCH, INPUTS, CLASSES = 7, 9, 6, 3


@pytest.fixture
def net() -> Network:
    draws = torch.Generator().manual_seed(1)
    neuron = LIF(threshold=0.2)
    return mlp(INPUTS, [8, 5], CLASSES, neuron=neuron, recurrent=True, generator=draws)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    draws = torch.Generator().manual_seed(2)
    events = (torch.rand(STEPS, BATCH, INPUTS, generator=draws) < 0.5).float()
    labels = torch.randint(0, CLASSES, (BATCH,), generator=draws)
    return events, labels, torch.randint(1, STEPS + 1, (BATCH,), generator=draws)


def test_counts_agree_with_the_forward_pass(
    net: Network, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    events, labels, _ = batch
    score = evaluate(net, [(events[:, :4], labels[:4], None), (events[:, 4:], labels[4:], None)])
    predictions = net.predict(events)
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for label, prediction in zip(labels, predictions, strict=True):
        confusion[label, prediction] += 1
    assert torch.equal(score.confusion, confusion)
    assert score.samples == BATCH
    assert score.accuracy == pytest.approx((labels == predictions).double().mean().item())
    for label, recall in enumerate(score.recall):
        of_class = predictions[labels == label]
        assert recall == pytest.approx((of_class == label).double().mean().item())
    spikes, state = torch.zeros(2), None
    for x in events:
        _, state = net.step(x, state)
        spikes += torch.stack([layer.sum() for layer in state.spikes])
    assert spikes.min() > 0
    assert score.spikes.tolist() == spikes.tolist()
    assert score.spikes_per_inference == pytest.approx(spikes.sum().item() / BATCH)
    neurons = torch.tensor([8, 5])
    assert score.rates == pytest.approx((spikes / (neurons * BATCH * STEPS)).tolist())


def test_a_sample_counts_up_to_its_own_end(
    net: Network, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    events, labels, lengths = batch
    together = evaluate(net, [batch])
    alone = evaluate(
        net,
        [(events[: lengths[i], i : i + 1], labels[i : i + 1], None) for i in range(BATCH)],
    )
    assert torch.equal(together.confusion, alone.confusion)
    assert torch.equal(together.spikes, alone.spikes)
    assert torch.equal(together.chances, alone.chances)
    events = events.clone()
    for i, length in enumerate(lengths):
        events[length:, i] = float("nan")
    after = evaluate(net, [(events, labels, lengths)])
    assert torch.equal(after.confusion, together.confusion)
    assert torch.equal(after.spikes, together.spikes)


def test_nothing_to_evaluate_is_none_not_zero(net: Network) -> None:
    score = evaluate(net, [])
    assert score.accuracy is None
    assert score.spikes_per_inference is None
    assert score.recall == [None] * CLASSES
    assert score.as_dict()["samples"] == 0


def test_a_class_without_samples_has_no_recall(net: Network) -> None:
    events = torch.ones(STEPS, 2, INPUTS)
    recall = evaluate(net, [(events, torch.zeros(2, dtype=torch.int64), None)]).recall
    assert recall[0] is not None
    assert recall[1:] == [None, None]
