"""`python -m synaptrace.bench data`: samples per second, loaded, trained, and both at once.

Loading is what an epoch does before a batch reaches the network: shuffle, read the cache, augment,
make frames. Training is the preset's rule on batches that lie in memory already, one update a
sequence. The third is an epoch of `fit`: each batch is loaded while the one before trains. They run
in turn in one process on the same threads; the medians are of whole passes over the same batches.
The epoch is compared with the longer of the two in each turn, as other work disturbs all three.

Without a copy of the data, recordings are drawn at random with the rates of the real ones, in the
official formats: N-MNIST (4,133 events each, 1,489 of them in the first saccade, as 1,000 real
ones have on average), SHD (about 8,000 spikes in 0.8 s).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

import synaptrace as st
from synaptrace import data
from synaptrace.bench import measure
from synaptrace.config import resolve
from synaptrace.data.ahead import one_ahead
from synaptrace.data.dataset import Batch, Dataset
from synaptrace.errors import UserError
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import job


def main(options: argparse.Namespace) -> None:
    most = 1 if options.batches is None else options.batches
    if min(options.samples, options.repeats, most) < 1:
        raise UserError("bench: samples, batches and repeats must be positive")
    config = resolve(preset=options.preset)
    name = config.data["name"]
    if options.path is None and name not in DRAWN:
        raise UserError(f"--path: {name} can't be drawn at random; only {', '.join(DRAWN)} can")
    with kept(name, options.path, options.samples) as path:
        loaded = data.load(**{**config.data, "path": path})
        batches = list(some(loaded, options.batches))
        samples = sum(len(labels) for _, labels, _ in batches)
        net, rule = job.build(config, loaded)
        jobs = {
            "load": lambda: draw(some(loaded, options.batches)),
            "train": lambda: train(net, rule, batches),
            "both at once": lambda: epoch(net, rule, some(loaded, options.batches)),
        }
        worked: dict[str, list[float]] = {name: [] for name in jobs}
        counted = {name: partial(count, job, worked[name]) for name, job in jobs.items()}
        taken = measure.interleaved(counted, options.repeats)
    what = "drawn at random" if options.path is None else "real"
    steps, size = max(len(events) for events, _, _ in batches), len(batches[0][1])
    print(
        f"{options.preset}: {samples} {what} training samples, T {steps}, batch {size}, "
        f"{torch.get_num_threads()} threads"
    )
    print("what\tsamples a second (median, min-max)")
    for kind, seconds in taken.items():
        rates = sorted(samples / each for each in seconds)
        print(f"{kind}\t{np.median(rates):.0f} ({rates[0]:.0f}-{rates[-1]:.0f})")
    ratio = measure.spread(taken["train"])[0] / measure.spread(taken["load"])[0]
    print(f"loading is {ratio:.1f} times as fast as training")
    parts = zip(taken["both at once"], taken["load"], taken["train"], strict=True)
    over = [100 * (both / max(load, alone) - 1) for both, load, alone in parts]
    median, low, high = measure.spread(over)
    print(
        f"both at once take {median:+.1f} % ({low:+.1f} to {high:+.1f}) beside the longer of them"
    )
    load, alone, both = (measure.spread(worked[name][1:])[0] for name in jobs)
    print(
        f"processor time: {load:.2f} s to load, {alone:.2f} s to train, {both:.2f} s for both at "
        f"once ({100 * (both / (load + alone) - 1):+.1f} % beside their sum)"
    )


def count(job: Callable[[], object], seconds: list[float]) -> None:
    """Do a job, and add the processor time of all threads that it took."""
    began = time.process_time()
    job()
    seconds.append(time.process_time() - began)


def some(loaded: Dataset, most: int | None) -> Iterator[Batch]:
    """The first batches of an epoch, in the same order every time."""
    return islice(loaded.batches("train", generator(0, "order")), most)


def draw(coming: Iterator[Batch]) -> None:
    """In a thread of its own, as in an epoch."""
    with closing(one_ahead(coming)) as batches:
        for _ in batches:
            pass


def epoch(net: st.Network, rule: Rule, coming: Iterator[Batch]) -> None:
    with closing(one_ahead(coming)) as batches:
        train(net, rule, batches)


def train(net: st.Network, rule: Rule, batches: Iterable[Batch]) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)
    for events, labels, lengths in batches:
        rule.sequence(events, labels, lengths=lengths, optimizer=optimizer)


@contextmanager
def kept(name: str, path: Path | None, samples: int) -> Iterator[Path | None]:
    """The recordings' folder, drawn first where ``path`` is None; the cache goes with it."""
    with tempfile.TemporaryDirectory() as temporary:
        before = os.environ.get("SYNAPTRACE_DATA")
        os.environ["SYNAPTRACE_DATA"] = temporary
        try:
            drawn = Path(temporary) / "drawn"
            if path is None:
                DRAWN[name](drawn, samples)
            yield drawn if path is None else path
        finally:
            del os.environ["SYNAPTRACE_DATA"]
            if before is not None:
                os.environ["SYNAPTRACE_DATA"] = before


def draw_nmnist(folder: Path, samples: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(samples):
        first = rng.poisson(1489)
        rest = rng.poisson(4133 - 1489)
        t = np.sort(np.concatenate([rng.integers(100_000, size=first),
                                    rng.integers(100_000, 310_000, size=rest)]))  # fmt: skip
        x, y = rng.integers(34, size=(2, len(t)))
        high = rng.integers(2, size=len(t)) << 7 | t >> 16
        bytes_ = np.stack([x, y, high, t >> 8 & 255, t & 255], 1).astype(np.uint8)
        file = folder / "Train" / str(i % 10) / f"{i + 1:05d}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes_.tobytes())


def draw_shd(folder: Path, samples: int) -> None:
    import h5py

    rng = np.random.default_rng(0)
    folder.mkdir()
    for split, count in (("train", samples), ("test", 20)):
        with h5py.File(folder / f"shd_{split}.h5", "w") as file:
            spikes = file.create_group("spikes")
            times = spikes.create_dataset("times", (count,), dtype=h5py.vlen_dtype(np.float16))
            units = spikes.create_dataset("units", (count,), dtype=h5py.vlen_dtype(np.uint16))
            for i in range(count):
                spiked = rng.poisson(8000)
                last = rng.uniform(0.5, 1.1)
                times[i] = np.sort(rng.uniform(0, last, size=spiked)).astype(np.float16)
                units[i] = rng.integers(700, size=spiked)
            file["labels"] = np.arange(count) % 20
            file["extra/speaker"] = np.arange(count) // 20 % 10
            file["extra/keys"] = np.array([f"word {i}".encode() for i in range(20)])


DRAWN = {"nmnist": draw_nmnist, "shd": draw_shd}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="nmnist", help="whose data and network (nmnist)")
    parser.add_argument("--path", type=Path, help="a copy of the data (default: drawn at random)")
    parser.add_argument("--samples", type=int, default=1000, help="how many are drawn")
    parser.add_argument("--batches", type=int, help="of a pass (default: a whole epoch)")
    parser.add_argument("--repeats", type=int, default=3, help="passes, of which the median")
