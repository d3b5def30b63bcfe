"""A small data set and network for the tests of training, and a process that can be killed."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from patience import LIMIT
from synaptrace.build import mlp
from synaptrace.data.dataset import Meta
from synaptrace.network import Network
from synaptrace.neuron import LIF
from synaptrace.rules import Rule, build
from synaptrace.seeds import generator
from synaptrace.training.loop import fit

STEPS, INPUTS, CLASSES, BATCH = 6, 12, 3, 8
SIZES = {"train": 40, "validation": 24, "test": 24}


@dataclass
class Toy:
    """Noisy events of one random pattern a class; training adds noise, as augmentation does."""

    sizes: dict[str, int] = field(default_factory=lambda: dict(SIZES))
    lengths: bool = False
    drawn: list[tuple[str, int]] = field(default_factory=list)

    @property
    def meta(self) -> Meta:
        return Meta(
            name="toy", classes=tuple("abc"), shape=(INPUTS,), steps=STEPS, sizes=self.sizes,
            test_split="official" if "test" in self.sizes else None, split_hash="0" * 64,
        )  # fmt: skip

    def batches(
        self, split: str, generator: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        size = self.sizes.get(split, 0)
        source = torch.Generator().manual_seed(len(split))
        patterns = torch.rand(CLASSES, INPUTS, generator=torch.Generator().manual_seed(0)) * 0.6
        labels = torch.arange(size) % CLASSES
        rates = patterns[labels].expand(STEPS, size, INPUTS)
        events = torch.bernoulli(rates, generator=source)
        ends = torch.randint(2, STEPS + 1, (size,), generator=source)
        order = torch.arange(size)
        if generator is not None:
            order = torch.randperm(size, generator=generator)
        for index, rows in enumerate(order.split(BATCH) if size else ()):
            batch = events[:, rows]
            if generator is not None:
                batch = batch * (torch.rand(batch.shape, generator=generator) < 0.9)
            self.drawn.append((split, index))
            yield batch, labels[rows], ends[rows] if self.lengths else None


def make(**options: Any) -> tuple[Network, Rule]:
    """A network of 12 → 16 → 3 that spikes, and TP on it."""
    draws = generator(0, "weights")
    net = mlp(INPUTS, [16], CLASSES, neuron=LIF(threshold=0.3), generator=draws)
    return net, build(net, "tp", generator=draws, **options)


def train(
    run: Path, update: str, checkpoint_seconds: float, data: Toy, lr_readout: float | None = None
) -> dict[str, Any]:
    """The training that the tests kill and resume: three epochs, averaged weights."""
    net, rule = make(train_label=True)
    return fit(
        net, rule, data, epochs=3, lr=1e-2, update=update, ema=0.9, run=run, resume=True,
        checkpoint_seconds=checkpoint_seconds, progress=False, threads=1, lr_readout=lr_readout,
    )  # fmt: skip


@dataclass
class Deadly(Toy):
    """The same data, drawn a batch ahead, in a process that is killed at the asked moment."""

    ahead = True

    death: str = ""
    seen: Counter[str] = field(default_factory=Counter)

    def reach(self, moment: str) -> None:
        self.seen[moment] += 1
        if f"{moment} {self.seen[moment]}" == self.death:
            os.kill(os.getpid(), signal.SIGKILL)
        if f"wait at {moment} {self.seen[moment]}" == self.death:
            time.sleep(2 * LIMIT)

    def batches(self, split: str, generator: torch.Generator | None = None) -> Any:
        for index, batch in enumerate(super().batches(split, generator)):
            if split == "train":
                self.reach(f"batch {index}")
            yield batch


def live(run: Path, update: str, checkpoint_seconds: float, death: str) -> None:
    """`train` in a process that kills itself (SIGKILL) at the moment that ``death`` names.

    "before NAME N" and "after NAME N": the N-th time that the file NAME is moved into place;
    "batch B N": when batch B is drawn for the N-th time. With "wait at " before it, it waits there
    for whom may kill it.
    """
    data, move = Deadly(death=death), Path.replace

    def replace(source: Path, target: Path) -> Path:
        data.reach(f"before {target.name}")
        moved = move(source, target)
        data.reach(f"after {target.name}")
        return moved

    Path.replace = replace  # type: ignore[method-assign]
    train(run, update, checkpoint_seconds, data)
