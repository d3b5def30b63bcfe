"""`python -m synaptrace.bench listen`: how well and how fast a run hears words in one long stream.

Recordings of one split of the run's data come one after another, each with a pause before it, as
one stream; a decision belongs to the recording that it overlaps. Right, wrong, undecided and missed
add up to all recordings; whatever is decided beyond one decision a recording is extra.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from synaptrace.data.audio import wav
from synaptrace.data.audio.features import Features
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.keyword import listen, reopen
from synaptrace.keyword.decide import Report, Settings
from synaptrace.keyword.fewshot import name
from synaptrace.memory import storage_bytes
from synaptrace.seeds import generator
from synaptrace.training import job
from synaptrace.training.evaluate import evaluate

Word = tuple[float, float, str]
"""Beginning and end in seconds, and what is said."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_directory", metavar="RUN", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--pause", type=float, nargs=2, default=[0.4, 1.2], help="seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the pauses")
    for setting, value in Settings().__dict__.items():
        parser.add_argument(f"--{setting}", type=float, default=value)


def main(options: argparse.Namespace) -> None:
    trained = job.trained(options.run_directory)
    data = reopen.load_data(trained)
    if trained.features is None or not isinstance(data, ArrayDataset):
        raise UserError(f"{options.run_directory}: was not trained on sound")
    features = Features.from_spec(trained.features)
    settings = Settings(**{key: getattr(options, key) for key in Settings().__dict__})
    folder = Path(trained.config.data["path"])
    files = {file.name: file for file in folder.rglob("*.wav")}
    samples, said = join(data, files, features.mel.rate, options)

    net = listen.ready(trained.net, features, settings)
    began = perf_counter()
    reports, state = listen.hear(net, features, trained.classes, settings, listen.begin(), samples)
    took = perf_counter() - began
    counts = judge(reports, said)
    kept = [leaf for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]
    clips = evaluate(trained.net, data.batches(options.split)).accuracy
    seconds = len(samples) / features.mel.rate
    print(f"{len(said)} recordings of {options.split} in {seconds:.0f} s, settings {settings}")
    for key in ("right", "wrong", "undecided", "missed", "extra"):
        print(f"{key:<12}{counts[key]:>5}\t{100 * counts[key] / len(said):.2f} %")
    print(f"clip by clip\t{100 * (clips or 0):.2f} % right")
    print(f"{seconds / took:.0f} × real time, {1000 * took / state.frames:.2f} ms a frame of "
          f"{features.mel.hop:g} ms; {storage_bytes(kept)} bytes kept")  # fmt: skip


def join(
    data: ArrayDataset, files: dict[str, Path], rate: int, options: argparse.Namespace
) -> tuple[Tensor, list[Word]]:
    """The stream (N,), and what is said in it."""
    draws = generator(options.seed, "listen")
    rows = data.index[options.split]
    rows = rows[torch.randperm(len(rows), generator=draws)]
    low, high = options.pause
    parts, said, at = [], [], 0
    for row in rows.tolist():
        pause = round(rate * float(low + (high - low) * torch.rand((), generator=draws)))
        samples, _ = wav.read(files[Path(name(data, row)).name], rate=rate)
        start, at = at + pause, at + pause + len(samples)
        parts += [torch.zeros(pause), samples]
        said.append((start / rate, at / rate, data.meta.classes[int(data.labels[row])]))
    return torch.cat([*parts, torch.zeros(rate)]), said


def judge(reports: list[Report], said: list[Word]) -> Counter[str]:
    """How many recordings were heard how."""
    counts: Counter[str] = Counter()
    decided = [r for r in reports if r.start is not None]
    for start, end, word in said:
        own = [r for r in decided if r.start is not None and r.start < end and r.time > start]
        words = [r for r in own if r.state == "word"]
        first = next(iter(words or own), None)
        if first is None:
            counts["missed"] += 1
        elif first.state != "word":
            counts["undecided"] += 1
        else:
            counts["right" if first.label == word else "wrong"] += 1
        counts["extra"] += max(len(words) - 1, 0)
    return counts
