"""IDX files, the format of MNIST: arrays of bytes behind a header of their shape, often gzipped.

Two zero bytes, a byte for the type (8: unsigned bytes), a byte for the number of dimensions, each
dimension as four bytes, most significant first, then the values, the last dimension fastest.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"damaged gzip, {error}"
        raise UserError(f"{path}: can't be read ({reason}); fetch it again") from error
    start = 4 + 4 * dimensions
    if len(raw) < start or raw[:4] != bytes((0, 0, BYTES, dimensions)):
        raise UserError(f"{path}: not an IDX file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", raw[4:start])
    if not math.prod(shape):
        raise UserError(f"{path}: holds no values, its shape is {shape}")
    if len(raw) - start != math.prod(shape):
        raise UserError(
            f"{path}: holds {len(raw) - start} values where its header, {shape}, says "
            f"{math.prod(shape)}; fetch it again"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(shape)
