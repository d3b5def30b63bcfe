"""Reading sound files: PCM by the header read here, and the rest through soundfile.

A file is read whole and as it is: one channel, at the rate it was recorded with. One that is
truncated, empty, no sound file, stereo or of another rate than asked for is an error that names
it; nothing is mixed or resampled unasked.

Source: Microsoft and IBM, "Multimedia programming interface and data specifications 1.0" (1991),
RIFF WAVE; Microsoft, "Multiple channel audio data and WAVE files", for the extensible form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaptrace.data.inputs import afford, check_file, reason
from synaptrace.errors import UserError

Samples = NDArray[np.float32]

PCM, EXTENSIBLE = 1, 0xFFFE
"""Forms of samples: whole numbers; and the one that the header's extension states."""

GUID = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the form in the extension, of the forms that also have a number."""

STREAMED = 0xFFFFFFFF
"""The size of sound written before its length was known: it goes on to the end of the file."""

RATES = (100, 1_000_000)
"""Hz between which a recording's rate lies; others make clips of no or of endless length."""


class Layout(NamedTuple):
    """Where the samples of a PCM file lie, and what they are."""

    channels: int
    rate: int
    """Hz."""
    width: int
    """Bytes of a sample."""
    frames: int
    """Samples of each channel."""

    @property
    def frame(self) -> int:
        """Bytes of a sample of all channels."""
        return self.channels * self.width


class _OtherError(Exception):
    """The file is no PCM wav file, for the reason it says."""


def read(path: str | Path, *, rate: int | None = None) -> tuple[Tensor, int]:
    """The samples of a mono sound file (N,), float32 from −1 to 1, and its rate in Hz.

    PCM of 8, 16, 24 and 32 bits needs nothing but the standard library. Other formats (floating
    numbers, FLAC, OGG) are read where soundfile is installed.

    Args:
        rate: that the file must have; None: any.

    Raises:
        UserError: naming the file, where it can't be read or isn't what it should be.
    """
    samples, found = channels(path)
    _fits(path, samples.shape[1], found, rate)
    return samples[:, 0], found


def blocks(path: str | Path, rate: int, size: int) -> Iterator[Tensor]:
    """The samples of a mono PCM file of ``rate`` Hz, ``size`` at a time, whatever its length.

    Of other formats the whole file is read first, as `read` does.

    Raises:
        UserError: as `read` does; before the first block but for a file that shrinks meanwhile.
    """
    for samples, found in rows(path, size):
        _fits(path, samples.shape[1], found, rate)
        yield samples[:, 0]


def rows(path: str | Path, size: int) -> Iterator[tuple[Tensor, int]]:
    """All channels of a PCM file, up to ``size`` rows (n, C) at a time, and its rate in Hz.

    Of other formats the whole file is read first, as `channels` does.

    Raises:
        UserError: as `channels` does; before the first rows but for a file that shrinks meanwhile.
    """
    whole = check_file(path)
    try:
        with open(path, "rb") as file:
            layout = _layout(path, file, whole)
            left = layout.frames
            while left:
                data = file.read(min(size, left) * layout.frame)
                count = len(data) // layout.frame
                if count < min(size, left):
                    raise UserError(
                        f"{path}: truncated, {left - count} samples short; get it again"
                    )
                left -= count
                samples = _decode(data, layout.width).reshape(-1, layout.channels)
                yield torch.from_numpy(samples), layout.rate
    except OSError as error:
        raise UserError(f"{path}: can't be read ({reason(error)})") from error
    except _OtherError as error:
        other, rate = _other(path, str(error), whole)
        yield from ((each, rate) for each in torch.split(other, size))


def _fits(path: str | Path, count: int, found: int, rate: int | None) -> None:
    """Raises UserError unless a file is mono, and of the rate asked for."""
    if count != 1:
        raise UserError(f"{path}: {count} channels, where mono is expected; mix it down")
    if rate is not None and found != rate:
        raise UserError(f"{path}: recorded at {found} Hz, where {rate} Hz is expected; resample it")


