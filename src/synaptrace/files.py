"""Writing files so that a reader finds the old one or the new one, never half of either; reading
text and JSON. Text is UTF-8, whatever the locale says."""

import errno
import json
import os
import tempfile
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import Any

from synaptrace.errors import UserError

LARGEST = 2**28
"""Bytes of text or JSON that a run or study may hold in one file."""


def replace_atomic(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then move it there (fsync, rename).

    Raises:
        UserError: the file can't be written (no space, no permission, a device); ``path`` is as it
            was.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        make_parents(path)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():  # a pipe or device, as /dev/null, has to stay one
            raise UserError(f"{path}: can't be written (not a file)")
        prefix = f".{path.stem}-"
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror or error})") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def make_parents(path: Path) -> None:
    """The folders that ``path`` is in. Raises OSError, NotADirectoryError where one is a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None


def write_atomic(path: str | Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` in one move. Raises UserError as `replace_atomic` does."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    replace_atomic(path, lambda temporary: temporary.write_bytes(data))


def sweep(path: Path) -> None:
    """Remove what processes that were killed while writing ``path`` have left beside it."""
    for leftover in path.parent.glob(f".{escape(path.stem)}-????????{escape(path.suffix)}"):
        leftover.unlink(missing_ok=True)


def read_text(file: Path, limit: int = LARGEST) -> str:
    """The text of a file.

    Raises:
        UserError: naming it where it can't be read, isn't UTF-8, isn't a file of its own (a pipe
            or device has no end), or holds more than ``limit`` bytes.
    """
    try:
        if file.exists() and not file.is_file():
            raise UserError(f"{file}: can't be read (not a file)")
        if file.stat().st_size > limit:
            raise UserError(f"{file}: can't be read (more than {limit} bytes)")
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file in UTF-8"
        raise UserError(f"{file}: can't be read ({reason})") from error


def expand_user(path: str | Path, name: str) -> Path:
    """``path``, its ~ being the user's home. Raises UserError, naming ``name``, without one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{name}: {path}: there is no such home; write the path out") from None


def parse_json(text: str, where: object) -> Any:
    """What JSON text holds. Raises UserError naming ``where`` it is from."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: can't be read ({error})") from None


def read_json(file: Path) -> Any:
    """The content of a JSON file. Raises UserError naming it where it can't be read."""
    return parse_json(read_text(file), file)
