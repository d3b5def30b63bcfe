"""IDX files: what was written is read; each kind of damage is named with the file."""

import gzip
import struct

import numpy as np
import pytest

from synaptrace.data.simulate import idx
from synaptrace.errors import UserError


def content(array, kind=8):
    return (
        bytes((0, 0, kind, array.ndim))
        + struct.pack(f">{array.ndim}I", *array.shape)
        + bytes(array)
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(7,), (3, 5, 4)])
def test_what_was_written_is_read(tmp_path, pack, shape):
    array = np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)
    file = tmp_path / "file"
    file.write_bytes(pack(content(array)))
    assert np.array_equal(idx.read(file, len(shape)), array)


IMAGES = np.ones((3, 5, 4), dtype=np.uint8)
WHOLE = content(IMAGES)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (b"", "not an IDX file"),
        (WHOLE[:9], "not an IDX file"),
        (b"RIFF" + WHOLE, "not an IDX file"),
        (content(IMAGES, kind=13), "not an IDX file"),
        (content(IMAGES[0]), "not an IDX file"),
        (content(IMAGES[:0]), "no values"),
        (WHOLE[:-1], "59 values"),
        (WHOLE + b"x", "more than 60 values"),
        (gzip.compress(WHOLE + bytes(2**20)), "more than 60 values"),
        (struct.pack(">4I", 0x0803, 2**20, 2**14, 1), "asks for 16 GiB"),
        (gzip.compress(struct.pack(">4I", 0x0803, 2**20, 2**14, 1)), "asks for 16 GiB"),
        (gzip.compress(WHOLE)[:-9], "damaged gzip"),
        (gzip.compress(WHOLE)[:12] + b"damage" * 20, "or damaged"),
        (gzip.compress(WHOLE[:-1]), "59 values"),
    ],
)
def test_damage_is_named(tmp_path, found, says):
    file = tmp_path / "images"
    file.write_bytes(found)
    with pytest.raises(UserError, match=says) as caught:
        idx.read(file, 3)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        idx.read(tmp_path / "gone", 3)
