"""One network on one and two processes: time a batch, bytes an update, and what a network of a
given bandwidth then allows on more of them.

    python -m synaptrace.bench scale

The table is computed: a ring sends 2 (N − 1)/N of the summed bytes from each of N processes, and
takes 2 (N − 1) messages one after another. A process computes its share of the batch in 1/N of the
time that one takes for all of it, which is the best that can be; the rest is waiting.
"""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import time
from pathlib import Path

import torch
from torch.multiprocessing.spawn import spawn

from synaptrace import rules
from synaptrace.bench import cases
from synaptrace.bench.cases import SHD, Case
from synaptrace.seeds import generator
from synaptrace.text_table import markdown
from synaptrace.training import parts, team
from synaptrace.training.learn import learn
from synaptrace.training.state import State

SCHEDULES: dict[str, int | None] = {"sequence": None, "10 steps": 10, "step": 1}
PROCESSES = (8, 32, 128, 512)
LINKS = {"1 GB/s, 50 µs": (1e9, 5e-5), "25 GB/s, 5 µs": (25e9, 5e-6)}
"""Bytes a second from one process to the next, and what a message waits for: Ethernet of 10 Gb/s,
and what a rack of accelerators has."""
BATCH = 256
REPEATS = 3


def work(rank: int, size: int, port: int, folder: str, case: Case, batch: int) -> None:
    """Time a batch in each schedule in one of ``size`` processes; the first writes it down."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    found = {}
    with team.joined() as crew:
        for name, every in SCHEDULES.items():
            net, x, labels = cases.make(case, batch)
            rule = rules.build(net, "tp", generator=generator(0, "bench", "rule"))
            state = State(net, rule, 1e-3, None, {}, None)
            if size > 1:
                state.optimizer.register_step_pre_hook(crew.adding(state.weights))
            cuts = parts.cut(crew, batch, None)
            given = parts.Parts(labels, None, len(x), cuts, parts.cutter(x))
            draws = generator(0, "bench", "draws")
            seconds, busy = [], []
            for _ in range(1 + REPEATS):
                crew.sums = crew.summed = 0
                began, worked = time.perf_counter(), time.process_time()
                learn(state, given, every, draws, crew)
                seconds.append(time.perf_counter() - began)
                busy.append(time.process_time() - worked)
            middle = (sorted(each[1:])[REPEATS // 2] for each in (seconds, busy))
            found[name] = (*middle, crew.sums, crew.summed)
    if not rank:
        torch.save(found, Path(folder) / f"{size}.pt")


def measure(size: int, case: Case, batch: int) -> dict[str, tuple[float, float, int, int]]:
    """By schedule: seconds a batch, those of the processor for one process, sums a batch, and the
    bytes that they add up."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        spawn(work, (size, port, folder, case, batch), nprocs=size)  # type: ignore[no-untyped-call]
        found: dict[str, tuple[float, float, int, int]] = torch.load(Path(folder) / f"{size}.pt")
    return found


def waiting(size: int, sums: int, summed: int, bandwidth: float, latency: float) -> float:
    """Seconds that rings over ``size`` processes take for so many sums of so many bytes in all."""
    return 2 * (size - 1) * (summed / size / bandwidth + sums * latency)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=BATCH, help="samples of the whole batch")


def main(options: argparse.Namespace) -> None:
    one, two = (measure(size, SHD, options.batch) for size in (1, 2))
    print(f"{SHD.title}, batch {options.batch}, one thread a process; measured here\n")
    rows = [
        [name, *(f"{each[name][i]:.2f} s" for i in (0, 1) for each in (one, two)),
         str(two[name][2] - 1),
         f"{two[name][3] / max(two[name][2] - 1, 1) / 1e6:.2f} MB", f"{two[name][3] / 1e6:.1f} MB"]
        for name in SCHEDULES
    ]  # fmt: skip
    head = ["an update a", "1 process", "2 processes", "processor, of 1", "of each of 2", "updates",
            "an update", "a batch"]  # fmt: skip
    print(markdown([head, *rows]))
    print("\nComputed: share of the time that is spent computing, at best\n")
    rows = []
    for link, (bandwidth, latency) in LINKS.items():
        for name in SCHEDULES:
            (_, seconds, *_), (*_, sums, summed) = one[name], two[name]
            shares = [
                seconds / n / (seconds / n + waiting(n, sums, summed, bandwidth, latency))
                for n in PROCESSES
            ]
            half = next(
                (str(n) for n in range(2, options.batch + 1)
                 if waiting(n, sums, summed, bandwidth, latency) > seconds / n),
                f"the batch, {options.batch}",
            )  # fmt: skip
            rows.append([link, name, *(f"{share:.0%}" for share in shares), half])
    print(markdown([["link", "an update a", *map(str, PROCESSES), "limit"], *rows]))
    print(
        "Limit: processes from which on more is waited than computed; each has a sample at least."
    )
