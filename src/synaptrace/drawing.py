"""Pictures, drawn off screen: the same whatever backend, settings or names the user has.

Nothing here touches pyplot or any other global state. Where a picture comes along with something
else, as a training's does, it costs no more than a warning that it can't be drawn (`attempt`).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from synaptrace.errors import UserError
from synaptrace.files import replace_atomic
from synaptrace.names import printed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BACKEND = "MPLBACKEND"


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
