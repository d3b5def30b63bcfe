"""Recordings of event cameras, read whole into NumPy arrays: 5-byte files, AEDAT 2.0, AEDAT 3.1.

Every reader returns events in the order of time and checks them, as a damaged file must not pass
for a recording. What a format mixes in between (time marks, sync pulses, frames, invalid events)
isn't a pixel's event and is left out.

Sources: Orchard et al., Front. Neurosci. 9:437 (2015), its file format; iniVation, "AEDAT file
formats"; Delbruck's jAER, class DVS128, for that camera's addresses.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synaptrace.data.inputs import read_bytes
from synaptrace.errors import UserError

Array = NDArray[Any]

OVERFLOW = 240
"""The row of a 5-byte event that is no event: the clock's mark, 2¹³ µs have gone by."""

PACKET = struct.Struct("<hhiiiiii")
"""AEDAT 3.1: type, source, event size, time offset, time overflow, capacity, number, valid."""

POLARITY = 1
"""AEDAT 3.1: the type of a packet of pixels' events."""


LONGEST = 3_600_000_000
"""Microseconds that a recording may last, an hour; what lasts longer is no sample of a class."""


class Recording(NamedTuple):
    """Events in order of time, four arrays of equal length."""

    t: Array
    """int64, microseconds."""
    x: Array
    """uint16, columns from the left."""
    y: Array
    """uint16, rows from the top."""
    p: Array
    """uint8, 0 OFF, 1 ON."""


def read_bin(path: Path, sensor: tuple[int, int]) -> Recording:
    """A file of 5-byte events: N-MNIST, N-Caltech101 and others converted likewise.

    An event is a byte of column, a byte of row, then one bit of polarity and 23 bits of
    microseconds, most significant byte first.

    Args:
        sensor: its rows and columns.

    Raises:
        UserError: the file can't be read, is empty, cut short, or no such recording (`check`).
    """
    raw = np.frombuffer(_read(path), dtype=np.uint8)
    if len(raw) % 5:
        raise UserError(f"{path}: cut short, {len(raw)} bytes are no whole number of 5-byte events")
    x, y, high, middle, low = raw.reshape(-1, 5).T
    t = (high & 127).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    marks = y == OVERFLOW
    if marks.any():
        t += np.cumsum(marks) << 13
        t, x, y, high = (column[~marks] for column in (t, x, y, high))
    events = Recording(t, x.astype(np.uint16), y.astype(np.uint16), high >> 7)
    check(path, events, sensor)
    return events


def read_aedat2(path: Path) -> Recording:
    """An AEDAT 2.0 file of a DVS128 camera (128×128 pixels), as those of DVS-CIFAR10.

    A header of lines that start with "#", then pairs of 32 bits, address and microseconds, most
    significant byte first. The address holds polarity in bit 0 (0 is ON), and two coordinates in
    bits 1-7 and 8-14, both counted from the far end; which is the column depends on how the camera
    was held: in DVS-CIFAR10, so that images stand upright, the latter. Addresses beyond 15 bits
    are the camera's other signals.

    Raises:
        UserError: the file can't be read, is empty, of another version, cut short, or no such
            recording (`check`).
    """
    content = _read(path)
    version, start = _header(path, content)
    if not version.startswith("2."):
        raise UserError(f"{path}: not an AEDAT 2.0 file (its version is {version or 'missing'})")
    if (len(content) - start) % 8:
        raise UserError(f"{path}: cut short in the middle of an event")
    address, t = np.frombuffer(content, dtype=">u4", offset=start).reshape(-1, 2).T
    pixels = address < 1 << 15
    address, t = address[pixels].astype(np.uint16), t[pixels].astype(np.int64)
    x, y, p = 127 - (address >> 8), 127 - (address >> 1 & 127), 1 - (address & 1)
    events = Recording(t, x, y, p.astype(np.uint8))
    check(path, events, (128, 128))
    return events


