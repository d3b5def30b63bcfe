"""The pages name files, functions and each other: what they name is there."""

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml

import synaptrace
from synaptrace import rules
from synaptrace.config import resolve

ROOT = Path(__file__).parents[1]
CODE = ROOT / "src" / "synaptrace"
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
    *sorted(page for page in DOCS.rglob("*.py") if page.parent.name in ("concepts", "tutorials")),
    *sorted(CODE.rglob("README.md")),
]  # fmt: skip
FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|hpp|cpp|md|yaml))`")
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")
OF_A_RUN = ("runs/", "checkpoints/")


def generated() -> set[Path]:
    """The pages that docs/hooks.py makes; read, not imported, as that needs mkdocs."""
    for statement in ast.parse((DOCS / "hooks.py").read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "OUTSIDE":
            outside = ast.literal_eval(statement.value)
            break
    assert all((ROOT / source).is_file() for source in outside)
    return {DOCS / page for page in (*outside.values(), *MADE)}


MADE = ("reference/settings.md", "reference/verbs.md")
GENERATED = generated()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".py":  # a notebook, whose text stands in comments
        text = "\n".join(line[1:] for line in text.splitlines() if line.startswith("#"))
    named = [name for name in FILE.findall(text) if not name.startswith(OF_A_RUN)]
    missing = [
        name for name in named
        if not any((base / name).exists() for base in (CODE, ROOT, page.parent))
    ]  # fmt: skip
    assert not missing
    targets = [(page.parent / link).resolve() for link, _ in LINK.findall(text)]
    assert not [to for to in targets if not to.exists() and to not in GENERATED]


def test_the_site_makes_what_pages_may_link_to() -> None:
    text = (DOCS / "hooks.py").read_text("utf-8")
    assert all(f'"{page}"' in text for page in MADE)


def test_the_citation_is_of_this_version() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert str(found["version"]) == synaptrace.__version__
    assert found["license"] == "Apache-2.0"


def test_the_readme_is_short_and_begins_with_what_to_do() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) < 160
    assert "synaptrace train" in "\n".join(lines[:10])


def test_terms_of_the_glossary_stand_where_it_says() -> None:
    rows = re.findall(r"^\|.*\|$", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
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


def test_the_table_of_rules_says_what_the_rules_say() -> None:
    text = (DOCS / "rules.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text[: text.index("## ")].splitlines()
        if line.startswith("| `")
    ]
    assert sorted(row[0].strip("`") for row in rows) == sorted(rules.NAMES)
    for name, _, _, space, time, module, command in rows:
        rule = rules.find(name.strip("`"))
        assert [space == "yes", time == "yes"] == [rule.locality.space, rule.locality.time], name
        assert rule.__module__.replace(".", "/").endswith(module.strip("`").removesuffix(".py"))
        words = command.strip("`").split() if command.startswith("`") else []
        given = dict(zip(words[::2], words[1::2], strict=True))
        overrides = {key.removeprefix("--"): value for key, value in given.items()}
        config = resolve(preset="digits", overrides={"rule.name": rule.name, **overrides})
        assert config.rule["name"] == rule.name


def test_every_public_name_is_on_the_page_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs", reason="MkDocs is not installed (extra docs)")
    monkeypatch.syspath_prepend(DOCS)
    hooks = importlib.import_module("hooks")
    text = (DOCS / "reference" / "api.md").read_text("utf-8")
    hooks.complete(text)
    for line, said in (
        ("::: synaptrace.rules.stream.InputTraces\n", "InputTraces"),
        ("::: synaptrace.errors.UserError\n", "UserError"),
        ("::: synaptrace.layers.Dense\n", "Dense"),
    ):
        assert line in text
        with pytest.raises(Exception, match=f"lacks {said}"):
            hooks.complete(text.replace(line, ""))
    hidden = text.replace("Conv\n", "Conv\n    options: {members: [pool]}\n")
    with pytest.raises(Exception, match=r"doesn't show Conv.accumulate, .*Conv.unpool"):
        hooks.complete(hidden)
