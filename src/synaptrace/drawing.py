"""Pictures, drawn off screen: the same whatever backend, settings or names the user has.

One style for all of them: colours that the colour-blind can tell apart (Okabe and Ito, 2008), at
most seven lines a panel, each named at its end, and whole numbers where epochs are counted.

Nothing here touches pyplot or any other global state. Where a picture comes along with something
else, as a training's does, it costs no more than a warning that it can't be drawn (`attempt`).
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from synaptrace.errors import UserError
from synaptrace.files import replace_atomic
from synaptrace.names import printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

V = TypeVar("V")

BACKEND = "MPLBACKEND"
BLUE, RED, GREEN, PURPLE, ORANGE, SKY, GREY = COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777",
)  # fmt: skip
"""Of lines and classes, in turn; grey stands for Okabe and Ito's black, legible on dark too. Their
yellow is left out, which is not on white."""
ON, OFF = RED, BLUE
"""The polarities of an event camera."""
LINES = len(COLOURS)
"""Lines of one panel at most."""


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, on a canvas of its own."""
    given = os.environ.pop(BACKEND, None) if "matplotlib" not in sys.modules else None
    try:  # a backend that isn't installed here, as a notebook's, would end the import
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    finally:
        if given is not None:
            os.environ[BACKEND] = given
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def save(picture: Figure, path: Path) -> Path:
    """Write a PNG in one move. Raises UserError where it can't be drawn or written."""

    def write(temporary: Path) -> None:
        try:
            picture.savefig(temporary, dpi=120, format="png")
        except (ValueError, RuntimeError, ArithmeticError) as error:
            raise UserError(f"{path}: the picture can't be drawn ({error})") from error

    replace_atomic(path, write)
    return path


def panels(named: Mapping[str, V], most: int = LINES) -> list[dict[str, V]]:
    """What is drawn in each panel: ``most`` lines, evenly shared; one panel without any."""
    items, count = list(named.items()), max(1, -(-len(named) // most))
    each = -(-len(items) // count)
    return [dict(items[i * each : (i + 1) * each]) for i in range(count)]


def apart(places: Sequence[float], least: float) -> list[float]:
    """``places`` moved as little as neighbours need to be ``least`` apart, in their own order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[list[float]] = []  # the sum of where its members would begin, and their number
    for rank, i in enumerate(order):  # pooled adjacent violators of a rising order
        groups.append([places[i] - rank * least, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + count]
    starts = [total / count for total, count in groups for _ in range(int(count))]
    found = [0.0] * len(places)
    for rank, i in enumerate(order):
        found[i] = starts[rank] + rank * least
    return found


Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""Each line's name, its xs and its ys."""


def lines_of(axis: Axes, named: Lines) -> None:
    """Draw lines in the colours of the house, xs being whole numbers; `name_ends` names them."""
    for index, (xs, ys) in enumerate(named.values()):
        axis.plot(xs, ys, color=COLOURS[index % LINES], marker="." if len(xs) < 3 else "")
    whole(axis)


def whole(axis: Axes) -> None:
    """A grid, and whole numbers along x: epochs and trials are counted."""
    from matplotlib.ticker import MaxNLocator

    axis.grid(alpha=0.3)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def name_ends(axis: Axes, named: Lines) -> None:
    """Name the lines last drawn, in their order, beside their last points instead of in a legend.

    To be called when limits and scale of the axis are final.
    """
    low, high = axis.get_ylim()
    to = math.log if axis.get_yscale() == "log" else float
    drawn = axis.get_lines()[-len(named) :] if named else []
    ends = zip(named.items(), drawn, strict=True)
    told = [(name, line, ys[-1]) for (name, (_, ys)), line in ends if len(ys)]
    shares = [(to(y) - to(low)) / ((to(high) - to(low)) or 1.0) for _, _, y in told]
    places = apart(shares, 0.075)
    lift = max(0.02 - min(places), 0.0) if places else 0.0  # names of low lines stay inside
    for (name, line, _), at in zip(told, places, strict=True):
        axis.annotate(
            plain(name), (1, at + lift), xycoords="axes fraction", xytext=(4, 0), va="center",
            textcoords="offset points", fontsize=7, color=line.get_color(), annotation_clip=False,
        )  # fmt: skip


def plain(name: object) -> str:
    """A name for a picture: printable, and its dollar signs are no formula."""
    return printed(name).replace("$", r"\$")


def attempt(draw: Callable[[], Path | None]) -> Path | None:
    """The picture that ``draw`` makes; None, and a warning, where it fails for any reason.

    For pictures that come along with something that must not be lost: a training, an evaluation.
    """
    try:
        return draw()
    except Exception as error:
        reason = printed(f"{error}" or type(error).__name__)
        warnings.warn(f"no picture was drawn: {reason}", stacklevel=2)
        return None
