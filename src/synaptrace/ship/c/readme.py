"""What an export says of itself: README.md, and the table that the command prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from synaptrace.ship import Options
from synaptrace.ship.c import count, source
from synaptrace.ship.c.accuracy import Tested
from synaptrace.ship.c.plan import Plan
from synaptrace.text_table import shown


def text(
    plan: Plan,
    found: Mapping[str, int],
    about: Mapping[str, Any],
    tested: Sequence[Tested],
    options: Options,
) -> str:
    """README.md of the folder."""
    rows = [f"| {count.ROWS[name]} | {size} |" for name, size in found.items() if size]
    rows += [f"| flash, without code | {count.flash(found)} |", f"| RAM | {count.ram(found)} |"]
    shares = [f"| {' | '.join(row)} |" for row in accuracies(tested)]
    learns = f"Learns: {options.learn}." if options.learn else "Learns nothing."
    return source.fill(
        "README.md",
        {**about, "bytes": "\n".join(rows), "accuracy": "\n".join(shares), "learns": learns,
         "precision": plan.precision},
    )  # fmt: skip


def terminal(out: Path, found: Mapping[str, int], tested: Sequence[Tested]) -> str:
    """Bytes, then accuracies."""
    rows = [["export", str(out)]]
    rows += [[name, f"{size} B", count.ROWS[name]] for name, size in found.items() if size]
    rows += [
        ["flash", f"{count.flash(found)} B", "without code"],
        ["RAM", f"{count.ram(found)} B", ""],
    ]
    rows += [[name, share, f"right {of}" if share != "-" else of]
             for name, share, of in accuracies(tested)]  # fmt: skip
    return shown(rows, head=False)


def accuracies(tested: Sequence[Tested]) -> list[tuple[str, str, str]]:
    """Each precision, its share that is right, and of what."""
    return [
        (name, *((f"{100 * share:.2f} %", f"of all {each.samples} samples of {each.of}")
                 if share is not None else ("-", "not tested")))
        for each in tested for name, share in each.accuracy.items()
    ]  # fmt: skip
