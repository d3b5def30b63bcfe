"""`python -m synaptrace.bench check`: the engine's speed beside the transcription's, in seconds.

Each instruction set that this machine has takes turns with the transcription, on one thread, by
processor time: so the ratios hardly depend on the machine or on what else runs. `recorded.json`
holds those of earlier, by instruction set. It fails where the one in use is below two thirds of its
record, twice: one measurement may meet a busy machine. Others, and one without a record, are told.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from synaptrace import native
from synaptrace.bench import measure, peers, published, speed
from synaptrace.bench.cases import SHD, Case
from synaptrace.cost.process import Job
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.native import library

CONTENDERS = ("TP native, sequence, batch", "TP native, step, batch")
BATCH = 8
LEAST = 2 / 3
"""Of a recorded ratio."""

Ratios = Mapping[str, Mapping[str, float]]
"""By instruction set and contender: how many times faster than the transcription."""


def at_level(level: str, job: Job) -> None:
    with library.use(level):
        job()


def ratios(case: Case = SHD, batch: int = BATCH, repeats: int = 5) -> dict[str, dict[str, float]]:
    """`Ratios` of each instruction set that this machine has."""
    jobs: dict[tuple[str, str], Job] = {
        (level, name): partial(at_level, level, peers.build(name, case, batch))
        for level in library.levels()
        for name in CONTENDERS
    }
    all_jobs = {str(key): job for key, job in jobs.items()}
    all_jobs[peers.TRANSCRIPTION] = peers.build(peers.TRANSCRIPTION, case, batch)
    taken = measure.interleaved(all_jobs, repeats, clock=time.process_time)
    slow = measure.spread(taken[peers.TRANSCRIPTION])[0]
    found: dict[str, dict[str, float]] = {}
    for level, name in jobs:
        fast = measure.spread(taken[str((level, name))])[0]
        found.setdefault(level, {})[name] = slow / fast
    return found


def compare(found: Ratios, earlier: Ratios, used: str | None) -> tuple[list[str], bool]:
    """Lines of a table, and whether the instruction set that is ``used`` holds its record."""
    lines, good = ["engine\tcontender\ttimes the transcription\trecorded\t"], True
    for level, each in found.items():
        for name, ratio in each.items():
            record = earlier.get(level, {}).get(name)
            slow = level == used and record is not None and ratio < LEAST * record
            good = good and not slow
            before = "none" if record is None else f"{record:.1f}"
            lines.append(f"{level}\t{name}\t{ratio:.1f}\t{before}\t{'TOO SLOW' if slow else ''}")
    return lines, good


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, help="write the ratios here")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions, of which the median")


def main(options: argparse.Namespace) -> None:
    if native.why():
        print(f"nothing to check: {native.why()}")
        return
    if options.repeats < 1:
        raise UserError("bench: repeats must be positive")
    torch.set_num_threads(1)
    print(f"{speed.processor()}, engine {native.level()}, one thread, {SHD.title}, batch {BATCH}")
    for _ in range(2):
        found = ratios(repeats=options.repeats)
        lines, good = compare(found, published.figures()["ratios"], native.level())
        print("\n".join(lines))
        if good:
            break
    if options.json:
        about = {"processor": speed.processor(), "ratios": found}
        write_atomic(options.json, json.dumps(about, indent=1) + "\n")
        print(f"figures: {options.json}")
    if not good:
        raise UserError(
            "bench: slower than two thirds of what was recorded; find out why, or record anew in "
            "src/synaptrace/bench/recorded.json"
        )
