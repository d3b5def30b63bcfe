"""The YAML of settings: presets, files and values of the command line, all read by one loader.

It takes less than YAML has, so that no file can surprise: keys are words, each once; there are no
aliases, no tags but those of plain values, no dates, no octal or base-60 numbers; depth and size
are bounded. Numbers may be written 1e-3, as in Python. Every refusal names the file and line.

A plain value such as 00000017, 1e5 or no is a number or a truth value only where the option that
it is given to isn't a name. So what stands at section.key is kept as `Text`, and `read_as` reads
it by the option's declared type. Names at the top of a file are kept so too.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from synaptrace.errors import UserError, short
from synaptrace.files import read_text

LIMIT = 2**20
"""Bytes of a file."""
DEPTH = 16
"""Levels of a file; settings need five."""
DIGITS = 40
"""Characters of a number: more than any of 64 bits needs."""
TAG = "tag:yaml.org,2002:"


class Text(str):
    """A value as it was written, to be read by the type of its option (`read_as`)."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """A safe loader up to its nodes: bounded in depth, without aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (as the library declares it)
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="an alias (*name) isn't taken", problem_mark=mark)
        if self.depth == DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {DEPTH} levels", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _kind, _form, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"(?i:yes|no|true|false|on|off)", list("yYnNtTfFoO")),
    ("int", r"[-+]?[0-9][0-9_]*", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"(?i:[-+]?\.inf|\.nan)", list("-+.")),
):
    _Loader.add_implicit_resolver(f"{TAG}{_kind}", re.compile(f"(?:{_form})\\Z"), _first)


def load(text: str, name: str, *, plain: bool = False) -> Any:
    """The value that ``text`` is.

    Args:
        name: the file or option, for messages.
        plain: leave plain numbers and truth values as `Text` at the top and one level below.

    Raises:
        UserError: it is no YAML, or more than is taken; naming ``name`` and the line.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return None if node is None else _value(node, 2 if plain else -1)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, problem = (mark.line + 1 if mark else 1), error.problem or "can't be read"
    except yaml.reader.ReaderError as error:
        line, problem = text.count("\n", 0, error.position) + 1, "a character that can't be shown"
    raise UserError(f"{name}: not valid YAML (line {line}: {short(problem)[1:-1]})")


def read(path: Path, *, plain: bool = False) -> Any:
    """The content of a YAML file. Raises UserError as `load` does, and where it can't be read."""
    return load(read_text(path, LIMIT), str(path), plain=plain)


def read_as(kind: Any, text: Text, name: str) -> Any:
    """What ``text`` is for an option of type ``kind``: a name as it stands, or else YAML.

    Raises:
        UserError: it is neither; naming ``name``.
    """
    try:
        value = load(text, name)
    except UserError:
        if _is_name(kind, text):
            return str(text)
        raise UserError(f"{name}: {short(str(text))} can't be read as a value") from None
    if value is None or isinstance(value, str) or str(value) == text:
        return value
    return str(text) if _is_name(kind, text) else value


def _is_name(kind: Any, text: str) -> bool:
    try:
        return isinstance(TypeAdapter(kind).validate_python(str(text)), str | Path)
    except ValidationError:
        return False


def _value(node: yaml.Node, level: int) -> Any:
    """The value of a node. Plain values of level 1 and 0 stay `Text`; the top has level 2."""
    if isinstance(node, yaml.MappingNode):
        _check_tag(node, "map")
        made: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag != f"{TAG}str":
                raise _refused(key, "a key that isn't a word")
            if key.value in made:
                raise _refused(key, f"{short(key.value)} is given twice")
            made[key.value] = _value(value, level - 1)
        return made
    if isinstance(node, yaml.SequenceNode):
        _check_tag(node, "seq")
        return [_value(each, -1) for each in node.value]
    assert isinstance(node, yaml.ScalarNode)
    value = _scalar(node)
    if level < 0 or node.style is not None or value is None or isinstance(value, str):
        return value
    return Text(node.value)


def _scalar(node: yaml.ScalarNode) -> str | float | bool | None:
    text, kind = str(node.value), node.tag.removeprefix(TAG)
    if kind == "str":
        return text
    if kind == "null":
        return None
    low = text.lower()
    if kind == "bool" and low in ("yes", "no", "true", "false", "on", "off"):
        return low in ("yes", "true", "on")
    if len(text) > DIGITS:
        raise _refused(node, "a number of too many digits")
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(low.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass
    raise _refused(node, f"{short(text)} doesn't fit its tag")


def _check_tag(node: yaml.Node, kind: str) -> None:
    if node.tag != TAG + kind:
        raise _refused(node, f"the tag {short(node.tag)} isn't taken")


def _refused(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
