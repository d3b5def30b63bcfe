"""The table and the figure of a fine-tuning study (`study`)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaptrace import text_table
from synaptrace.drawing import BLUE, GREY, RED, figure, name_ends, save
from synaptrace.keyword.tuned import Cell

Row = tuple[Cell, list[dict[str, Any]]]
"""A cell, and the summaries of its fine-tunings that are finished."""
Ends = dict[str, tuple[list[float], list[float]]]
"""Lines by name, in the order that they were drawn."""

# pooled: of all queries of all runs together; users ± s.e.: over the speakers' means after;
# state: what the rule keeps from step to step; learning: that, its fixed matrices, gradients and
# Adam's moments; stored: utterances to be heard again or rehearsed, the weights' copy of an anchor.
COLUMNS = (
    "shots", "batch", "contrast", "keep", "runs", "before %", "after %", "± s.d.", "gain", "± s.e.",
    "others before %", "others after %", "± s.e.", "new word %", "state KiB", "learning KiB",
    "stored KiB", "MMAC/update", "s", "pooled before %", "pooled after %", "users ± s.e.",
    "validation before %", "validation after %", "lr", "epochs",
)  # fmt: skip

COLOURS = {"class": BLUE, "batch": RED, None: GREY}


def cells(row: Row) -> list[str]:
    """One cell's line, empty where nothing is known yet."""
    cell, found = row
    shots = "all" if cell.shots is None else str(cell.shots)
    keep = "alone" if cell.alone else cell.keep
    line = [shots, str(cell.batch), cell.contrast or "as trained", keep, str(len(found))]
    if not found:
        return line + [""] * (len(COLUMNS) - len(line) - 2) + [f"{cell.lr:g}", str(cell.epochs)]
    after, gain = values(found, "after", "query"), gains(found, "query")
    learning = [(f["state_bytes"] + f["auxiliary_bytes"] + f["optimizer_bytes"]) for f in found]
    operations = [f["operations"] for f in found if f["operations"] is not None]
    return [
        *line, mean(values(found, "before", "query")), mean(after), spread(after),
        mean(gain), error(gain),
        *(mean(values(found, when, "general")) for when in ("before", "after")),
        error(gains(found, "general")),
        mean(values(found, "after", "new")),
        f"{max(f['state_bytes'] for f in found) / 1024:.0f}",
        f"{max(learning) / 1024:.0f}", f"{max(f['stored_bytes'] for f in found) / 1024:.0f}",
        f"{statistics.fmean(operations) / 1e6:.0f}" if operations else "",
        f"{statistics.median(f['seconds'] for f in found):.1f}",
        pooled(found, "before"), pooled(found, "after"), error(by_speaker(found)),
        *(mean(values(found, when, "validation")) for when in ("before", "after")),
        f"{cell.lr:g}", str(cell.epochs),
    ]  # fmt: skip


def values(found: Sequence[dict[str, Any]], when: str, part: str) -> list[float]:
    """Accuracy in percent of each run that has it."""
    return [100 * each[when][part] for each in found if each[when].get(part) is not None]


def gains(found: Sequence[dict[str, Any]], part: str) -> list[float]:
    """Points of accuracy that each run gained."""
    pairs = zip(values(found, "before", part), values(found, "after", part), strict=True)
    return [after - before for before, after in pairs]


def pooled(found: Sequence[dict[str, Any]], when: str) -> str:
    """Accuracy in percent on all queries together, each utterance counting once."""
    known = [(f[when]["query"], f["sizes"]["query"]) for f in found if f["sizes"]["query"]]
    total = sum(size for _, size in known)
    return f"{100 * sum(share * size for share, size in known) / total:.2f}" if total else ""


def by_speaker(found: Sequence[dict[str, Any]]) -> list[float]:
    """Query accuracy in percent after, of each speaker the mean over seeds."""
    names = sorted({each["speaker"] for each in found})
    own = [values([f for f in found if f["speaker"] == name], "after", "query") for name in names]
    return [statistics.fmean(numbers) for numbers in own if numbers]


def error(numbers: Sequence[float]) -> str:
    """The standard error of the mean."""
    return f"{deviation(numbers) / math.sqrt(len(numbers)):.2f}" if len(numbers) > 1 else ""


def deviation(numbers: Sequence[float]) -> float:
    """Sample standard deviation; 0 of a single number."""
    return statistics.stdev(numbers) if len(numbers) > 1 else 0.0


def mean(numbers: Sequence[float]) -> str:
    """The mean, empty without numbers."""
    return f"{statistics.fmean(numbers):.2f}" if numbers else ""


def spread(numbers: Sequence[float]) -> str:
    """The sample standard deviation, empty for fewer than two numbers."""
    return f"{statistics.stdev(numbers):.2f}" if len(numbers) > 1 else ""


