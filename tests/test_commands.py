"""Every command that a help, the README or a page shows is one that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from synaptrace import cli, own_files, settings_list
from synaptrace.errors import UserError

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")),
         *sorted((ROOT / "docs").glob("*/*.py"))]  # fmt: skip
LINE = re.compile(r"^(?:    |# |  )?((?:\w+=\S+ )*synaptrace [a-z].*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each verb the words are parsed, and its settings checked, and no more is done."""

    def check(options: object) -> int:
        for key in getattr(options, "settings", {}):
            if key not in known():
                raise UserError(f"--{key}: no such setting")
        return 0

    for verb in cli.VERBS:
        monkeypatch.setattr(import_module(f"synaptrace.cli.{verb}"), "run", check)
    monkeypatch.setattr(own_files, "load", lambda files: None)


@cache
def known() -> set[str]:
    """Every setting, that of docs/own.md's own rule, and the one that docs/runs.md misspells."""
    return {each.key for each in settings_list.every()} | {"rule.factor", "model.hiden"}


def commands(text: str) -> Iterator[str]:
    """The command lines of a text, continued ones in one piece, without what a shell would take."""
    text = re.sub(r"( *)\\\n(?:    |# )?( *)", lambda at: " " * bool(at[1] or at[2]), text)
    for line in LINE.findall(text):
        words = line[line.index("synaptrace ") + len("synaptrace ") :]
        words = re.split(r" {2,}| [#|>] ?| && ", words)[0]
        words = re.sub(r"(\w)(\|[\w…]+)+", r"\1", words)  # one|another
        words = re.sub(r" (OPTION|\$[A-Z])$", "", words)  # in whose place the page has several
        if words.split()[0] in cli.VERBS and "--help" not in words:
            yield words


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str | None:
    """What the command line says of a command that it doesn't take."""
    code = cli.main(shlex.split(words))
    said = capsys.readouterr().err
    return None if code == 0 else f"{words}: {said}"


@pytest.mark.parametrize("verb", cli.VERBS)
def test_examples_of_a_help_are_taken(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    found = list(commands(capsys.readouterr().out.partition("examples:")[2]))
    assert found
    assert not [said for each in found if (said := refused(each, capsys)) is not None]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_are_taken(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(page.read_text("utf-8"))
    assert not [said for each in found if (said := refused(each, capsys)) is not None]
