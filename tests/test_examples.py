"""The examples of the pages run, and do what they say."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from synaptrace import cli, own
from synaptrace.sections import section_of

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(page: Path) -> str:
    """All blocks of a page in the order of the page, here; returns what they printed.

    Python that begins with a file's name is written to that file, other Python is run, and so are
    lines of a shell; RUN stands for the run that was trained last.
    """
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            named = re.match(r"# (\w+\.py)\n", text)
            if kind == "python" and named:
                Path(named[1]).write_text(text, encoding="utf-8")
            elif kind == "python":
                exec(compile(text, str(page), "exec"), names)
            for line in text.splitlines() if kind == "sh" else ():
                last = max(Path("runs").iterdir(), key=lambda each: each.stat().st_mtime)
                words = [str(last) if word == "RUN" else word for word in shlex.split(line)]
                assert words[0] == "synaptrace"
                assert cli.main(words[1:]) == 0, line
    return printed.getvalue()


def forget() -> None:
    """As in a process that has run no file: modules, and classes of theirs by their names."""
    prefixes = tuple(own.OPTIONS.values())
    for name in [name for name in sys.modules if name.startswith(prefixes)]:
        for kind in vars(sys.modules.pop(name)).values():
            if getattr(kind, "__module__", "") == name and "name" in vars(kind):
                del kind.name
    section_of.cache_clear()


def test_the_readme_trains_on_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    said = run(ROOT / "README.md")
    found = re.search(r"test accuracy ([\d.]+)%", said)
    assert found is not None
    assert float(found[1]) > 90
    assert "Network: 512 → 10 classes" in said


@pytest.mark.parametrize("page", ["migrate", "gpu", "few-data"])
def test_the_pages_of_how_to(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of other libraries, which have a file's name, are written and not run."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    said = run(ROOT / "docs" / "howto" / f"{page}.md")
    assert sorted(each.name for each in tmp_path.glob("*.py")) == (
        ["jelly.py", "theirs.py"] if page == "migrate" else []
    )
    if page == "few-data":
        assert float(said) > 0.7


def test_parts_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    try:
        said = run(ROOT / "docs" / "own.md")
    finally:
        forget()
    assert said.count("accuracy") >= 3
    (made,) = [run for run in Path("runs").iterdir() if run.name != "mine"]
    assert "instant" in (made / "config.yaml").read_text()
    assert ".py" not in (made / "config.yaml").read_text()
