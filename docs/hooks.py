"""What the site makes itself: pages that lie elsewhere, the settings, and every verb's help."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import synaptrace
from synaptrace import cli, rules, settings_list, text_table
from synaptrace import config as config_files
from synaptrace.sections import SAID

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "src/synaptrace/rules/tp/README.md": "inside/tp.md",
    "src/synaptrace/native/README.md": "inside/native.md",
}
"""Files of the repository that are pages here."""
FOR_PARTS = ("synaptrace.rules.stream", "synaptrace.rules.base", "synaptrace.layers",
             "synaptrace.errors")  # fmt: skip
"""Modules beneath the public packages that are public too, for parts of one's own."""
LINK = re.compile(r"\]\(([^)#:\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made = {"reference/settings.md": settings(), "reference/verbs.md": verbs()}
    for source, page in OUTSIDE.items():
        made[page] = linked((ROOT / source).read_text("utf-8"), (ROOT / source).parent, page)
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Links that leave docs/ go to the site's own copy."""
    if page.file.abs_src_path is None:
        return markdown
    if page.file.src_uri == "reference/api.md":
        complete(markdown)
    for mark, table in TABLES.items():
        if mark in markdown:
            markdown = markdown.replace(mark, table())
    return linked(markdown, Path(page.file.abs_src_path).parent, page.file.src_uri)


def on_page_content(html: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Links of notebooks, which MkDocs doesn't read, lead to the pages that are made of theirs."""
    if not page.file.src_uri.endswith(".py"):
        return html
    return re.sub(r'href="(?!\w+:)([^"#]+)\.(?:md|py)(#[^"]*)?"', r'href="\1.html\2"', html)


def on_post_build(config: MkDocsConfig) -> None:
    """Every link within the site leads to a file of it.

    Raises:
        PluginError: it names the first that doesn't.
    """
    site = Path(config.site_dir)
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":  # its links are absolute, as it may stand anywhere
            continue
        for link in re.findall(r'href="([^"#?]+)[#?"]', page.read_text("utf-8")):
            if not re.match(r"\w+:|//", link) and not (page.parent / unquote(link)).exists():
                raise PluginError(f"{page.relative_to(site)}: {link} is no page")


def linked(text: str, folder: Path, page: str) -> str:
    """``text`` with its links as they count from ``page``; code where the target is no page."""

    def there(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        to = OUTSIDE.get(name) or (name[5:] if name.startswith("docs/") else None)
        if name == "README.md":
            to = "index.md"
        if to is None:
            return f"]({match[1]})"
        return f"]({os.path.relpath(to, Path(page).parent or '.')}{match[2] or ''})"

    return LINK.sub(there, text)


def settings() -> str:
    """A table a section, from the models that check settings."""
    lines = ["# Settings", "", "`synaptrace options` prints these. Each is given as", ""]
    lines += ["`--section.key VALUE`, or in a YAML file (`--config`).", ""]
    every = settings_list.settings()
    for section in (*SAID, ""):
        lines += [f"## {section or 'Above the sections'}", ""]
        lines += ["| key | type | default | meaning | of | set by |", "|---|---|---|---|---|---|"]
        for each in (each for each in every if each.section == section):
            default = "" if each.default is None else f"`{text_table.value(each.default)}`"
            by = (
                ", ".join(each.presets) if len(each.presets) < 6 else f"{len(each.presets)} presets"
            )
            cells = [f"`{each.key}`", each.type, default, each.meaning, ", ".join(each.of), by]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def verbs() -> str:
    """What each verb's --help prints."""
    lines = ["# Verbs", ""]
    for verb, meaning in cli.VERBS.items():
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            cli.main([verb, "--help"])
        lines += [f"## {verb}", "", f"{meaning[0].upper()}{meaning[1:]}.", "", "```text"]
        lines += [said.getvalue().rstrip(), "```", ""]
    return "\n".join(lines)


def localities() -> str:
    """What each rule needs, from what the rules themselves say."""
    heads = ["rule", "local in space", "local in time", "matrices of its own",
             "waits for layers above", "transposed weights", "needs a batch",
             "keeps, a layer"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    said = {True: "yes", False: "no"}
    for name in rules.NAMES:
        rule = rules.find(name)
        at = rule.locality
        cells = [f"`{name}`", said[at.space], said[at.time], at.auxiliary, said[at.update_locked],
                 at.weight_transport, said[at.batch], rule.order]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def published() -> str:
    """What the paper reports, from the presets that are as published."""
    lines = ["| preset | what | published |", "|---|---|---|"]
    for name in config_files.presets():
        if "-paper" in name:
            preset = config_files.read_preset(name)
            lines.append(f"| `{name}` | {preset['description']} | {preset['published']} |")
    return "\n".join(lines)


TABLES = {"<!-- localities -->": localities, "<!-- published -->": published}
"""Tables in pages of docs/, by the comment in their place."""


def complete(api: str) -> None:
    """Every public name is on the page of the API and says what it is, as its methods do, and each
    of these is shown.

    Raises:
        PluginError: it names those that are missing.
    """
    shown = {
        name.rpartition(".")[2]: members(options)
        for name, options in re.findall(r"^::: (\S+)\n(?:    options: (.*)\n)?", api, re.MULTILINE)
    }
    names = public()
    if missing := sorted(set(names) - set(shown)):
        raise PluginError(f"reference/api.md lacks {', '.join(missing)}")
    kinds = {each: name for name, each in names.items() if inspect.isclass(each)}
    hidden = [
        f"{name}.{method}"
        for name, kind in ((name, kind) for kind, name in kinds.items())
        for method in methods(kind)
        if not any(
            shown[kinds[base]] is None or method in (shown[kinds[base]] or ())
            for base in kind.__mro__ if base in kinds and hasattr(base, method)
        )
    ]  # fmt: skip
    if hidden:
        raise PluginError(f"reference/api.md doesn't show {', '.join(sorted(hidden))}")
    if silent := sorted(said for name, each in names.items() for said in undescribed(name, each)):
        raise PluginError(f"no docstring: {', '.join(silent)}")


def public() -> dict[str, Any]:
    """Every public name of every public module."""
    top = {name: getattr(synaptrace, name) for name in synaptrace.__all__}
    rooms = [each for each in top.values() if inspect.ismodule(each)]
    names = {name: each for name, each in top.items() if each not in rooms}
    for room in [*rooms, *map(import_module, FOR_PARTS)]:
        names |= {name: getattr(room, name) for name in room.__all__}
    return names


def members(options: str) -> list[str] | None:
    """The members of a class that the page shows by its ``options``; None: all that are public."""
    found = dict(re.findall(r"(\w*members): (false|\[.*?\])", options))
    if "members" not in found:
        return None
    return re.findall(r"\w+", " ".join(found.values()).replace("false", ""))


def methods(kind: type) -> list[str]:
    """The public methods and properties that a class defines itself."""
    return [
        name for name, what in vars(kind).items()
        if not name.startswith("_")
        and (isinstance(what, property) or inspect.isfunction(getattr(what, "__func__", what)))
    ]  # fmt: skip


def undescribed(name: str, each: Any) -> Iterator[str]:
    """The public name, or its public methods and properties, that have no docstring."""
    if not (each.__doc__ or "").strip():
        yield name
    for kind in each.__mro__ if inspect.isclass(each) else ():
        for method in methods(kind) if kind.__module__.startswith("synaptrace") else ():
            what = vars(kind)[method]
            if not (getattr(what, "__func__", what).__doc__ or "").strip():
                yield f"{name}.{method}"