def channels(path: str | Path) -> tuple[Tensor, int]:
    """All channels of a sound file (N, C), float32 from −1 to 1, and its rate in Hz.

    Raises:
        UserError: as `read` does, but for mono and rate.
    """
    whole = check_file(path)
    try:
        with open(path, "rb") as file:
            layout = _layout(path, file, whole)
            data = file.read(layout.frames * layout.frame)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({reason(error)})") from error
    except _OtherError as error:
        return _other(path, str(error), whole)
    samples = _decode(data, layout.width).reshape(-1, layout.channels)
    return _checked(path, samples), layout.rate


def _layout(path: str | Path, file: IO[bytes], whole: int) -> Layout:
    """What the header of a PCM file of ``whole`` bytes states; the file is then at its samples.

    Raises:
        UserError: no samples, not all of them there, a rate or a width that no recording has.
        _OtherError: it is no PCM wav file.
    """
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise _OtherError("it doesn't start as one" if len(head) == 12 else "it ends in its header")
    form = b""
    while len(head := file.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data" and form:
            return _pcm(path, form, size, file.tell(), whole)
        end = file.tell() + size + size % 2
        if file.tell() + size > whole:
            name = head[:4].decode("ascii", "backslashreplace")
            raise _OtherError(f"its part {name!r} of {size} bytes goes beyond its end")
        if head[:4] == b"fmt ":
            form = file.read(min(size, 40))
        file.seek(end)
    raise _OtherError("it ends before its samples")


def _pcm(path: str | Path, form: bytes, size: int, start: int, whole: int) -> Layout:
    """The layout that the header's part "fmt " states, with ``size`` bytes of samples."""
    if len(form) < 16:
        raise _OtherError("its part 'fmt ' is too short")
    kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", form)
    if kind == EXTENSIBLE and len(form) == 40 and form[26:] == GUID:
        (kind,) = struct.unpack_from("<H", form, 24)
    if kind != PCM:
        raise _OtherError(f"samples of form {kind}")
    width = (bits + 7) // 8
    if not channels or width not in (1, 2, 3, 4) or block not in (0, channels * width):
        raise UserError(
            f"{path}: its header states {channels} channels of {bits} bits in {block} bytes, where "
            "8, 16, 24 or 32 bits are read; convert it"
        )
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(
            f"{path}: its header states a rate of {rate} Hz, where a recording has "
            f"{RATES[0]} to {RATES[1]} Hz; record it again or mend the header"
        )
    frame = channels * width
    there = (whole - start) // frame
    frames = there if size == STREAMED else size // frame
    if not frames:
        raise UserError(f"{path}: holds no samples; record it again or remove it")
    if there < frames:
        raise UserError(f"{path}: truncated, {there} of {frames} samples; get it again")
    return Layout(channels, rate, width, frames)


def _decode(data: bytes, width: int) -> Samples:
    """Little-endian PCM of ``width`` bytes as float32; 8 bits are unsigned, the rest signed."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if width == 3:  # as the upper three bytes of four
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        data, width = wide.tobytes(), 4
    whole = np.frombuffer(data, f"<i{width}").astype(np.float32)
    return whole * np.float32(2.0 ** (1 - 8 * width))


def _other(path: str | Path, why: str, whole: int) -> tuple[Tensor, int]:
    """What is no PCM for the reason ``why``, read by soundfile; a file of ``whole`` bytes."""
    try:
        import soundfile
    except ImportError as error:
        raise UserError(
            f"{path}: not a PCM wav file ({why}); "
            "other formats need soundfile: pip install 'synaptrace[datasets]'"
        ) from error
    try:
        with soundfile.SoundFile(str(path)) as file:
            rate = int(file.samplerate)
            afford(path, 4 * file.frames * file.channels, whole, "its header")
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: not a sound file that can be read ({why})") from error
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(f"{path}: its header states a rate of {rate} Hz; mend or remove it")
    return _checked(path, samples), rate


def _checked(path: str | Path, samples: Samples) -> Tensor:
    if not samples.size:
        raise UserError(f"{path}: holds no samples; record it again or remove it")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; mend or remove it")
    return torch.from_numpy(samples)
