"""A comparison's table, for the terminal, as CSV and Markdown, and its figure."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaptrace import text_table
from synaptrace.compare.judge import hint, lines, pairs
from synaptrace.drawing import BLUE, GREY, ORANGE, figure, plain, save

COLUMNS = (
    "rule", "test %", "± s.d.", "seeds", "picked validation %", "lr", "s/epoch", "state KiB",
    "auxiliary KiB", "spikes/inference", "local in space", "local in time", "auxiliary",
    "update-locked", "weight transport", "needs a batch", "note",
)  # fmt: skip

LOCALITY = ("space", "time", "auxiliary", "update_locked", "weight_transport", "batch")
"""The attributes of `rules.locality.Locality` in the columns before the note."""

FLOOR = "readout-only"


def cells(
    row: dict[str, Any], floor: Sequence[float] = (), rows: Sequence[dict[str, Any]] = ()
) -> list[str]:
    """One contender's cells, empty where nothing is known yet.

    Args:
        floor: what it must beat.
        rows: all contenders, beside whom it may be still rising.
    """
    outcomes, tests = row["outcomes"], accuracies(row)
    checks = [100 * v for o in outcomes if (v := o["validation_accuracy"]) is not None]
    spikes = [v for o in outcomes if (v := o["spikes_per_inference"]) is not None]
    seconds = row["seconds_per_epoch"]
    local = row.get("locality") or {}
    notes = [] if row["complete"] else ["unfinished"]
    if row["diverged"]:
        rates = ", ".join(f"{rate:g}" for rate, _ in row["diverged"])
        notes.append(f"diverged at {rates}")
        lost = sum(rate == row["lr"] for rate, _ in row["diverged"])
        if lost:
            notes.append(f"{lost} of its seeds diverged at the chosen rate and are not in the mean")
    if len(tests) > 1 < len(floor) and not is_floor(row) and not above(tests, floor):
        notes.append(f"not two standard errors above {FLOOR}")
    if rising := hint(row, rows):
        notes.append(rising)
    return [
        row["rule"],
        f"{statistics.fmean(tests):.2f}" if tests else "",
        f"{statistics.stdev(tests):.2f}" if len(tests) > 1 else "",
        str(len(outcomes)),
        f"{statistics.fmean(checks):.2f}" if checks else "",
        "" if row["lr"] is None else f"{row['lr']:g}",
        "" if seconds is None else f"{seconds:.2f}",
        f"{row['state_bytes'] / 1024:.0f}" if "state_bytes" in row else "",
        f"{row['auxiliary_bytes'] / 1024:.0f}" if "auxiliary_bytes" in row else "",
        f"{statistics.fmean(spikes):.0f}" if spikes else "",
        *(yes(local.get(key)) for key in LOCALITY),
        "; ".join(notes),
    ]


def accuracies(row: dict[str, Any]) -> list[float]:
    """Test accuracy of each seed at the last epoch, in per cent."""
    found = [outcome["test_accuracy_last"] for outcome in row["outcomes"]]
    return [100 * accuracy for accuracy in found if accuracy is not None]


def is_floor(row: dict[str, Any]) -> bool:
    """Whether it is the floor, or one of several: of those the best counts."""
    rule: str = row["rule"]
    return rule.partition(":")[0] == FLOOR


def above(values: Sequence[float], floor: Sequence[float]) -> bool:
    """Whether the means differ by more than two standard errors of their difference."""
    error = math.sqrt(sum(statistics.variance(each) / len(each) for each in (values, floor)))
    return statistics.fmean(values) - statistics.fmean(floor) > 2 * error


def yes(value: Any) -> str:
    """A flag in words; text as it is."""
    return "" if value is None else str(value) if isinstance(value, str) else ("no", "yes")[value]


def ordered(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """All cells, the best test accuracy first, what isn't known last."""
    floors = [values for row in rows if is_floor(row) and (values := accuracies(row))]
    floor = max(floors, key=statistics.fmean, default=[])
    made = [cells(row, floor, rows) for row in rows]
    return sorted(made, key=lambda cell: -float(cell[1] or -1))


def terminal(rows: Sequence[dict[str, Any]]) -> str:
    """A header line first, as `text_table.shown` has it; beneath it, each rule against the best."""
    shown = text_table.shown([COLUMNS, *ordered(rows)])
    found = pairs(rows)
    return f"{shown}\n\n{text_table.shown(lines(found))}" if found else shown


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """CSV, a header line first."""
    return text_table.as_csv([COLUMNS, *ordered(rows)])


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table."""
    return text_table.markdown([COLUMNS, *ordered(rows)])


def brief(label: str) -> str:
    """A label without its rates, and without what is said twice: room for the picture."""
    without = re.sub(":(rates|train.lr_readout)=[^:]*", "", label)
    return re.sub("=true(?=:|$)", "", without.replace("train.update=", "update="))


def draw(rows: Sequence[dict[str, Any]], path: Path, title: str) -> Path | None:
    """Accuracy of every seed, its mean, and the bytes of training state; None without any."""
    known = [(row, accuracies(row)) for row in rows]
    known = sorted((each for each in known if each[1]), key=lambda each: statistics.fmean(each[1]))
    if not known:
        return None
    names = [brief(row["rule"]) for row, _ in known]
    places = range(len(known))
    picture = figure(9, 0.3 * len(known) + 1.4)
    accuracy, memory = picture.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    for place, (row, values) in zip(places, known, strict=True):
        colour = BLUE if row["rule"].startswith("tp") else GREY
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        accuracy.errorbar(statistics.fmean(values), place, xerr=spread, fmt="o", color=colour)
        accuracy.plot(values, [place] * len(values), "|", color=colour, alpha=0.6)
        state, auxiliary = (row[key] / 1024 for key in ("state_bytes", "auxiliary_bytes"))
        memory.barh(place, state, color=colour)
        memory.barh(place, auxiliary, left=state, color=ORANGE)
    accuracy.set_yticks(places, names, fontsize=8)
    accuracy.set(xlabel="test accuracy at the last epoch [%]", title=plain(title))
    memory.set(xlabel="training state, auxiliary [KiB]", xscale="log", xlim=(10, None))
    for axis in (accuracy, memory):
        axis.grid(alpha=0.3, axis="x")
    return save(picture, path)
