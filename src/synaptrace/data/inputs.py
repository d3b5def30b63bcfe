"""What every reader of a user's files asks first: is it a file, and does its size justify that?

A header of a few bytes can ask for any amount of memory, and a pipe or a device never ends. So
files are read through `read_bytes`, or opened after `check_file`, and what a header, a time or a
rate makes a reader allocate goes through `afford` before it is allocated.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from synaptrace.errors import UserError

SPARE = 1 << 26
"""Bytes that a reader may take however small the file: 64 MiB."""

RATIO = 100
"""Bytes that each byte of a file justifies; images of digits, gzipped, take 5 a byte."""


def check_file(path: str | Path) -> int:
    """The size of a file in bytes, of an ordinary one: a pipe or a device has none, nor an end.

    Raises:
        UserError: it can't be read, or is no ordinary file.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be read ({reason(error)})") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise UserError(f"{path}: can't be read, it is {kind} and no ordinary file")
    return found.st_size


def read_bytes(path: str | Path) -> bytes:
    """The content of an ordinary file. Raises UserError as `check_file` does."""
    size = check_file(path)
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except (OSError, MemoryError, OverflowError) as error:
        raise UserError(f"{path}: can't be read ({reason(error)})") from error


def afford(where: object, wanted: int, given: int, what: str) -> None:
    """Raises UserError, naming ``where``, if ``wanted`` bytes are more than ``given`` justify.

    Args:
        where: the file, or the key, that asks for them.
        given: bytes that are really there.
        what: is damaged or out of range if it asks for so much, "its header".
    """
    if wanted > SPARE + RATIO * given:
        size = f"{wanted / 2**30:.3g} GiB" if wanted < 1 << 1000 else "endless memory"
        raise UserError(f"{where}: {what} asks for {size}, which {given} bytes of data can't need")


def reason(error: BaseException) -> str:
    """What an error says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
