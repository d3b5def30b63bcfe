"""Reading HDF5 with care: what lies in the file itself, and no more than its size justifies.

HDF5 knows links into other files, values kept elsewhere, groups that contain themselves and shapes
of any size; the files that we read have none of these.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.data.inputs import reason
from synaptrace.errors import UserError

No = Callable[[str], UserError]
"""Makes an error of a reason, naming the file."""


def opened(path: Path, extra: str, no: No) -> Any:
    """The `h5py.File`, for reading.

    Args:
        extra: the extra of our package that brings h5py.

    Raises:
        UserError: no h5py, or no HDF5 file.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError(
            f"reading .h5 files needs h5py: pip install 'synaptrace[{extra}]'"
        ) from error
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        raise no(reason(error)) from error


def member(group: Any, part: str, name: str, no: No) -> Any:
    """What lies in ``group`` as ``part``. Raises UserError where it is missing or a link."""
    import h5py

    if not isinstance(group, h5py.Group) or not isinstance(
        group.get(part, getlink=True), h5py.HardLink
    ):
        raise no(f"{name} is missing or a link")
    return group[part]


def kept(found: Any, name: str, no: No) -> Any:
    """``found``, a data set whose values lie in the file. Raises UserError where they don't."""
    import h5py

    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise no(f"{name} isn't kept in it")
    return found


def stated(path: Path, column: Any, base: int) -> NDArray[np.int64]:
    """Bytes that each value of varying length is stated to take, flat; 0 where compressed.

    HDF5 allocates what a value's four bytes of length state before it looks for the value, so they
    are read here by themselves: 16 bytes a value, of which these are the first.

    Args:
        column: a data set of one dimension where it is in chunks.
        base: bytes of one item of a value.
    """
    lengths, stored = np.zeros(int(column.size), np.int64), column.id
    if stored.get_type().get_size() != 16 or column.compression:
        return lengths
    places = [(stored.get_offset(), 0)]
    if column.chunks:
        chunks = [stored.get_chunk_info(k) for k in range(stored.get_num_chunks())]
        places = [(chunk.byte_offset, chunk.chunk_offset[0]) for chunk in chunks]
    each = column.chunks[0] if column.chunks else len(lengths)
    with path.open("rb") as file:
        for offset, first in places:
            if offset is not None and first < len(lengths):
                file.seek(offset)
                count = min(each, len(lengths) - first)
                raw = np.frombuffer(file.read(16 * count), "<u4")[::4]
                lengths[first : first + len(raw)] = raw
    return lengths * base
