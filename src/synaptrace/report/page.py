"""The page: sections of text, tables and charts, in one HTML file that asks for nothing else.

Whatever comes from a run is escaped here and nowhere else: text becomes HTML in `html`, charts
become JSON that no script tag can end. The page forbids itself every connection.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from string import Template
from typing import Any

from synaptrace.errors import UserError
from synaptrace.names import printed


@dataclass(frozen=True)
class Chart:
    """A figure as Plotly takes it."""

    title: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells, the head first."""

    rows: Sequence[Sequence[object]]
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph, or a command or file as it stands."""

    text: str
    code: bool = False


Part = Chart | Table | Text


@dataclass(frozen=True)
class Section:
    """What one tab shows."""

    title: str
    parts: Sequence[Part]


def html(text: object) -> str:
    """Text as HTML: names of files, classes and rules stay text whatever they hold."""
    return escape(printed(text))


def library() -> str:
    """Plotly's script, packed, as base64. Raises UserError where it isn't installed."""
    if find_spec("plotly") is None:
        raise UserError("report: Plotly is not installed; pip install 'synaptrace[report]'")
    script = files("plotly") / "package_data" / "plotly.min.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), mtime=0)).decode()


def render(title: str, about: str, sections: Sequence[Section], packed: str) -> str:
    """The whole file; ``packed`` is the `library`."""
    shown = [section for section in sections if section.parts]
    charts = [part for section in shown for part in section.parts if isinstance(part, Chart)]
    plain = json.dumps([{"data": c.data, "layout": c.layout} for c in charts], allow_nan=False)
    places = iter(range(len(charts)))
    tabs, bodies = [], []
    for number, section in enumerate(shown):
        name = html(section.title)
        tabs.append(
            f'<button role="tab" id="tab-{number}" aria-controls="section-{number}">{name}</button>'
        )
        parts = "\n".join(
            chart(part, next(places)) if isinstance(part, Chart) else still(part)
            for part in section.parts
        )
        bodies.append(
            f'<section role="tabpanel" id="section-{number}" aria-labelledby="tab-{number}">\n'
            f"<h2>{name}</h2>\n{parts}\n</section>"
        )
    own = files(__package__)
    return Template((own / "page.html").read_text(encoding="utf-8")).substitute(
        title=html(title),
        about=html(about),
        style=(own / "page.css").read_text(encoding="utf-8"),
        script=(own / "page.js").read_text(encoding="utf-8"),
        tabs="".join(tabs),
        sections="\n".join(bodies),
        charts=plain.replace("<", "\\u003c"),
        library=packed,
    )


def chart(part: Chart, number: int) -> str:
    """Where a chart is drawn, its title above it and what there is to know below."""
    height = int(part.layout.get("height", 360))
    note = f'<p class="note">{html(part.note)}</p>' if part.note else ""
    return (
        f'<h3>{html(part.title)}</h3><div class="chart" data-chart="{number}" '
        f'style="min-height:{height}px"></div>{note}'
    )


def still(part: Table | Text) -> str:
    """A table, a paragraph, or text as it stands."""
    if isinstance(part, Text):
        if part.code:  # line by line, for a line's end is no character to escape
            return f"<pre>{chr(10).join(map(html, part.text.splitlines()))}</pre>"
        return f"<p>{html(part.text)}</p>"
    head, *rows = part.rows
    title = f"<h3>{html(part.title)}</h3>" if part.title else ""
    made = "".join(f"<th>{html(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{html(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'{title}<div class="wide"><table><thead><tr>{made}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
