"""IDX files, the format of MNIST: arrays of bytes behind a header of their shape, often gzipped.

Two zero bytes, a byte for the type (8: unsigned bytes), a byte for the number of dimensions, each
dimension as four bytes, most significant first, then the values, the last dimension fastest.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.data.inputs import afford, read_bytes, reason
from synaptrace.errors import UserError

BYTES = 8
"""The type of unsigned bytes, the only one that images and labels need."""


def read(path: Path, dimensions: int) -> NDArray[Any]:
    """The array in an IDX file of unsigned bytes, gzipped or not.

    Args:
        dimensions: how many it must have, 3 for images and 1 for labels.

    Returns:
        uint8, read-only.

    Raises:
        UserError: the file can't be read or unpacked, is no such IDX file, is empty, cut short,
            or longer than its header says.
    """
    content = read_bytes(path)
    file = io.BytesIO(content)
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=file) as packed:
                return _read(path, packed, dimensions, len(content))
        return _read(path, file, dimensions, len(content))
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: can't be read (damaged gzip, {reason(error)}); fetch it again"
        ) from error


def _read(path: Path, file: io.BufferedIOBase, dimensions: int, size: int) -> NDArray[Any]:
    """The array in an open file of ``size`` bytes, unpacking no more of it than the header says."""
    start = 4 + 4 * dimensions
    header = file.read(start)
    if len(header) < start or header[:4] != bytes((0, 0, BYTES, dimensions)):
        raise UserError(f"{path}: not an IDX file of bytes in {dimensions} dimensions, or damaged")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    count = math.prod(shape)
    if not count:
        raise UserError(f"{path}: holds no values, its shape is {shape}")
    afford(path, count, size, f"its header, {shape},")
    values = file.read(count)
    if len(values) < count or file.read(1):
        found = len(values) if len(values) < count else f"more than {count}"
        raise UserError(
            f"{path}: holds {found} values where its header, {shape}, says {count}; fetch it again"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)
