"""Trained networks shipped: as a C program for a device, as a file for other tools.

`TARGETS` names them. Each is a module with a function

    export(trained, out, options) -> str

which writes ``out``, whole or not at all, and returns what is printed. Only the chosen one's module
is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Protocol

from synaptrace.errors import UserError
from synaptrace.training.job import Trained

TARGETS = {
    "c": "synaptrace.ship.c.export",
    "nir": "synaptrace.ship.nir",
    "pt2": "synaptrace.ship.pt2",
}
"""The module of each target."""


@dataclass(frozen=True)
class Options:
    """What can be asked of an export; a target refuses the rest (`accept`)."""

    source: Path
    """The run directory or checkpoint, as it was given."""
    learn: str | None = None
    """Which weights learn on the device: "all", "readout", or "layers.N" joined by commas."""
    precision: str = "float32"
    front_end: bool = False
    rehearse: int | None = None
    """How many sequences of each class a device keeps, to rehearse them while it learns."""
    decide: bool = False
    """With the front end: whether it finds the words of a stream, as `synaptrace listen` does."""
    target: str = "generic"
    """The framework that will read a NIR file."""
    reset_as: str | None = None
    """Another reset than the network's own: "hard"."""

    def accept(self, target: str, *names: str) -> None:
        """Raises UserError where another option than ``names`` was asked for."""
        for each in fields(self):
            taken = each.name in ("source", *names)
            if not taken and getattr(self, each.name) != each.default:
                option = each.name.replace("_", "-")
                raise UserError(f"--{option}: --to {target} has no such choice")


class Target(Protocol):
    """The function of a target."""

    def __call__(self, trained: Trained, out: Path, options: Options) -> str:
        """Write ``out``; returns what to print."""


def target(name: str) -> Target:
    """The function of the target ``name``. Raises UserError for an unknown one."""
    if name not in TARGETS:
        raise UserError(f"--to: {name!r} is none of {', '.join(TARGETS)}")
    found: Target = import_module(TARGETS[name]).export
    return found