def read_aedat3(path: Path, sensor: tuple[int, int] = (128, 128)) -> Recording:
    """An AEDAT 3.1 file, as those of DVS128 Gesture.

    A header that "#!END-HEADER" ends, then packets of events of one type, least significant byte
    first. A pixel's event is 32 bits (bit 0 valid, 1 polarity, 2-16 row, 17-31 column) and 31 bits
    of microseconds, which the packet's header continues.

    Args:
        sensor: its rows and columns.

    Raises:
        UserError: the file can't be read, is empty, of another version, cut short, or no such
            recording (`check`).
    """
    content = _read(path)
    version, at = _header(path, content)
    if not version.startswith("3."):
        raise UserError(f"{path}: not an AEDAT 3.1 file (its version is {version or 'missing'})")
    data, times = [], []
    while at < len(content):
        if at + PACKET.size > len(content):
            raise UserError(f"{path}: cut short in a packet's header, at byte {at}")
        kind, _, size, _, overflow, capacity, number, _ = PACKET.unpack_from(content, at)
        start, at = at + PACKET.size, at + PACKET.size + size * capacity
        if size <= 0 or not 0 <= number <= capacity or (kind == POLARITY and size != 8):
            raise UserError(f"{path}: damaged, no packet of events at byte {start - PACKET.size}")
        if at > len(content):
            raise UserError(f"{path}: cut short in a packet of events, at byte {len(content)}")
        if kind == POLARITY:
            pairs = np.frombuffer(content, dtype="<u4", offset=start, count=2 * number)
            data.append(pairs[0::2])
            times.append(pairs[1::2].astype(np.int64) + (overflow << 31))
    word = np.concatenate(data) if data else np.empty(0, dtype=np.uint32)
    t = np.concatenate(times) if times else np.empty(0, dtype=np.int64)
    valid = (word & 1).astype(bool)
    word, t = word[valid], t[valid]
    x, y = (word >> 17).astype(np.uint16), (word >> 2 & 0x7FFF).astype(np.uint16)
    events = Recording(t, x, y, (word >> 1 & 1).astype(np.uint8))
    check(path, events, sensor)
    return events


def check(path: Path, events: Recording, sensor: tuple[int, int]) -> None:
    """Raises UserError for no events, times that no recording has, pixels off the sensor.

    Times are below 0, go back, or last longer than `LONGEST`.
    """
    if not len(events.t):
        raise UserError(f"{path}: there is no event in it")
    back = np.flatnonzero(events.t[1:] < events.t[:-1])
    if len(back):
        at = int(back[0]) + 1
        raise UserError(
            f"{path}: its times go back, event {at} is at {events.t[at]} µs after "
            f"{events.t[at - 1]} µs"
        )
    if events.t[0] < 0:
        raise UserError(f"{path}: event 0 is at {events.t[0]} µs, before the recording began")
    last = int(events.t[-1]) - int(events.t[0])
    if last > LONGEST:
        raise UserError(
            f"{path}: it lasts {last / 1e6:.0f} s, from {events.t[0]} to {events.t[-1]} µs; "
            "a recording lasts an hour at most, its times are in microseconds"
        )
    rows, columns = sensor
    off = np.flatnonzero((events.x >= columns) | (events.y >= rows))
    if len(off):
        at = int(off[0])
        raise UserError(
            f"{path}: event {at} lies at column {events.x[at]}, row {events.y[at]}, off the "
            f"{columns}×{rows} pixels"
        )


def _read(path: Path) -> bytes:
    content = read_bytes(path)
    if not content:
        raise UserError(f"{path}: the file is empty")
    return content


def _header(path: Path, content: bytes) -> tuple[str, int]:
    """The version that an AEDAT header states, and where it ends."""
    version, at = "", 0
    while content[at : at + 1] == b"#":
        end = content.find(b"\n", at)
        if end < 0:
            raise UserError(f"{path}: cut short in its header")
        line, at = content[at:end].strip(), end + 1
        if line.startswith(b"#!AER-DAT"):
            version = line.removeprefix(b"#!AER-DAT").decode("ascii", "replace")
        if line == b"#!END-HEADER":
            break
    return version, at
