"""Types and docstrings of settings in words: for lists of settings, and for messages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

PLAIN = {
    int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path",
    NoneType: "none", Any: "anything", dict: "mapping",
}  # fmt: skip
SAMPLES = {int: ("100", "50"), float: ("0.9", "0.5"), bool: ("true",), str: ("NAME",)}


def near(word: str, known: Collection[str]) -> str | None:
    """The one of ``known`` that ``word`` is likely to mean; None where none is like it."""
    return next(iter(get_close_matches(word, known, 1)), None)


def meant(word: str, known: Collection[str]) -> str:
    """The end of a message on an unknown ``word``: what was meant, or nothing."""
    found = near(word, known)
    return "" if found is None else f"; did you mean {found}?"


def words(kind: Any) -> str:
    """A type in words: "list of whole numbers, or none"."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return words(parts[0])
    if origin in (Union, UnionType):
        return ", or ".join(map(words, parts))
    if origin is Literal:
        return ", ".join(map(str, parts))
    if _is_list(kind):
        return f"list of {words(parts[0])}s"
    if origin is tuple:
        return f"[{', '.join(map(words, parts))}]"
    return PLAIN.get(origin or kind) or str(getattr(kind, "__name__", kind))


def sample(kind: Any, default: Any = None) -> str:
    """A value of the type as it is written on the command line, such as [100,50]."""
    plain = isinstance(default, int | float | str)  # what has no default is neither
    return listed(kind) or (str(default).lower() if plain else _sample(kind))


def _sample(kind: Any, place: int = 0) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _sample(parts[0], place)
    if origin in (Union, UnionType):
        return next((s for part in parts if (s := _sample(part, place))), "")
    if origin is Literal:
        return str(parts[0])
    if _is_list(kind):
        return f"[{_sample(parts[0])},{_sample(parts[0], 1)}]"
    if origin is tuple:
        return f"[{','.join(_sample(part, place) for part in parts)}]"
    few = SAMPLES.get(kind, ("",))
    return few[place % len(few)]


def listed(kind: Any) -> str:
    """A sample of the list that the type takes; empty where it takes none."""
    if _is_list(kind):
        return _sample(kind)
    return next((s for part in get_args(kind) if (s := listed(part))), "")


def _is_list(kind: Any) -> bool:
    """Whether it is a list of any length of one type: list[X], tuple[X, …]."""
    return get_origin(kind) is list or get_args(kind)[1:] == (...,)


def said(thing: Callable[..., Any]) -> dict[str, str]:
    """What a docstring's ``Args:`` say of each argument, in one line.

    Where one is another's ("as `nmnist.load` has them"), or not there, it is what the attribute
    ``said`` of ``thing`` has.
    """
    _, _, text = (inspect.getdoc(thing) or "").partition("Args:\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if not line.strip() or not line.startswith(" "):
            break
        head = re.match(r" {4}(\w+(?:, \w+)*): (.*)", line)
        names, piece = (head[1].split(", "), head[2]) if head else (names, line.strip())
        for name in names:
            found[name] = piece if head else f"{found[name]} {piece}"
    own = {name: line for name, line in found.items() if not line.startswith("as `")}
    return {**getattr(thing, "said", {}), **own}
