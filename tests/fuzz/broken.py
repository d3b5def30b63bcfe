"""Readers that are broken on purpose: what the runner says of each is printed, a word a line."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuzz import attempt, cases, runner
from fuzz.mutators import other
from fuzz.targets import Accepted, Target


def greedy(folder: Path) -> None:
    np.ones(2 * runner.MEMORY, np.uint8)


def endless(folder: Path) -> None:
    while True:
        pass


def crash(folder: Path) -> None:
    ctypes.string_at(0)


def believe(folder: Path) -> None:
    raise Accepted("anything")


READERS: list[Callable[[Path], object]] = [
    lambda folder: [][1], greedy, endless, crash, believe, lambda folder: None,
]  # fmt: skip


def main() -> None:
    made = [
        Target(f"broken{i}", lambda f: (f / "x").write_text("x"), ("x",), read, {"other": other})
        for i, read in enumerate(READERS)
    ]
    cases.TARGETS.update({target.name: target for target in made})
    chosen = [attempt.Case(target.name, "other", 0) for target in made]
    found = {result.case: result for result in runner.run(chosen)}
    for case in chosen:
        print(found[str(case)].outcome)


if __name__ == "__main__":
    main()
