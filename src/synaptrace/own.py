"""Parts of your own: rules, surrogates and data sets that aren't in this package.

A class that exists is known by its ``name``: there is no registry to fill. It exists where Python
has run its definition: in the program at hand, or in a file that is named on the command line
(`own_files.load`). A run's own files name parts and never files, so that opening one executes
nothing. An installed package may offer parts as entry points.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from synaptrace.errors import UserError

OPTIONS = {"rule.file": "synaptrace_own_rules", "data.file": "synaptrace_own_data"}
"""Of the command line, Python files that hold parts of the user's own; and what comes before a dot
and the file's name without .py in the names of their modules."""
MEANINGS = {
    "rule.file": "a Python file with rules or surrogates of your own",
    "data.file": "a Python file that is a data set of your own, named as it is",
}
"""What `OPTIONS` are for."""


def known(base: type[Any]) -> dict[str, type[Any]]:
    """The classes that derive from ``base``, by the names that they give themselves; of two with
    one name the later one."""
    found: dict[str, type[Any]] = {}
    for kind in base.__subclasses__():
        if "name" in vars(kind):
            found[str(kind.name)] = kind
        found |= known(kind)
    return found


def offered(group: str) -> dict[str, Callable[[], Any]]:
    """What installed packages offer in a group of entry points: for each name what loads it."""

    def loader(entry: Any) -> Callable[[], Any]:
        def load() -> Any:
            try:
                return entry.load()
            except Exception as error:
                raise UserError(
                    f"{group}: {entry.name!r} can't be loaded from {entry.value} ({error})"
                ) from error

        return load

    return {entry.name: loader(entry) for entry in entry_points(group=group)}


def module(option: str, name: str) -> ModuleType | None:
    """The module of a file that the command line named, by the file's name without .py."""
    return sys.modules.get(f"{OPTIONS[option]}.{name}")
