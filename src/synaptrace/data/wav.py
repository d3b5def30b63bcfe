"""Reading sound files: what the standard library's `wave` reads, and the rest through soundfile.

A file is read whole and as it is: one channel, at the rate it was recorded with. One that is
truncated, empty, no sound file, stereo or of another rate than asked for is an error that names
it; nothing is mixed or resampled unasked.
"""

from __future__ import annotations

import math
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaptrace.errors import UserError

Samples = NDArray[np.float32]


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
    try:
        with wave.open(str(path), "rb") as file:
            layout = file.getparams()
            _fits(path, layout.nchannels, layout.framerate, rate)
            whole = layout.nframes * layout.sampwidth
            if not layout.nframes or Path(path).stat().st_size < whole:
                read(path, rate=rate)  # says what is wrong
            left = layout.nframes
            while left:
                data = file.readframes(min(size, left))
                count = len(data) // layout.sampwidth
                if count < min(size, left):
                    raise UserError(
                        f"{path}: truncated, {left - count} samples short; get it again"
                    )
                left -= count
                yield torch.from_numpy(_decode(data, layout.sampwidth))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except (wave.Error, EOFError):
        yield from torch.split(read(path, rate=rate)[0], size)


def _fits(path: str | Path, count: int, found: int, rate: int | None) -> None:
    """Raises UserError unless a file is mono, and of the rate asked for."""
    if count != 1:
        raise UserError(f"{path}: {count} channels, where mono is expected; mix it down")
    if rate is not None and found != rate:
        raise UserError(f"{path}: recorded at {found} Hz, where {rate} Hz is expected; resample it")


def convert(samples: Tensor, rate: int, to: int) -> Tensor:
    """Mix channels (N, C) down to their mean and resample it from ``rate`` to ``to`` Hz, (M,).

    Resampling is polyphase, with the low-pass filter that `scipy.signal.resample_poly` designs (a
    Kaiser window, β = 5).
    """
    mono = samples.mean(1)
    if rate == to:
        return mono
    from scipy.signal import resample_poly

    common = math.gcd(rate, to)
    resampled = resample_poly(mono.numpy(), to // common, rate // common)
    return torch.from_numpy(np.ascontiguousarray(resampled, dtype=np.float32))


def channels(path: str | Path) -> tuple[Tensor, int]:
    """All channels of a sound file (N, C), float32 from −1 to 1, and its rate in Hz.

    Raises:
        UserError: as `read` does, but for mono and rate.
    """
    try:
        with wave.open(str(path), "rb") as file:
            layout = file.getparams()
            data = file.readframes(layout.nframes)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from error
    except (wave.Error, EOFError) as error:
        return _other(path, str(error) or "it ends within its header")
    frame = layout.nchannels * layout.sampwidth
    if len(data) < layout.nframes * frame:
        raise UserError(
            f"{path}: truncated, {len(data) // frame} of {layout.nframes} samples; get it again"
        )
    samples = _decode(data, layout.sampwidth).reshape(-1, layout.nchannels)
    return _checked(path, samples), layout.framerate


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


def _other(path: str | Path, reason: str) -> tuple[Tensor, int]:
    """What `wave` refuses for ``reason``, read by soundfile."""
    try:
        import soundfile
    except ImportError as error:
        raise UserError(
            f"{path}: not a PCM wav file ({reason}); "
            "other formats need soundfile: pip install 'synaptrace[datasets]'"
        ) from error
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise UserError(f"{path}: not a sound file that can be read ({reason})") from error
    return _checked(path, samples), int(rate)


def _checked(path: str | Path, samples: Samples) -> Tensor:
    if not samples.size:
        raise UserError(f"{path}: holds no samples; record it again or remove it")
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds NaN or infinite samples; mend or remove it")
    return torch.from_numpy(samples)
