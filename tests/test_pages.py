"""The pages name files, functions and each other: what they name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ROOT / "src" / "synaptrace"
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
    *sorted(CODE.rglob("README.md")),
]  # fmt: skip
FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|hpp|cpp|md|yaml))`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = [name for name in FILE.findall(text) if not name.startswith(("runs/", "checkpoints/"))]
    missing = [
        name for name in named
        if not any((base / name).exists() for base in (CODE, ROOT, page.parent))
    ]  # fmt: skip
    assert not missing
    assert not [link for link in LINK.findall(text) if not (page.parent / link).exists()]


def test_terms_of_the_glossary_stand_where_it_says() -> None:
    rows = re.findall(r"^\|.*\|$", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    checked = 0
    for row in rows:
        file = None
        for name in re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1]):
            if name.endswith((".py", ".hpp")):
                file = (CODE / name).read_text("utf-8")
            elif file is not None:
                assert re.search(rf"\b{name.split('.')[-1]}\b", file), row
                checked += 1
    assert checked > 30
