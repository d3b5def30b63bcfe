"""Reading .npy files, the one way for all of them: never pickled objects, never more than is there.

The header's own parser is NumPy's; what it states is held against the file's size before there is
an array, which then is a view of the file's bytes.
"""

from __future__ import annotations

import io
import math
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from synaptrace.data.inputs import read_bytes, reason
from synaptrace.errors import UserError

HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}
"""Of each version of the format; 3.0 differs in names of fields that aren't Latin-1."""


ONE = Lock()
"""Held while a header is parsed: Python 3.11 counts the depth of its syntax trees for all threads
together, and takes those of two at once for damaged (CPython, gh-106905)."""


def read(path: Path) -> NDArray[Any]:
    """The array in a .npy file, read-only, of numbers, truth values or text, or fields of them.

    Raises:
        UserError: the file can't be read, is no .npy file of these, or not whole.
    """
    content = read_bytes(path)
    file = io.BytesIO(content)
    try:
        version = npy_format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format")
        with ONE:
            shape, fortran, dtype = HEADERS[version](file)
        count = math.prod(shape)
        plain = not dtype.hasobject and dtype.itemsize > 0 and min(shape, default=0) >= 0
    except Exception as error:
        # NumPy evaluates the header's text as Python literals, and there is no end to what a
        # damaged text may raise: SyntaxError, TypeError, RecursionError, MemoryError …
        found = "a zip archive" if content[:2] == b"PK" else reason(error)
        raise UserError(f"{path}: truncated, or no array that NumPy saved ({found})") from error
    if not plain:
        raise UserError(f"{path}: truncated, or no array that NumPy saved (not of numbers)")
    if count * dtype.itemsize > len(content) - file.tell():
        raise UserError(
            f"{path}: truncated, or no array that NumPy saved (its header states {shape} values "
            f"of {dtype.itemsize} bytes, the file holds {len(content) - file.tell()} bytes)"
        )
    array = np.frombuffer(content, dtype, count, file.tell())
    return array.reshape(shape, order="F" if fortran else "C")
