"""What is searched: for each setting a range of numbers or a list of choices, as text.

    KEY=LOW..HIGH         any number between, both ends included
    KEY=LOW..HIGH:log     the same on a logarithmic scale
    KEY=LOW..HIGH:int     whole numbers
    KEY=A,B,C             one of these; what stands in brackets is one choice ([200],[450,200])

In a YAML file each line is ``KEY: SPACE`` likewise, or a list of choices.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synaptrace import yaml_files
from synaptrace.errors import UserError, short

GRAMMAR = "LOW..HIGH, LOW..HIGH:log, LOW..HIGH:int or A,B,C"


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def samples(self) -> list[str]:
        """Values by which to see whether a setting takes such: the ends, and one between."""
        ends = [self.text(self.low), self.text(self.high)]
        return ends if self.whole else [*ends, self.text(self.low + 0.382 * (self.high - self.low))]

    def text(self, value: Any) -> str:
        """A value as an option of the command line."""
        return str(int(value)) if self.whole else repr(float(value))


@dataclass(frozen=True)
class Choices:
    """One of several values, each as the command line takes it."""

    values: tuple[str, ...]

    @property
    def samples(self) -> list[str]:
        """Values by which to see whether a setting takes such: all."""
        return list(self.values)

    def text(self, value: Any) -> str:
        """A value as an option of the command line."""
        return str(value)


Space = dict[str, Range | Choices]


def given(words: Iterable[str]) -> dict[str, str]:
    """The space of ``KEY=SPACE`` words, or of a YAML file that is the only word: text by key.

    Raises:
        UserError: a word of another form, a key given twice, a file that can't be read.
    """
    words = list(words)
    if len(words) == 1 and "=" not in words[0]:
        return in_file(Path(words[0]))
    found: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise UserError(f"--search: {short(word)} should be KEY={GRAMMAR}, or one YAML file")
        if key in found:
            raise UserError(f"--search: {short(key)} is given twice")
        found[key] = text
    return found


def in_file(file: Path) -> dict[str, str]:
    """The space of a YAML file. Raises UserError naming it where it holds something else."""
    content = yaml_files.read(file, plain=True)
    if not isinstance(content, dict) or any(isinstance(v, dict) for v in content.values()):
        raise UserError(f"{file}: needs lines such as train.lr: 1e-4..1e-2:log")
    return {key: as_text(value) for key, value in content.items()}


def as_text(value: Any) -> str:
    """A space, or a value, as text: a list is its entries with commas between."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list | tuple):
        return ",".join(each if isinstance(each, str) else json.dumps(each) for each in value)
    return json.dumps(value)


def parse(search: Mapping[str, str]) -> Space:
    """The space that the texts describe, by key.

    Raises:
        UserError: naming the key of one that is no space.
    """
    if not search:
        raise UserError("--search: needs at least one KEY=SPACE")
    return {key: dimension(key, text) for key, text in search.items()}


def dimension(key: str, text: str) -> Range | Choices:
    """One setting's space. Raises UserError naming ``key``."""
    where = f"--search: {key}={text}"
    if ".." in text and not any(mark in text for mark in ",[/"):
        return between(where, text)
    values = split(where, text)
    if len(values) < 2:
        raise UserError(f"{where}: is a single value; a space is {GRAMMAR}")
    if not all(values) or len(set(values)) < len(values):
        raise UserError(f"{where}: has an empty choice, or one twice")
    return Choices(tuple(values))


def between(where: str, text: str) -> Range:
    """LOW..HIGH with its scale. Raises UserError beginning with ``where``."""
    ends, colon, kind = text.partition(":")
    if colon and kind not in ("log", "int"):
        raise UserError(f"{where}: a range ends with :log, :int or neither")
    low_text, _, high_text = ends.partition("..")
    try:
        low, high = float(low_text), float(high_text)
    except ValueError:
        raise UserError(f"{where}: LOW and HIGH should be numbers") from None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{where}: LOW and HIGH should be finite numbers")
    if low >= high:
        raise UserError(f"{where}: LOW should be below HIGH")
    if kind == "log" and low <= 0:
        raise UserError(f"{where}: a logarithmic range begins above 0")
    if kind == "int" and not (low.is_integer() and high.is_integer()):
        raise UserError(f"{where}: a range of whole numbers begins and ends with one")
    return Range(low, high, kind == "log", kind == "int")


def split(where: str, text: str) -> list[str]:
    """``text`` at the commas outside brackets. Raises UserError where brackets don't match."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            break
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise UserError(f"{where}: its brackets don't match")
    return [part.strip() for part in parts]
