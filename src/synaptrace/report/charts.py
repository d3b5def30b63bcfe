"""Charts of a report, as Plotly takes them: plain dictionaries, in the style of `drawing`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import torch
from torch import Tensor

from synaptrace.drawing import BLUE, COLOURS, GREY, LINES, ORANGE, apart, panels
from synaptrace.names import printed
from synaptrace.report.page import Chart

MOST = 6000
"""Spikes of a layer in a raster; where there are more, every so many neurons are shown."""
WIDEST = 22
"""Characters of a name in a chart."""
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
"""Of classes beyond the colours, in turn."""
Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Each line's name, its xs and its ys."""


def said(name: object) -> str:
    """A name in a chart, where Plotly would take ``<b>`` for a tag: shortened, and escaped."""
    text = printed(name)
    return escape(text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…", quote=False)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis."""
    return {"title": {"text": title, "standoff": 6}, "automargin": True, **more}


def layout(height: int, **more: Any) -> dict[str, Any]:
    """A layout of that many pixels, without a legend."""
    return {
        "height": height, "showlegend": False, "margin": {"l": 50, "r": 12, "t": 30, "b": 42},
        **more,
    }  # fmt: skip


def curves(title: str, named: Lines, x: str, y: str, note: str = "") -> list[Chart]:
    """Lines, `LINES` a chart at most, each named at its end; no chart without any."""
    shown = panels({name: line for name, line in named.items() if line[0]})
    return [
        panel(f"{title} ({n} of {len(shown)})" if len(shown) > 1 else title, each, x, y, note)
        for n, each in enumerate(shown, 1)
        if each
    ]


def panel(title: str, named: Lines, x: str, y: str, note: str) -> Chart:
    """One chart of `curves`."""
    data = [
        {
            "type": "scatter", "mode": "lines+markers" if len(xs) < 40 else "lines",
            "x": list(xs), "y": list(ys), "name": said(name),
            "line": {"color": COLOURS[i % LINES], "width": 2}, "marker": {"size": 4},
            "hovertemplate": f"{{}}<br>{x} %{{x}}: %{{y:.4g}}<extra></extra>".replace(
                "{}", said(name).replace("%", "&#37;")
            ),
        }
        for i, (name, (xs, ys)) in enumerate(named.items())
    ]  # fmt: skip
    values = [v for _, ys in named.values() for v in ys]
    low, high = min(values), max(values)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    low, high = low - room, high + room
    places = apart([ys[-1] for _, ys in named.values()], 0.075 * (high - low))
    ends = [
        {
            "x": 1, "xref": "paper", "y": at, "text": said(name), "showarrow": False,
            "xanchor": "left", "xshift": 5, "font": {"color": COLOURS[i % LINES], "size": 11},
        }
        for i, (name, at) in enumerate(zip(named, places, strict=True))
    ]  # fmt: skip
    right = 16 + min(150, 7 * max(len(name) for name in named))
    whole = {"tickformat": "d"} if max(len(xs) for xs, _ in named.values()) > 8 else {
        "tickvals": sorted({x for xs, _ in named.values() for x in xs})
    }  # fmt: skip
    return Chart(title, data, layout(
        320, xaxis=axis(x, **whole), yaxis=axis(y, range=[low, high]), annotations=ends,
        margin={"l": 50, "r": right, "t": 30, "b": 42},
    ), note)  # fmt: skip


def bars(title: str, values: Mapping[str, float], x: str, note: str = "", **more: Any) -> Chart:
    """Horizontal bars, the first on top."""
    names = [said(name) for name in values]
    data = [{
        "type": "bar", "orientation": "h", "x": list(values.values()), "y": names,
        "marker": {"color": BLUE}, "hovertemplate": "%{y}: %{x:,.4g}<extra></extra>",
    }]  # fmt: skip
    return Chart(title, data, layout(
        70 + 26 * len(names), xaxis=axis(x, **more),
        yaxis={"type": "category", "autorange": "reversed", "automargin": True},
    ), note)  # fmt: skip


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> Chart:
    """Counts (classes, classes), rows labels and columns predictions; coloured by share."""
    counts = torch.tensor(matrix, dtype=torch.float64)
    share = (counts / counts.sum(1, keepdim=True).clamp(min=1)).tolist()
    names = [said(name) for name in classes]
    places = list(range(len(names)))  # two names may look alike, and categories may not
    data: list[dict[str, Any]] = [{
        "type": "heatmap", "z": share, "zmin": 0, "zmax": 1, "x": places, "y": places,
        "colorscale": [[0, "#f7fbff"], [0.5, "#6baed6"], [1, "#08306b"]], "xgap": 1, "ygap": 1,
        "customdata": [[[names[r], names[c], n] for c, n in enumerate(row)]
                       for r, row in enumerate(matrix)],
        "hovertemplate": "label %{customdata[0]}<br>predicted %{customdata[1]}<br>"
                         "%{customdata[2]} samples, %{z:.1%} of the label<extra></extra>",
        "colorbar": {"title": {"text": "share", "side": "right"}, "thickness": 10,
                     "tickformat": ".0%"},
    }]  # fmt: skip
    if len(names) <= 12:
        data[0] |= {"text": [[str(n) if n else "" for n in row] for row in matrix],
                    "texttemplate": "%{text}"}  # fmt: skip
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False}
    return Chart(title, data, layout(
        min(760, 200 + 22 * len(names)), xaxis=axis("predicted", **ticks, tickangle=-90),
        yaxis=axis("label", **ticks, autorange="reversed"),
    ))  # fmt: skip


