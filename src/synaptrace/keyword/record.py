"""Record your own words into a `folder` data set: a guided loop."""

from __future__ import annotations

import math
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.files import replace_atomic
from synaptrace.keyword.decide import level

QUIET = -40.0
"""Level in dB of full scale that the loudest tenth of a second must reach."""
CLIPPED = 0.99

Take = Callable[[], Tensor]
"""Records one utterance, (N,) from −1 to 1."""


def record(
    root: Path, words: Sequence[str], count: int, rate: int, take: Take,
    ask: Callable[[str], str] = input, tell: Callable[[str], None] = print,
) -> list[Path]:  # fmt: skip
    """Ask for each word ``count`` times; what is too quiet or too loud is asked for again.

    The words take turns, because one that is said five times in a row sounds the same each time.
    Recordings that exist already count, so that the loop can be left ("q") and continued later.

    Args:
        rate: samples a second, of what ``take`` records and of the files.
        take: records one utterance, (N,) from −1 to 1.
        ask: shows a prompt and returns what was typed.
        tell: shows a line.

    Returns:
        The files that were written, ``root/<word>/<number>.wav``, 16-bit mono.

    Raises:
        UserError: words that can't be folders, or a file that can't be written.
    """
    check(words, count)
    written: list[Path] = []
    for number in range(1, count + 1):
        for word in words:
            path = root / word / f"{number}.wav"
            while not path.exists():
                place = f"{number} of {count}"
                if ask(f"{word} ({place}): press Enter and speak; q ends > ").strip() == "q":
                    return written
                samples = take()
                fault = wrong(samples, rate)
                if fault is None:
                    write(path, samples, rate)
                    written.append(path)
                else:
                    tell(f"  {fault}; once more")
    return written


def check(words: Sequence[str], count: int) -> None:
    """Raises UserError for words that can't be folders of their own, or no count."""
    if count < 1:
        raise UserError(f"--count: {count} is not a positive number")
    if len(words) < 2 or len(set(words)) < len(words):
        raise UserError("--words: needs two different words at least")
    for word in words:
        if not word or word[0] in "._" or "/" in word or "\\" in word:
            raise UserError(f"--words: {word!r} can't be the name of a folder")


def wrong(samples: Tensor, rate: int) -> str | None:
    """What is wrong with a recording (N,) of ``rate`` Hz, None where it will do."""
    if float(samples.abs().max()) >= CLIPPED:
        return "too loud: it is clipped"
    pieces: tuple[Tensor, ...] = torch.split(samples, max(rate // 10, 1))
    if max(level(piece) for piece in pieces) < QUIET:
        return "too quiet: nothing was heard"
    return None


def meter(samples: Tensor) -> str:
    """A bar of 20 for the level of samples (N,), their peak, and what is wrong with it.

    The bar is empty at −60 dB of full scale and whole at 0.
    """
    bar = round(max(0.0, min(1.0, 1 + level(samples) / 60)) * 20)
    highest = float(samples.abs().max())
    peak = 20 * math.log10(max(highest, 1e-6))
    hint = "clipping" if highest >= CLIPPED else "too quiet" if level(samples) < QUIET else ""
    return f"[{'#' * bar:<20}] peak {peak:6.1f} dB  {hint:<9}"


def write(path: Path, samples: Tensor, rate: int) -> None:
    """Samples (N,) from −1 to 1 as a 16-bit mono wav file, in one move."""
    whole = (samples.clamp(-1, 1) * 32767).round().to(torch.int16)

    def fill(temporary: Path) -> None:
        with wave.open(str(temporary), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(whole.numpy().astype("<i2").tobytes())

    replace_atomic(path, fill)
