"""Trained networks that come with the installation: a name stands wherever a run directory does.

    builtin/<name>/    a run directory, and beside its files
        figures.json   how good it is, measured, and its words
        clips.txt      the recordings that it learned from, each with its hash
        ATTRIBUTION.txt

A path of that name wins. Nothing is ever written there: what comes of a built-in network goes below
runs/<name>. `python -m synaptrace.builtin.make` makes one of a trained run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synaptrace.files import read_json

ROOT = Path(__file__).parent
FIGURES, CLIPS, ATTRIBUTION = "figures.json", "clips.txt", "ATTRIBUTION.txt"


def names() -> list[str]:
    """The built-in networks."""
    return sorted(file.parent.name for file in ROOT.glob(f"*/{FIGURES}"))


def find(run: str | Path) -> Path:
    """The directory of the built-in network of that name; anything else as it is."""
    run = Path(run)
    return ROOT / run if str(run) in names() and not run.exists() else run


def owns(run: Path) -> bool:
    """Whether ``run`` is a built-in network's directory, or lies in it."""
    return run.resolve().is_relative_to(ROOT)


def beside(run: Path) -> Path:
    """Where what comes of ``run`` is written: ``run`` itself, or runs/<name> for a built-in one."""
    if not owns(run):
        return run
    return Path("runs") / run.resolve().relative_to(ROOT).parts[0]


def figures(name: str) -> dict[str, Any]:
    """What was measured of a built-in network. Raises UserError where it can't be read."""
    found: dict[str, Any] = read_json(ROOT / name / FIGURES)
    return found


def about() -> str:
    """A paragraph for a person: each built-in network, its words, and how good it is."""
    lines = []
    for name in names():
        found = figures(name)
        words = " ".join(found["classes"])
        lines.append(f"built in: {name}, which stands for a RUN. It knows {words};")
        clips = f"{found['test_samples']} test clips of {found['data']}"
        lines.append(f"  {100 * found['test_accuracy']:.2f} % of {clips} right.")
    return "\n".join(lines)
