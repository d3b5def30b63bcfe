"""What an export says of itself: README.md, and the table that the command prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synaptrace.ship import Options
from synaptrace.ship.c import count, source
from synaptrace.ship.c.plan import Plan
from synaptrace.text_table import shown


def text(
    plan: Plan,
    found: Mapping[str, int],
    about: Mapping[str, Any],
    accuracy: Mapping[str, float | None],
    options: Options,
) -> str:
    """README.md of the folder."""
    rows = [f"| {count.ROWS[name]} | {size} |" for name, size in found.items() if size]
    rows += [f"| flash, without code | {count.flash(found)} |", f"| RAM | {count.ram(found)} |"]
    shares = [f"| {name} | {percent(share)} |" for name, share in accuracy.items()]
    learns = f"Learns: {options.learn}." if options.learn else "Learns nothing."
    return source.fill(
        "README.md",
        {**about, "bytes": "\n".join(rows), "accuracy": "\n".join(shares), "learns": learns,
         "precision": plan.precision},
    )  # fmt: skip


def terminal(out: Path, found: Mapping[str, int], accuracy: Mapping[str, float | None]) -> str:
    """Bytes, then accuracies on the test set."""
    rows = [["export", str(out)]]
    rows += [[name, f"{size} B", count.ROWS[name]] for name, size in found.items() if size]
    rows += [
        ["flash", f"{count.flash(found)} B", "without code"],
        ["RAM", f"{count.ram(found)} B", ""],
    ]
    rows += [
        [name, percent(share), "not tested" if share is None else "of the test set is right"]
        for name, share in accuracy.items()
    ]
    return shown(rows, head=False)


def percent(share: float | None) -> str:
    """A share of 1, or a dash where nothing was tested."""
    return "-" if share is None else f"{100 * share:.2f} %"
