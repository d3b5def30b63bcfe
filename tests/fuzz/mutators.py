"""Mutations of bytes and of texts: each takes the content and a generator, and returns another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Mutator = Callable[[bytes, np.random.Generator], bytes]

NUMBERS = (
    0, 1, -1, 2, 3, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**34, 2**63 - 1,
)  # fmt: skip
"""Values at the edges of what fields hold."""

TEXTS = (
    "0", "-1", "1", "-0.5", "1.7", "1e400", "1e39", "nan", ".nan", "inf", "-.inf", "9" * 30,
    "9" * 5000, "true", "null", "~", "[]", "{}", '""', "'", '"', "[" * 2000, "{" * 2000,
    "2001-99-99", "2001-02-03", "!!int abc", "!!python/object/apply:os.system [x]", "&a [*a, *a]",
    "\u00e9", "\ufeff", "\x00", "0x10", "1_000", "-", ",", ":", "\t", "\r\n", "..", "/dev/zero",
    "~nosuchuser", "abc",
    "[1000000000]", "100000", "1e9", "[[1, 2], [3]]", "{a: {b: {c: d}}}", "\U0001f600",
)  # fmt: skip
"""What stands in place of a value, or within a line."""


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four bits turned."""
    changed = bytearray(data)
    for at in rng.integers(len(data), size=rng.integers(1, 5)):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def flip_head(data: bytes, rng: np.random.Generator) -> bytes:
    """Bits turned among the first bytes, where headers stand."""
    return flip(data[:128], rng) + data[128:]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 40))) + data[at:]


def remove(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, 40)) :]


def append(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 200)))


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    part = data[start : start + int(rng.integers(1, 200))]
    return data[:start] + part * int(rng.integers(2, 6)) + data[start + len(part) :]


def field(data: bytes, rng: np.random.Generator) -> bytes:
    """An extreme value in two, four or eight bytes of the first 128, either end first."""
    width = int(rng.choice([2, 4, 8]))
    at = int(rng.integers(min(len(data), 128)))
    value = int(rng.choice(len(NUMBERS)))
    order = "little" if rng.integers(2) else "big"
    packed = (NUMBERS[value] % 256**width).to_bytes(width, order)  # type: ignore[arg-type]
    return data[:at] + packed + data[at + width :]


def other(data: bytes, rng: np.random.Generator) -> bytes:
    """Something else altogether."""
    choice = (
        b"", b"\0", b"\n", b"\0" * 4096, b"\xff" * 4096, b"PK\x03\x04", b"\x1f\x8b\x08\0", b"RIFF",
        b"\x93NUMPY\x01\0", b"\x89HDF\r\n\x1a\n", b"<!DOCTYPE html><p>404</p>\n", rng.bytes(500),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n",
    )  # fmt: skip
    return choice[int(rng.integers(len(choice)))]


def token(data: bytes, rng: np.random.Generator) -> bytes:
    """One word of a text becomes another value."""
    text = data.decode("utf-8", "surrogateescape")
    starts = [i for i, c in enumerate(text) if c.isalnum() and (not i or not text[i - 1].isalnum())]
    if not starts:
        return data
    start = end = int(rng.choice(starts))
    while end < len(text) and (text[end].isalnum() or text[end] in ".-+"):
        end += 1
    new = TEXTS[int(rng.integers(len(TEXTS)))]
    return (text[:start] + new + text[end:]).encode("utf-8", "surrogateescape")


def line(data: bytes, rng: np.random.Generator) -> bytes:
    """A line twice, gone, moved, or replaced."""
    lines = data.split(b"\n")
    at, to = (int(i) for i in rng.integers(len(lines), size=2))
    what = int(rng.integers(4))
    if what == 0:
        lines.insert(to, lines[at])
    elif what == 1:
        del lines[at]
    elif what == 2:
        lines.insert(to, lines.pop(at))
    else:
        lines[at] = TEXTS[int(rng.integers(len(TEXTS)))].encode()
    return b"\n".join(lines)


def encode(data: bytes, rng: np.random.Generator) -> bytes:
    """Another encoding: with a mark, in 16 bits, Latin-1, other ends of lines."""
    text = data.decode("utf-8", "replace")
    choice = (
        b"\xef\xbb\xbf" + data, text.encode("utf-16"), data.replace(b"\n", b"\r\n"),
        data + "\u00e9\n".encode("latin-1"), data.replace(b"\n", b"\n\n"),
        data.replace(b"\n", b"\r"),
    )  # fmt: skip
    return choice[int(rng.integers(len(choice)))]


BYTES: dict[str, Mutator] = {
    m.__name__: m for m in (flip, flip_head, truncate, insert, remove, append, repeat, field, other)
}
TEXT: dict[str, Mutator] = {
    m.__name__: m for m in (flip, truncate, insert, repeat, other, token, line, encode)
}
