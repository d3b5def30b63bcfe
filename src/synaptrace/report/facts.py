"""What was set, what was run on, and the command that does it again."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from synaptrace import __version__, data, rules
from synaptrace.config import DEFAULT_PRESET, Config, presets, resolve
from synaptrace.errors import UserError
from synaptrace.report.page import Part, Section, Table, Text
from synaptrace.sections import NAMED, SAID

ALONE = "Nothing else: all other settings are the preset's."


def preset_of(config: Config) -> str:
    """The preset that a run's settings are told against: its own, its data's, or the default."""
    known = presets()
    return next((n for n in (config.name, config.data["name"]) if n in known), DEFAULT_PRESET)


def differing(config: Config) -> dict[str, tuple[Any, Any]]:
    """section.key: the setting here, and in `preset_of`, as far as they differ.

    Where a section names another data set, rule or kind of model, its defaults are compared with.

    Raises:
        UserError: settings of parts of the user's own that aren't there.
    """
    preset = preset_of(config)
    plain, found = resolve(preset=preset), dict[str, tuple[Any, Any]]()
    for section, (key, _) in NAMED.items():
        own, its = getattr(config, section)[key], getattr(plain, section).get(key)
        if own != its:
            found[f"{section}.{key}"] = own, its
    base = resolve(preset=preset, overrides={key: own for key, (own, _) in found.items()})
    for section in SAID:
        its = getattr(base, section)
        for key, value in getattr(config, section).items():
            if f"{section}.{key}" not in found and value != its.get(key):
                found[f"{section}.{key}"] = value, its.get(key)
    return found


def written(value: Any) -> str:
    """A setting as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def options(settings: Mapping[str, Any]) -> list[str]:
    """--section.key value, for each."""
    return [word for key, value in settings.items() for word in (f"--{key}", written(value))]


def train_command(config: Config) -> str | None:
    """The command that trains with these settings; None where none does without their file."""
    words = train_words(config)
    if words is None:
        return None
    seeds = ["--seeds", str(config.seeds)] if config.seeds > 1 else []
    return command(["train", *words, *seeds])


def train_words(config: Config) -> list[str] | None:
    """The options of `train_command`, but for its seeds."""
    preset = preset_of(config)
    try:
        own = {key: value for key, (value, _) in differing(config).items()}
        texts = {key: written(value) for key, value in own.items()}
        again = resolve(preset=preset, overrides=texts, seeds=config.seeds)
    except UserError:
        return None
    if again.model_dump(exclude={"name"}) != config.model_dump(exclude={"name"}):
        return None
    return ["--preset", preset, *own_files(config), *options(own)]


def own_files(*configs: Config) -> list[str]:
    """The options that name files of the user's own, which no run knows by name."""
    own_rule = any(config.rule["name"] not in rules.NAMES for config in configs)
    own_data = any(config.data["name"] not in data.NAMES for config in configs)
    return ["--rule.file", "FILE.py"] * own_rule + ["--data.file", "FILE.py"] * own_data


def command(words: Sequence[str]) -> str:
    """A command line, quoted for a shell."""
    return shlex.join(["synaptrace", *words])


def settings(config: Config, title: str = "Settings that differ from the preset") -> list[Part]:
    """What differs from the preset."""
    try:
        found = differing(config)
    except UserError as error:
        return [Text(f"The settings can't be told against a preset: {error}")]
    rows = [[key, written(own), written(its)] for key, (own, its) in found.items()]
    preset = preset_of(config)
    return [Table([["setting", "here", f"preset {preset}"], *rows], title) if rows
            else Text(f"{ALONE[:-1]} ({preset}).")]  # fmt: skip


def repeat(said: str | None, file: Path, what: str) -> list[Part]:
    """The command of a study, or where there is none the file that has ``what``."""
    if said is None:
        return [Text(f"No options alone say all of it; {file} has the {what}.")]
    return [Text(said, code=True)]


def again(said: str | None, config: Config | None, run: Path) -> Section:
    """The section on repeating: a command, or the settings' file."""
    parts: list[Part] = []
    if said is not None:
        parts.append(Text(said, code=True))
        if config is not None and config.data.get("path"):
            parts.append(Text("On another machine, give --data.path the folder of the data there."))
    elif config is not None:
        parts += [
            Text("No options alone say all of it: save the settings below as config.yaml, then"),
            Text(command(["train", "--config", "config.yaml", *own_files(config)]), code=True),
        ]
    else:
        parts.append(Text(f"{run.name} was trained from Python: run that program again."))
    if config is not None:
        plain = yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True)
        parts += [Text("All settings, as config.yaml has them:"), Text(plain, code=True)]
    return Section("Repeat", parts)


def environment(summary: Mapping[str, Any] | None) -> Section:
    """What trained, as far as its summary says so, and what made this report."""
    told = summary or {}
    named = {"synaptrace": "synaptrace", "torch": "PyTorch", "device": "device",
             "threads": "threads", "run_id": "run", "config_hash": "hash of the settings",
             "split_hash": "hash of the split"}  # fmt: skip
    rows = [[name, told[key]] for key, name in named.items() if told.get(key) is not None]
    here = [
        ["synaptrace", __version__], ["PyTorch", torch.__version__],
        ["Python", platform.python_version()], ["system", platform.platform()],
    ]  # fmt: skip
    parts: list[Part] = [Table([["trained with", ""], *rows])] if rows else []
    return Section("Environment", [*parts, Table([["this report was made with", ""], *here])])
