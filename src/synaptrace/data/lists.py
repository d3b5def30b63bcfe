"""Lists that come with a data set: the files of each split by name, one a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from synaptrace.data.inputs import read_bytes
from synaptrace.errors import UserError


def read(root: Path, lists: Mapping[str, str]) -> dict[str, str]:
    """The split of each file that a list names and that is there, in the order of the lists.

    A list is UTF-8, with a byte order mark or without, its names relative to ``root``; ``./``
    before them and backslashes in them make no difference. An empty list is one.

    Args:
        lists: the list of each split, by its name below ``root``.

    Returns:
        Names with slashes, such as "yes/a.wav", and their splits.

    Raises:
        UserError: a list that can't be read, names files of which none is there, or names a file
            outside ``root``; a file in two lists.
    """
    given: dict[str, str] = {}
    for split, listed in lists.items():
        names = [_plain(line, root / listed) for line in _lines(root / listed)]
        there = [name for name in names if (root / name).is_file()]
        if names and not there:
            raise UserError(
                f"{root / listed}: of the {len(names)} files that it names none is here; get them, "
                f"or empty the list, so that other files stand in for the {split} split"
            )
        for name in there:
            if given.setdefault(name, split) != split:
                raise UserError(
                    f"{root / listed}: {name!r} is in the list of the {given[name]} split, too; "
                    "take it out of one"
                )
    return given


def _lines(file: Path) -> list[str]:
    try:
        lines = read_bytes(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: this list is no UTF-8 text; save it as such") from error
    return [line.strip() for line in lines if line.strip()]


def _plain(name: str, file: Path) -> str:
    """The name with slashes. Raises UserError where it leads out of the data's folder."""
    path = PureWindowsPath(name)  # takes slashes, too
    if path.anchor or ".." in path.parts or "\0" in name:
        raise UserError(f"{file}: {name!r} is no file below its folder")
    return str(PurePosixPath(*path.parts))