def plane(points: Tensor, labels: Sequence[int], classes: Sequence[str], title: str) -> Chart:
    """Samples (N, 2) in a plane, classes by colour and symbol, each named in its midst."""
    data, names = [], []
    which = torch.tensor(labels)
    for index, name in enumerate(classes):
        own = points[which == index]
        if not len(own):
            continue
        colour, symbol = COLOURS[index % LINES], SYMBOLS[index // LINES % len(SYMBOLS)]
        data.append({
            "type": "scatter", "mode": "markers", "x": rounded(own[:, 0]), "y": rounded(own[:, 1]),
            "marker": {"color": colour, "symbol": symbol, "size": 6}, "name": said(name),
            "text": said(name), "hovertemplate": "%{text}<extra></extra>",
        })  # fmt: skip
        x, y = own.median(0).values.tolist()
        names.append({"x": x, "y": y, "text": said(name), "showarrow": False, "bordercolor": colour,
                      "bgcolor": "rgba(255,255,255,0.85)", "borderpad": 2,
                      "font": {"size": 11, "color": "#1b1b1b"}})  # fmt: skip
    bare = {"showticklabels": False, "zeroline": False}
    return Chart(title, data, layout(
        480, xaxis=bare, yaxis=bare, annotations=names if len(names) <= 40 else [],
    ))  # fmt: skip


def raster(layers: Mapping[str, Tensor], title: str) -> Chart:
    """Spikes (T, N) of each layer below one another, the input's events first."""
    data: list[dict[str, Any]] = []
    made, notes = layout(130 * len(layers) + 60, margin={"l": 60, "r": 12, "t": 34, "b": 42}), []
    steps = max(len(spikes) for spikes in layers.values())
    made["xaxis"] = axis("step", range=[-0.5, steps - 0.5], anchor=f"y{len(layers)}")
    made["annotations"] = []
    for number, (name, spikes) in enumerate(layers.items(), 1):
        count, every = spikes.shape[1], max(1, -(-int(spikes.count_nonzero()) // MOST))
        at, neuron = spikes[:, ::every].nonzero(as_tuple=True)
        if every > 1:
            notes.append(f"{name}: every {every}th of {count}.")
        top = 1 - (number - 1) / len(layers)
        data.append({
            "type": "scatter", "mode": "markers", "x": at.tolist(),
            "y": (neuron * every).tolist(), "yaxis": f"y{number}",
            "marker": {"size": 3, "symbol": "square", "color": GREY if number == 1 else BLUE},
            "hovertemplate": f"{name}, neuron %{{y}}, step %{{x}}<extra></extra>",
        })  # fmt: skip
        made[f"yaxis{number}"] = axis(
            "neuron", range=[-0.5, count - 0.5], domain=[top - 0.78 / len(layers), top],
            zeroline=False,
        )  # fmt: skip
        made["annotations"].append({
            "x": 0, "y": top, "xref": "paper", "yref": "paper", "text": name, "showarrow": False,
            "xanchor": "left", "yanchor": "bottom", "font": {"size": 11},
        })  # fmt: skip
    return Chart(title, data, made, " ".join(notes))


def dots(title: str, values: Mapping[str, Sequence[float]], x: str, note: str = "") -> Chart:
    """A point a seed on each name's line, and a ring for their mean."""
    names, data = [said(name) for name in values], []
    for index, some in enumerate(values.values()):
        data.append({
            "type": "scatter", "mode": "markers", "x": [*some, math.fsum(some) / len(some)],
            "y": [index] * (len(some) + 1), "text": [*(["a seed"] * len(some)), "mean"],
            "marker": {"color": BLUE, "size": [*([7] * len(some)), 13],
                       "symbol": [*(["line-ns-open"] * len(some)), "circle-open"],
                       "line": {"width": 2}},
            "hovertemplate": "%{text}: %{x:.2f}<extra></extra>",
        })  # fmt: skip
    places = list(range(len(names)))
    return Chart(title, data, layout(
        80 + 28 * len(names), xaxis=axis(x),
        yaxis={"tickvals": places, "ticktext": names, "autorange": "reversed", "automargin": True},
    ), note)  # fmt: skip


def trials(title: str, finished: Mapping[int, float], pruned: Mapping[int, float]) -> Chart:
    """Validation accuracy trial by trial, and the best so far."""
    best, so_far = -math.inf, []
    for value in finished.values():
        best = max(best, value)
        so_far.append(best)
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "markers", "x": list(some), "y": list(some.values()),
         "marker": {"color": colour, "size": 8, "symbol": symbol}, "name": name,
         "hovertemplate": f"trial %{{x}}, {name}: %{{y:.2f}} %<extra></extra>"}
        for name, some, colour, symbol in (
            ("finished", finished, BLUE, "circle"), ("pruned", pruned, GREY, "x"))
    ]  # fmt: skip
    data.append({"type": "scatter", "mode": "lines", "x": list(finished), "y": so_far,
                 "line": {"shape": "hv", "color": ORANGE}, "name": "best so far",
                 "hovertemplate": "best so far: %{y:.2f} %<extra></extra>"})  # fmt: skip
    return Chart(title, data, layout(
        340, xaxis=axis("trial", tickformat="d"), yaxis=axis("validation accuracy [%]"),
        showlegend=True, legend={"orientation": "h", "y": -0.25},
    ))  # fmt: skip


def rounded(values: Tensor) -> list[float]:
    """Three digits behind the point, for a file that stays small."""
    return [round(float(v), 3) for v in values]
