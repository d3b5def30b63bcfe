"""The export to C: a folder of plain files that builds with one `make`."""

from __future__ import annotations

from pathlib import Path

from synaptrace.errors import UserError
from synaptrace.ship import Options
from synaptrace.training.job import Trained


def export(trained: Trained, out: Path, options: Options) -> str:
    """Write the folder ``out``; returns its table of bytes.

    Raises:
        UserError: a network, a rule or an option that has no form in C.
    """
    raise UserError("--to c: isn't there yet")
