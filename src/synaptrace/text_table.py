"""Rows of cells, the head first, as text: tab-separated, CSV, Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

Rows = Iterable[Sequence[object]]


def tabbed(rows: Rows) -> str:
    """Tabs between cells, a line a row; the last line isn't ended."""
    return "\n".join("\t".join(map(str, row)) for row in rows)


def as_csv(rows: Rows) -> str:
    """CSV, each line ended by a newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def markdown(rows: Rows) -> str:
    """A table, its first row the head."""
    head, *rest = ([str(cell) for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *rest]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