def terminal(rows: Sequence[Row]) -> str:
    """A header line first, as `text_table.shown` has it."""
    return text_table.shown([COLUMNS, *map(cells, rows)], keys=4)


def as_csv(rows: Sequence[Row]) -> str:
    """CSV, a header line first."""
    return text_table.as_csv([COLUMNS, *map(cells, rows)])


def markdown(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    return text_table.markdown([COLUMNS, *map(cells, rows)])


def speakers(rows: Sequence[Row], part: str) -> str:
    """The table of `users` in Markdown."""
    return text_table.markdown(users(rows, part))


def users(rows: Sequence[Row], part: str) -> list[list[str]]:
    """Accuracy on ``part``, a column a speaker: mean ± s.d. over seeds."""
    known = [(cell, found) for cell, found in rows if values(found, "after", part)]
    names = sorted({each["speaker"] for _, found in known for each in found})
    made = [["", *names, "all"]]
    for when in ("before", "after"):
        for cell, found in known if when == "after" else known[:1]:
            own = [[f for f in found if f["speaker"] == name] for name in names]
            title = "before" if when == "before" else label(cell)
            made.append([title, *(both(values(f, when, part)) for f in [*own, found])])
    return made


def label(cell: Cell) -> str:
    """A cell in words."""
    shots = "all shots" if cell.shots is None else f"{cell.shots} shot{'s' * (cell.shots > 1)}"
    kind = "alone" if cell.alone else cell.keep
    return ", ".join([shots, f"batch {cell.batch}", *[k for k in (cell.contrast, kind) if k]])


def both(numbers: Sequence[float]) -> str:
    """Mean ± s.d."""
    return f"{mean(numbers)} ± {spread(numbers)}" if len(numbers) > 1 else mean(numbers)


def draw(rows: Sequence[Row], path: Path) -> Path | None:
    """Query accuracy over the shots, a line a batch size, and over the batch size, a line a number
    of shots: of every contrast, and of the first option against forgetting. None without any."""
    known = [
        (cell, found) for cell, found in rows if values(found, "after", "query") and not cell.alone
    ]
    known = [(cell, found) for cell, found in known if cell.keep == known[0][0].keep]
    if not known:
        return None
    picture = figure(10, 4)
    over_shots, over_batch = picture.subplots(1, 2, sharey=True)
    ends: tuple[Ends, Ends] = {}, {}
    for contrast in dict.fromkeys(cell.contrast for cell, _ in known):
        own = [(cell, found) for cell, found in known if cell.contrast == contrast]
        name, colour = contrast or "as trained", COLOURS[contrast]
        batches = sorted({cell.batch for cell, _ in own})
        for place, batch in enumerate(batches):
            same = [(words(f), values(f, "after", "query")) for c, f in own if c.batch == batch]
            before = (0.5, values(own[0][1], "before", "query"))
            label = f"{name}, batch {batch}"
            ends[0][label] = curve(over_shots, [before, *same], colour, place)
        for place, shots in enumerate(dict.fromkeys(cell.shots for cell, _ in own)):
            same = [(c.batch, values(f, "after", "query")) for c, f in own if c.shots == shots]
            label = f"{name}, {shots or 'all'} shots"
            ends[1][label] = curve(over_batch, same, colour, place)
    over_shots.set(xlabel="utterances of each word", xscale="log",
                   ylabel="query accuracy [%], mean ± s.e.")  # fmt: skip
    over_batch.set(xlabel="utterances a batch", xscale="log")
    places = sorted({words(found) for _, found in known})
    over_shots.set_xticks([0.5, *places], ["before", *(f"{place:g}" for place in places)])
    sizes = sorted({cell.batch for cell, _ in known})
    over_batch.set_xticks(sizes, [str(size) for size in sizes])
    for axis, named in zip((over_shots, over_batch), ends, strict=True):
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        name_ends(axis, named)
    return save(picture, path)


def words(found: Sequence[dict[str, Any]]) -> float:
    """Utterances of each word that the runs of a cell learned from."""
    return statistics.fmean(each["samples"] / each["words"] for each in found)


def curve(
    axis: Any, points: Sequence[tuple[float, list[float]]], colour: str, place: int
) -> tuple[list[float], list[float]]:
    """Means with standard errors, which are returned; the further a line's ``place``, the paler."""
    points = sorted(point for point in points if point[1])
    means = [statistics.fmean(each) for _, each in points]
    errors = [deviation(each) / math.sqrt(len(each)) for _, each in points]
    xs = [x for x, _ in points]
    axis.errorbar(xs, means, yerr=errors, fmt="o-", markersize=3, color=colour,
                  alpha=1 / (1 + 0.6 * place))  # fmt: skip
    return xs, means
