"""The next batch is made while the present one trains: the same bits, one ahead, nothing left."""

import os
import signal
import threading
import time
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import toy
from patience import LIMIT, until
from synaptrace.data.ahead import one_ahead
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.training import checkpoint, loop
from synaptrace.training import run as runs
from synaptrace.training.loop import fit


def noise(x: Tensor, draws: torch.Generator) -> Tensor:
    return x * (torch.rand(x.shape, generator=draws) < 0.9)


def data(augment: Any = noise, ahead: bool = True) -> ArrayDataset:
    """Samples of different lengths in five batches for training, two for validation."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.arange(56) % toy.CLASSES
    rates = torch.rand(toy.CLASSES, toy.INPUTS, generator=draws)[labels][:, None] * 0.6
    frames = torch.bernoulli(rates.expand(-1, toy.STEPS, -1), generator=draws).to(torch.uint8)
    made = ArrayDataset(
        frames, labels, name="patterns", classes="abc", batch_size=8, augment=augment,
        index={"train": range(40), "validation": range(40, 56)},
        lengths=torch.randint(2, toy.STEPS + 1, (56,), generator=draws),
    )  # fmt: skip
    made.ahead = ahead
    return made


def trained(source: ArrayDataset, run: Path | None = None, **options: Any) -> list[Tensor]:
    net, rule = toy.make(train_label=True)
    fit(net, rule, source, lr=1e-2, run=run, progress=False, **{"epochs": 2} | options)
    return [weight.detach() for weight in net.parameters()]


def alike(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def left() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("prepare")]


@pytest.mark.parametrize("options", [{}, {"micro_batch": 3}, {"update": 2, "ema": 0.9}])
@pytest.mark.parametrize("augment", [noise, None])
def test_the_bits_are_those_without(options: dict[str, Any], augment: Any) -> None:
    ours = trained(data(augment), **options)
    assert alike(ours, trained(data(augment, ahead=False), **options))
    assert not alike(ours, trained(data(augment), seed=1, **options))
    assert left() == []


def test_it_is_made_in_a_thread_with_one_core() -> None:
    seen: list[tuple[str, int]] = []

    def watched(x: Tensor, draws: torch.Generator) -> Tensor:
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return noise(x, draws)

    trained(data(watched), threads=2)
    assert torch.get_num_threads() == 2
    assert seen == [("prepare_0", 1)] * 10


def test_others_are_made_where_they_train() -> None:
    seen = []

    class Watched(toy.Toy):
        def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
            seen.append(threading.current_thread())
            yield from super().batches(split, generator)

    net, rule = toy.make()
    fit(net, rule, Watched(), epochs=1, progress=False)
    assert set(seen) == {threading.main_thread()}


def test_one_is_made_ahead_and_two_are_held() -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    made = []

    def items() -> Any:
        for number in range(6):
            item = torch.full((1,), number)
            made.append(number)
            alive.add(item)
            yield item
            del item

    with closing(one_ahead(items())) as found:
        for number, item in enumerate(found):
            wanted = min(number + 2, 6)
            until(lambda wanted=wanted: len(made) >= wanted)
            time.sleep(0.005)  # for one more, were it made
            assert int(item) == number
            assert len(made) == wanted
            assert len(alive) <= 2
    assert left() == []


@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_training_holds_two_parts_at_most(
    micro_batch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = []
    gather = ArrayDataset.gather

    def counted(*given: Any, **options: Any) -> Any:
        batch = gather(*given, **options)
        alive.add(batch[0])
        most.append(len(alive))
        return batch

    monkeypatch.setattr(ArrayDataset, "gather", counted)
    trained(data(None), micro_batch=micro_batch)
    assert len(most) == 4 + 2 * (5 if micro_batch is None else 20)
    assert 2 <= max(most) <= 3  # at the moment that one is handed over


def test_what_making_it_raises_is_raised_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]
    learned = []

    def broken(x: Tensor, draws: torch.Generator) -> Tensor:
        calls[0] += 1
        if calls[0] == 4:
            raise UserError("patterns: the fourth batch is damaged")
        return x

    learn = loop.learn
    monkeypatch.setattr(loop, "learn", lambda *given: (learned.append(1), learn(*given))[1])
    with pytest.raises(UserError, match="patterns: the fourth batch is damaged"):
        trained(data(broken))
    assert len(learned) == 3
    assert left() == []


@pytest.mark.parametrize("where", ["training", "making"])
def test_an_interrupt_ends_it_cleanly(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bool] = []

    def interrupted(x: Tensor, draws: torch.Generator) -> Tensor:
        if where == "making" and not sent:  # once: a second one may end the wait for the thread
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
        return x

    def stopped(*_: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    if where == "training":
        monkeypatch.setattr(loop, "learn", stopped)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored from outside
    try:
        with pytest.raises(KeyboardInterrupt):
            trained(data(interrupted))
    finally:
        signal.signal(signal.SIGINT, before)
    assert left() == []


@pytest.mark.parametrize("later", [True, False])
def test_a_checkpoint_amid_an_epoch_knows_nothing_of_the_batch_ahead(
    later: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(data(ahead=False), tmp_path / "whole", config={})
    learn, count, drawn = loop.learn, [0], [0]

    def counted(x: Tensor, draws: torch.Generator) -> Tensor:
        drawn[0] += 1
        return noise(x, draws)

    def cut(*given: Any) -> Any:
        count[0] += 1
        if count[0] == 8:
            until(lambda: drawn[0] == 9)
            raise InterruptedError
        return learn(*given)

    monkeypatch.setattr(loop, "learn", cut)
    with pytest.raises(InterruptedError):
        trained(data(counted), tmp_path / "cut", config={}, checkpoint_seconds=0.0)
    progress = checkpoint.load(tmp_path / "cut" / runs.LAST)[1]["progress"]
    assert (progress["epoch"], progress["batch"], progress["samples"]) == (1, 2, 16)
    again = trained(data(ahead=later), tmp_path / "cut", config={}, resume=True)
    assert alike(whole, again)
    assert count[0] == 8 + 3


def test_one_trains_while_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, learned = [threading.Event() for _ in range(5)], []

    def seen(x: Tensor, draws: torch.Generator) -> Tensor:
        begun[sum(each.is_set() for each in begun)].set()
        return x

    def waiting(*given: Any) -> Any:
        learned.append(begun[min(len(learned) + 1, 4)].wait(LIMIT))
        return learn(*given)

    learn = loop.learn
    monkeypatch.setattr(loop, "learn", waiting)
    trained(data(seen), epochs=1)
    assert learned == [True] * 5
