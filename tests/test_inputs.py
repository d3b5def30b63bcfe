"""What readers ask of a file before they read it, and the one reader of .npy files."""

import os
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from synaptrace.data import inputs, npy
from synaptrace.data.audio import wav
from synaptrace.data.events.formats import read_aedat2, read_aedat3, read_bin
from synaptrace.data.simulate import idx
from synaptrace.errors import UserError


def fails(read, path, match):
    with pytest.raises(UserError, match=match) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


READERS = {
    "bin": lambda path: read_bin(path, (34, 34)),
    "aedat2": read_aedat2,
    "aedat3": read_aedat3,
    "idx": lambda path: idx.read(path, 3),
    "npy": npy.read,
    "wav": wav.read,
    "wav blocks": lambda path: next(wav.blocks(path, 8000, 100)),
}


@pytest.mark.parametrize("kind", READERS)
def test_pipes_devices_and_folders_are_no_files(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name, match in (("pipe", "a pipe"), ("zero", "a device"), ("folder", "a folder")):
        fails(READERS[kind], tmp_path / name, match)
    fails(READERS[kind], tmp_path / "gone", "can't be read")


def test_memory_hangs_on_the_size_of_the_file():
    inputs.afford("a", inputs.SPARE + 3 * inputs.RATIO, 3, "its header")
    for wanted in (inputs.SPARE + 3 * inputs.RATIO + 1, 10**400):
        with pytest.raises(UserError, match=r"^a: its header asks for"):
            inputs.afford("a", wanted, 3, "its header")


ARRAYS = [
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12).reshape(3, 4)),
    np.zeros((0, 4), dtype=">i2"),
    np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "<u2"), ("b", "<f8")]),
    np.array(7),
    np.array(["a", "bc"]),
    np.array([True, False]),
]


def test_threads_parse_one_header_at_a_time(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.arange(3))
    inside, most = [], []

    def slow(file):
        inside.append(file)
        most.append(len(inside))
        time.sleep(0.01)
        inside.remove(file)
        return npy.npy_format.read_array_header_1_0(file)

    monkeypatch.setitem(npy.HEADERS, (1, 0), slow)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(npy.read, [tmp_path / "a.npy"] * 8))
    assert most == [1] * 8


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_come_back_as_they_were_saved(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    found = npy.read(tmp_path / "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    np.save(tmp_path / "0 (1).npy", array)
    np.testing.assert_array_equal(npy.read(tmp_path / "0 (1).npy"), array)


def saved(header, version=b"\x01\x00", data=b""):
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + version + size + header.encode("latin1") + data


def described(descr, shape="(3,)", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n"


ODD = {
    "nothing": b"",
    "text": b"no array at all",
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x04abcd\x94.",
    "a cut header": saved(described("'<f8'"))[:40],
    "an unknown version": saved(described("'<f8'"), version=b"\x07\x00"),
    "a header longer than any": saved(" " * 20000, version=b"\x02\x00"),
    "a header of no words": saved("(" * 400 + ")" * 400),
    "no dictionary": saved("7\n"),
    "an odd type": saved(described("'<x9'"), data=bytes(24)),
    "a type of no kind": saved(described("7"), data=bytes(24)),
    "a list of nothing": saved(described("[('a',)]"), data=bytes(24)),
    "a huge field": saved(described("('<f8', (1099511627776,))"), data=bytes(24)),
    "values of no size": saved(described("'<U0'"), data=bytes(24)),
    "objects": saved(described("'|O'"), data=bytes(24)),
    "2^34 rows": saved(described("'<f8'", f"({2**34},)"), data=bytes(24)),
    "endless rows": saved(described("'<f8'", f"({2**70}, {2**70})"), data=bytes(24)),
    "negative rows": saved(described("'<f8'", "(-1,)"), data=bytes(24)),
    "rows of text": saved(described("'<f8'", "('a',)"), data=bytes(24)),
    "an order of none": saved(described("'<f8'", order="3"), data=bytes(24)),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_array_is_named(tmp_path, kind):
    (tmp_path / "a.npy").write_bytes(ODD[kind])
    fails(npy.read, tmp_path / "a.npy", "truncated, or no array that NumPy saved")


def test_a_zip_archive_is_no_array(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros(3))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    fails(npy.read, tmp_path / "a.npy", "a zip archive")


def test_a_cut_array_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    fails(npy.read, tmp_path / "a.npy", "the file holds 23 bytes")
