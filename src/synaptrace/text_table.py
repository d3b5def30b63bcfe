"""Rows of cells, the head first, as text: for a terminal, tab-separated, CSV, Markdown."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from synaptrace.names import printed

Rows = Iterable[Sequence[object]]

NUMBER = re.compile(r"[-+±≥]?[\d.,]+(e[-+]?\d+)?( %| B)?|-|")
"""Cells that stand at the right of their column."""
WIDEST = 48
"""Columns of a terminal that one cell takes before its text goes on below."""
NARROWEST = 40
"""Of a terminal that says it has fewer."""


def shown(rows: Rows, *, keys: int = 1, head: bool = True) -> str:
    """A table for standard output: aligned on a terminal, else as `tabbed` has it.

    Args:
        keys: the first columns, which name a row: a table that is wider than the terminal is
            folded into sections, each with these.
        head: whether the first row is the head.
    """
    if not sys.stdout.isatty():
        return tabbed(rows)
    return aligned(rows, max(shutil.get_terminal_size().columns, NARROWEST), keys=keys, head=head)


def aligned(rows: Rows, width: int, *, keys: int = 1, head: bool = True) -> str:
    """Columns beneath one another, in at most ``width`` (`shown`), empty ones left out.

    The last line isn't ended.
    """
    from rich.cells import cell_len

    made = [[printed(cell) for cell in row] for row in rows]
    columns = max(map(len, made), default=0)
    made = [row + [""] * (columns - len(row)) for row in made]
    body = made[1:] if head else made
    told = [c for c in range(columns) if c < keys or not body or any(row[c] for row in body)]
    made, columns = [[row[c] for c in told] for row in made], len(told)
    most = max(width - 2 * keys, keys) if columns > keys else width
    natural = [max(cell_len(row[column]) for row in made) for column in range(columns)]
    widths = [min(each, WIDEST, most) for each in natural]
    while sum(widths[:keys]) + 2 * keys > width // 2 and max(widths[:keys]) > 8:
        widths[widths.index(max(widths[:keys]))] -= 1
    lead = sum(widths[:keys]) + 2 * keys
    sections: list[list[int]] = [[]]
    room = width - lead
    for column in range(keys, columns):
        widths[column] = min(widths[column], max(width - lead, 8))
        if sections[-1] and widths[column] > room:
            sections.append([])
            room = width - lead
        sections[-1].append(column)
        room -= widths[column] + 2
    first = list(range(min(keys, columns)))
    return "\n\n".join(_block(made, first + each, widths, width, head) for each in sections)


def _block(
    rows: list[list[str]], columns: list[int], widths: list[int], width: int, head: bool
) -> str:
    """One section of a table: some of its columns, drawn by rich."""
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    # The gaps are the cells' own: rich's versions differ in how wide a padded last column is.
    gaps = dict.fromkeys(columns, 1 if head else 2) | {columns[0]: 0}  # the box has another

    def cell(row: list[str], column: int) -> Padding:
        return Padding(Text(row[column]), (0, 0, 0, gaps[column]))

    table = Table(box=box.SIMPLE_HEAD if head else None, show_header=head, show_edge=False,
                  pad_edge=False, padding=0)  # fmt: skip
    body = rows[1:] if head else rows
    for column in columns:
        right = all(NUMBER.fullmatch(row[column]) for row in body)
        table.add_column(cell(rows[0], column) if head else "",
                         justify="right" if head and right else "left",
                         width=widths[column] + gaps[column], overflow="fold")  # fmt: skip
    for row in body:
        table.add_row(*(cell(row, column) for column in columns))
    out = io.StringIO()
    Console(file=out, width=width + 4, color_system=None, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").split("\n"))


def value(setting: Any) -> str:
    """A setting as it is written on the command line."""
    return setting if isinstance(setting, str) else json.dumps(setting).replace(", ", ",")


def tabbed(rows: Rows) -> str:
    """Tabs between cells, a line a row; the last line isn't ended."""
    return "\n".join("\t".join(map(printed, row)) for row in rows)


def as_csv(rows: Rows) -> str:
    """CSV, each line ended by a newline."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def markdown(rows: Rows) -> str:
    """A table, its first row the head."""
    head, *rest = ([printed(cell).replace("|", "\\|") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *rest]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
