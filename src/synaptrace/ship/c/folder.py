"""A folder that appears whole, or stays as it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from synaptrace.errors import UserError
from synaptrace.files import make_parents

MARK = "export.json"
"""The file by which a folder is known for an export, which another one may replace."""


def check(out: Path) -> None:
    """Raises UserError where ``out`` exists and is no export."""
    if out.is_symlink() or (out.exists() and not (out / MARK).is_file()):
        raise UserError(f"{out}: exists and is no export of this kind; choose another --out")


def write(out: Path, files: Mapping[str, str]) -> None:
    """Write ``files`` (`MARK` among them) as the folder ``out``, in one move.

    Raises:
        UserError: it can't be written; ``out`` is as it was.
    """
    check(out)
    made: Path | None = None
    try:
        make_parents(out)
        made = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        new = made / "new"
        for name, text in files.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        if out.exists():
            out.rename(made / "old")
        new.rename(out)
    except OSError as error:
        raise UserError(f"{out}: can't be written ({error.strerror or error})") from error
    finally:
        if made is not None:
            if (made / "old").exists() and not out.exists():  # failed or interrupted in between
                (made / "old").rename(out)
            shutil.rmtree(made, ignore_errors=True)
