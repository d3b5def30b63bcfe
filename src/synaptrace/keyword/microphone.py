"""The microphone, through sounddevice, which is imported where it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from synaptrace.errors import UserError


def library() -> Any:
    """sounddevice. Raises UserError where it, or the PortAudio that it needs, is missing."""
    try:
        import sounddevice
    except ImportError as error:
        raise UserError(
            "microphone: sounddevice is not installed; pip install 'synaptrace[audio]'"
        ) from error
    except OSError as error:
        raise UserError(
            f"microphone: {error}; install PortAudio (Debian: apt install libportaudio2)"
        ) from error
    return sounddevice


def blocks(rate: int, size: int) -> Iterator[Tensor]:
    """Samples (size,) from −1 to 1 as they come in, for ever.

    Raises:
        UserError: no microphone, or one that can't record at ``rate`` Hz.
    """
    sounddevice = library()
    try:
        with sounddevice.InputStream(
            samplerate=rate, channels=1, dtype="float32", blocksize=size
        ) as stream:
            while True:
                data, _ = stream.read(size)
                yield torch.from_numpy(data[:, 0].copy())
    except (sounddevice.PortAudioError, ValueError) as error:
        raise UserError(f"microphone: can't record at {rate} Hz ({error})") from error


def record(rate: int, seconds: float, show: Callable[[Tensor], None] | None = None) -> Tensor:
    """The next ``seconds`` of sound, (N,). Raises UserError as `blocks` does.

    Args:
        show: is called with each tenth of a second as it comes in.
    """
    size = round(rate * seconds)
    if show is None:
        return next(blocks(rate, size))
    heard: list[Tensor] = []
    for block in blocks(rate, max(rate // 10, 1)):
        show(block)
        heard.append(block)
        if sum(map(len, heard)) >= size:
            break
    return torch.cat(heard)[:size]
