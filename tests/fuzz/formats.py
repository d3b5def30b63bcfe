"""Mutations of one format's own fields, so that most get past the first check of a header."""

from __future__ import annotations

import csv
import gzip
import io
import json
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.mutators import NUMBERS, TEXTS, Mutator

Draw = np.random.Generator


def pick(rng: Draw, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def wav_field(data: bytes, rng: Draw) -> bytes:
    """A field of RIFF, fmt or data: sizes, format, channels, rate, bits."""
    at, width = pick(rng, [(4, 4), (16, 4), (20, 2), (22, 2), (24, 4), (28, 4), (32, 2), (34, 2),
                           (40, 4)])  # fmt: skip
    choices = [*NUMBERS, 6, 7, 8, 12, 16, 20, 24, 33, 40, 48, 56, 64, 72, 0xFFFE]
    return (
        data[:at] + (pick(rng, choices) % 256**width).to_bytes(width, "little") + data[at + width :]
    )


def wav_chunk(data: bytes, rng: Draw) -> bytes:
    """A chunk more, of a size that may be wrong, before or after the sound."""
    size = pick(rng, [0, 3, 4, 20, 2**31, 2**32 - 1])
    chunk = pick(rng, [b"LIST", b"fmt ", b"data", b"fact", b"\0\0\0\0"]) + struct.pack("<I", size)
    at = pick(rng, [12, 36, len(data)])
    return data[:at] + chunk + rng.bytes(min(size, 20)) + data[at:]


def npy_header(data: bytes, rng: Draw) -> bytes:
    """A .npy header of another dtype, shape, order or version, true to its length."""
    descr = pick(rng, ["'<i8'", "'<f4'", "'<f8'", "'|O'", "'<U4'", "'|S8'", "'<c16'", "'<M8[us]'",
                       "'<m8[s]'", "'|V8'", "'<f2'", "'>i4'", "'|b1'", "'zz'", "3", "None",
                       "[('t', '<i8'), ('x', '<i8')]", "[('t', '|O')]", "'<u8'", "[]",
                       "[('t','<i4'),('x','<i4'),('y','<i4'),('p','<f4')]", "'|V0'"])  # fmt: skip
    shape = pick(rng, ["(200, 4)", "()", "(0, 4)", "(17179869184, 4)", "(-1, 4)", "(4,)", "(800,)",
                       "(200, 4, 1)", "(2**63,)", "(1.5, 4)", "None", "(0, 17179869184)", "(0,)",
                       "(9223372036854775807, 4)", "(1,) * 40", "(True, 4)"])  # fmt: skip
    order = pick(rng, ["False", "True", "0", "'no'"])
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    text = pick(rng, [text, text, text, text[:-9], "(" * 500, "{}", "__import__('os')"]) + "\n"
    start = 10 + int.from_bytes(data[8:10], "little")
    version = pick(rng, [b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\x09\0"])
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text.encode() + data[start:]


def npy_values(data: bytes, rng: Draw) -> bytes:
    """Other numbers in an array: extreme, NaN, infinite, of another dtype, in zip or pickle."""
    array = np.load(io.BytesIO(data))
    dtype = pick(
        rng, [np.int64, np.float64, np.uint64, np.float32, np.int8, np.complex64, "S4", bool]
    )
    made = array.astype(dtype) if array.dtype.names is None else array.copy()
    flat = made.reshape(-1)
    for at in rng.integers(len(flat), size=3):
        value = pick(rng, [*NUMBERS, float("nan"), float("inf"), -1e300, 0.5])
        try:
            flat[at] = value
        except (ValueError, OverflowError, TypeError):
            flat[at] = 0 if made.dtype.names is None else flat[0]
    out = io.BytesIO()
    pick(rng, [np.save, np.save, np.save, np.savez])(out, made)
    return out.getvalue()


def hdf5(data: bytes, rng: Draw) -> bytes:
    """A part of an HDF5 file of spikes replaced."""
    names = ["labels", "extra/speaker", "extra/keys", "spikes/times", "spikes/units"]
    return replaced(data, rng, lambda file: (pick(rng, names), len(file["labels"])))


def nir(data: bytes, rng: Draw) -> bytes:
    """A value or a node of a NIR file replaced."""

    def choose(file: Any) -> tuple[str, int]:
        names: list[str] = []
        file.visit(names.append)
        name = pick(rng, names)
        return name, int(getattr(file[name], "size", 1) or 1)

    return replaced(data, rng, choose)


def replaced(data: bytes, rng: Draw, choose: Callable[[Any], tuple[str, int]]) -> bytes:
    """A part of an HDF5 file replaced: other shapes, dtypes, huge or no rows, links, loops."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            name, count = choose(file)
            del file[name]
            new: Callable[[], Any] = pick(rng, [
                lambda: None,
                lambda: file.create_dataset(name, (2**34,), "u2", chunks=(1024,)),
                lambda: file.create_dataset(name, (count, 2**34), "f2", chunks=(1, 1024)),
                lambda: file.create_dataset(name, (2**20, 2**20), "u2", chunks=(1024, 1)),
                lambda: file.create_dataset(name, data=np.float64(pick(rng, [1.0, np.nan]))),
                lambda: file.create_dataset(name, data=rng.normal(size=count)),
                lambda: file.create_dataset(name, data=np.full(count, 1.7)),
                lambda: file.create_dataset(name, data=np.full((count, 1), 1)),
                lambda: file.create_dataset(name, data=np.full((count, 3), 1.0)),
                lambda: file.create_dataset(name, data=np.array([b"yes"] * count)),
                lambda: file.create_dataset(name, data=["\u00e9"] * count),
                lambda: file.create_dataset(name, data=np.full(count, pick(rng, [-1, 2**62]))),
                lambda: file.create_dataset(name, data=np.zeros(count, [("a", "i4"), ("b", "f4")])),
                lambda: file.create_dataset(name, data=h5py.Empty("f4")),
                lambda: file.create_dataset(name, shape=(count,), dtype="u2",
                                            external=[("/dev/zero", 0, 2 * count)]),
                lambda: file.create_group(name),
                lambda: file.__setitem__(name, h5py.SoftLink("/" + name)),
                lambda: file.__setitem__(name, h5py.SoftLink("/nowhere")),
                lambda: file.__setitem__(name, h5py.ExternalLink("/dev/zero", "/x")),
                lambda: file.__setitem__(name, h5py.ExternalLink("x.h5", "/" + name)),
                lambda: file.__setitem__(name, file["/"]),
            ])  # fmt: skip
            new()
        return path.read_bytes()


def idx_header(data: bytes, rng: Draw) -> bytes:
    """An IDX file's type or one of its sizes."""
    packed = data[:2] == b"\x1f\x8b"
    plain = gzip.decompress(data) if packed else data
    at = int(rng.integers(2, 4 + 4 * plain[3]))
    wide = 1 if at < 4 else 4
    value = (pick(rng, NUMBERS) % 256**wide).to_bytes(wide, "big")
    plain = plain[:at] + value + plain[at + wide :]
    return gzip.compress(plain, mtime=0) if packed else plain


def bomb(data: bytes, rng: Draw) -> bytes:
    """A gzip that unpacks to 64 MiB, or 2 MiB of gzip in gzip."""
    made = gzip.compress(b"\0" * 2 ** int(rng.integers(20, 27)), 1, mtime=0)
    return data[:0] + made


def json_value(data: bytes, rng: Draw) -> bytes:
    """One value anywhere in the JSON, of one line where it has several, gets another type."""
    lines = data.decode().splitlines() if data.count(b"\n{") else [data.decode()]
    at = int(rng.integers(len(lines)))
    lines[at] = json.dumps(_replace(json.loads(lines[at]), rng))
    return ("\n".join(lines) + "\n").encode()


OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**70, 10**400, float("nan"), float("inf"), "", "x", "1", [], [[]], {},
    {"a": 1}, [1, "a", None], "\x1b[31mred\nline", "\u0000", "\ud800", [10**9] * 3, -(10**30),
)  # fmt: skip


def _replace(value: Any, rng: Draw) -> Any:
    """``value`` with one leaf or branch replaced, taken out, or doubled under another key."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return pick(rng, OTHERS)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, made = pick(rng, keys), value.copy()
    if rng.random() < 0.1:
        del made[key]
    elif rng.random() < 0.05 and isinstance(made, dict):
        made[pick(rng, ["x", "", "1", key + " "])] = made[key]
    else:
        made[key] = _replace(made[key], rng)
    return made


def yaml_value(data: bytes, rng: Draw) -> bytes:
    """One value of a YAML mapping becomes another, a key doubles, or aliases multiply."""
    lines = data.decode().splitlines()
    at = pick(rng, [i for i, text in enumerate(lines) if ":" in text])
    key = lines[at].partition(":")[0]
    indent = key[: len(key) - len(key.lstrip())]
    what = int(rng.integers(8))
    if what < 4:
        lines[at] = f"{key}: {pick(rng, TEXTS)}"
    elif what == 4:
        lines.insert(at, lines[at])
    elif what == 5:
        lines[at] = f"{indent}{pick(rng, ['1', 'null', '[a]', '? [x]', '!!binary x', '~'])}: 1"
    elif what == 6:
        levels = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in
                                      range(1, 12))]  # fmt: skip
        lines[at] = f"{key}: {{{', '.join(levels)}}}"
    else:
        lines[at] = f"{key}: {'[' * 3000}"
    return ("\n".join(lines) + "\n").encode()


def safetensors_header(data: bytes, rng: Draw) -> bytes:
    """The JSON before the tensors: wrong types, shapes and offsets; or the metadata within it."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    if rng.random() < 0.7:
        meta = header["__metadata__"]
        key = pick(rng, sorted(each for each in meta if meta[each].startswith(("{", "["))))
        meta[key] = json.dumps(_replace(json.loads(meta[key]), rng))
    else:
        header = _replace(header, rng)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def tensor_bytes(data: bytes, rng: Draw) -> bytes:
    """One bit of a tensor: what only a checksum can tell."""
    at = int(rng.integers(8 + int.from_bytes(data[:8], "little"), len(data)))
    return data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]


NAMES = (
    "../escape.txt", "/tmp/synaptrace-escape.txt", "a/../../escape.txt", "..", ".", "", "a\\..\\b",
    "x" * 300, "a\nb", "\x1b[31m", "con\x00", "C:\\x", "./../../escape.txt", "deep/" * 200 + "x",
)  # fmt: skip


def tar_member(data: bytes, rng: Draw) -> bytes:
    """Members that don't belong: links that lead out, devices, absolute and parent names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        members = [(m, old.extractfile(m)) for m in old.getmembers()]
        for _ in range(int(rng.integers(1, 3))):
            info = tarfile.TarInfo(pick(rng, NAMES) if rng.random() < 0.5 else "link")
            info.type = pick(rng, [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE,
                                   tarfile.FIFOTYPE,
                                   tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.BLKTYPE])  # fmt: skip
            info.linkname = pick(
                rng, ["..", "../../..", "/", "/etc/passwd", "link", "../escape.txt"]
            )
            info.mode = pick(rng, [0o644, 0, 0o777])
            members.insert(int(rng.integers(len(members) + 1)), (info, None))
            if rng.random() < 0.5:
                through = tarfile.TarInfo("link/escape.txt")
                through.size = 4
                members.append((through, io.BytesIO(b"evil")))
        for info, content in members:
            new.addfile(info, content)
    return out.getvalue()


def zip_member(data: bytes, rng: Draw) -> bytes:
    """Members that don't belong: links, absolute and parent names; other methods."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        members = [(m, old.read(m)) for m in old.infolist()]
        info = zipfile.ZipInfo(pick(rng, NAMES) or "e")
        info.external_attr = pick(rng, [0o644, 0o120777, 0o020666, 0o040755]) << 16
        members.insert(int(rng.integers(len(members) + 1)), (info, b"../../escape.txt"))
        for each, content in members:
            new.writestr(each, content)
    made = bytearray(out.getvalue())
    if rng.random() < 0.4:  # a method or flags that Python can't read, in both of the headers
        at, ahead = made.index(b"PK\x03\x04"), made.index(b"PK\x01\x02")
        where, value = pick(rng, [(8, 9), (8, 97), (8, 12), (6, 1), (6, 0x41), (8, 14)])
        made[at + where] = made[ahead + where + 2] = value
    return bytes(made)


def csv_field(data: bytes, rng: Draw) -> bytes:
    """A field of a table: huge, quoted, of another type; or a row more, or one too many fields."""
    rows = list(csv.reader(data.decode().splitlines()))
    row = rows[int(rng.integers(len(rows)))]
    at = int(rng.integers(len(row)))
    what = int(rng.integers(4))
    if what == 0:
        row[at] = "x" * 200_000
    elif what == 1:
        row.append(row[at])
    elif what == 2:
        rows.append(list(row))
    else:
        row[at] = pick(rng, TEXTS)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape")


Named = dict[str, Mutator]
WAV: Named = {"wav_field": wav_field, "wav_chunk": wav_chunk}
NPY: Named = {"npy_header": npy_header, "npy_values": npy_values}
IDX: Named = {"idx_header": idx_header, "bomb": bomb}
SAFETENSORS: Named = {"safetensors_header": safetensors_header, "tensor_bytes": tensor_bytes}
