"""Figures of earlier: those that the repository keeps, and those that `speed --json` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from synaptrace.errors import UserError

TRANSCRIPTION = "transcription"


def figures() -> dict[str, Any]:
    """`recorded.json`: "ratios" by instruction set (`check`), and the machine of the tables."""
    text = files("synaptrace.bench").joinpath("recorded.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def read(path: Path) -> dict[str, Any]:
    """What `speed --json` wrote. Raises UserError where it isn't that."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        ratios(found)
        found["machine"]["processor"], found["machine"]["engine"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--against: {path} is no file of `bench speed --json` ({type(error).__name__})"
        ) from error
    return dict(found)


def ratios(figures: Mapping[str, Any]) -> dict[tuple[str, int, str], float]:
    """By case, batch and contender: how many times faster than the transcription of its run."""
    return {
        (row["case"], row["batch"], row["contender"]): float(row["ratios"][TRANSCRIPTION])
        for row in figures["rows"]
        if TRANSCRIPTION in row["ratios"]
    }


def compare(now: Mapping[str, Any], earlier: Mapping[str, Any]) -> Iterator[str]:
    """Lines of Markdown: the ratios of both that both have, and the one by the other."""
    for name, figures in (("earlier", earlier), ("now", now)):
        machine = figures["machine"]
        yield f"{name}: {machine['processor']}, engine {machine['engine']}"
    yield "\n| case | batch | contender | times the transcription | earlier | now / earlier |"
    yield "|---|---:|---|---:|---:|---:|"
    before = ratios(earlier)
    for key, ratio in ratios(now).items():
        if key in before:
            case, batch, contender = key
            yield (
                f"| {case} | {batch} | {contender} | {ratio:.2f} | {before[key]:.2f} | "
                f"{ratio / before[key]:.2f} |"
            )
