"""Every setting of a run: its type, default and meaning, and which presets set it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from synaptrace import data, meanings, own, rules
from synaptrace.config import presets, read_preset
from synaptrace.errors import UserError
from synaptrace.sections import NAMED, SAID, section_of

KINDS = {
    "data": list(data.NAMES),
    "model": ["mlp", "conv", "vgg", "layers"],
    "rule": list(rules.NAMES),
}
"""The names that bring a section's own options."""
WHOLE = {
    "name": ("text", None, "of the run, on the command line --name; default: its preset's"),
    "seeds": ("whole number", 1, "how many to train, on the command line --seeds"),
}
"""Of a settings file, what stands above its sections: type, default and meaning."""


@dataclass(frozen=True)
class Setting:
    """One setting, of every run or ``of`` some data sets, models or rules alone."""

    key: str
    of: tuple[str, ...]
    """Names that have it; empty: all."""
    type: str
    default: Any
    """None: none, or found when it runs, as the meaning says."""
    meaning: str
    presets: dict[str, Any] = field(default_factory=dict)
    """What each preset sets it to."""

    @property
    def section(self) -> str:
        """The part before the dot, "" where there is none."""
        return self.key.rpartition(".")[0]

    @property
    def last(self) -> str:
        """The part behind the dot."""
        return self.key.rpartition(".")[2]


def settings(word: str | None = None) -> list[Setting]:
    """All of them; or those of a section, of a data set, model or rule, or a single one's lines.

    Raises:
        UserError: ``word`` is none of these.
    """
    found = list(every())
    if word is None:
        return found
    kept = [
        each for each in found
        if word in (each.key, each.section, each.last, *each.of)
    ]  # fmt: skip
    if not kept:
        known = [*SAID, *(name for names in KINDS.values() for name in names)]
        keys = [each.key for each in found]
        raise UserError(
            f"options: no section or setting {word!r}; sections are {', '.join(SAID)}"
            + meanings.meant(word, [*known, *keys, *(each.last for each in found)])
        )
    return kept


def every() -> Iterator[Setting]:
    """Each section's settings, those of all runs first; options that are alike in one line."""
    layers = {name: read_preset(name) for name in presets()}
    for section in SAID:
        kinds = KINDS.get(section, [])
        names: list[str | None] = [*kinds] if section == "model" else [None, *kinds]
        seen: dict[tuple[Any, ...], list[str]] = {}
        for name in names:
            for key, info in section_of(section, name).model_fields.items():
                default = None if info.is_required() else info.default
                meaning = (info.description or "").replace("``", "").rstrip(".")
                about = (key, meanings.words(info.annotation), repr(default), meaning)
                seen.setdefault(about, []).append(name or "")
        for (key, kind, _, meaning), of in seen.items():
            whose = () if not of[0] or len(of) == len(kinds) else tuple(of)
            model = section_of(section, whose[0] if whose else of[-1] or None)
            info = model.model_fields[key]
            more = f"; this machine has {', '.join(devices())}" if key == "device" else ""
            yield Setting(
                f"{section}.{key}", whose, kind, None if info.is_required() else info.default,
                meaning + more, set_by(section, key, whose, layers),
            )  # fmt: skip
    for key, meaning in own.MEANINGS.items():
        yield Setting(key, (), "path", None, f"{meaning}; on the command line alone")
    for key, (kind, default, meaning) in WHOLE.items():
        values = {preset: said[key] for preset, said in layers.items() if key in said}
        yield Setting(key, (), kind, default, meaning, values)


def set_by(
    section: str, key: str, of: tuple[str, ...], layers: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The presets that set a key, and to what; ``of``: only where they name one of these."""
    found = {}
    for preset, said in layers.items():
        values = said.get(section, {})
        named = not of or values.get(*NAMED[section]) in of
        if named and key in values:
            found[preset] = values[key]
    return found


def devices() -> list[str]:
    """What `train.device` can be on this machine, with the names of GPUs."""
    found = ["cpu"]
    for index in range(torch.cuda.device_count()):
        found.append(f"cuda:{index} ({torch.cuda.get_device_name(index)})")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
