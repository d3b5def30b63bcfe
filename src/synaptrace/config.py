"""The settings of a run: a preset, a file and the command line, laid over one another.

    data:    name, path, batch_size and the data set's own options
    model:   the network's layers
    neuron:  threshold, decays, reset, surrogate
    rule:    name and the rule's own options
    train:   how long, how fast, on what

A later layer wins. Where it names another data set, rule or kind of model, all that an earlier one
said in that section goes with the old name. `resolve` checks every key and type
and fills in the defaults, so that a run's config.yaml says all there is to know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from synaptrace import meanings, yaml_files
from synaptrace.errors import UserError, short
from synaptrace.files import expand_user
from synaptrace.meanings import meant, near
from synaptrace.sections import LATER, NAMED, SAID, Section, section_of
from synaptrace.yaml_files import Text, read_as

Layers = dict[str, Any]
DEFAULT_PRESET = "digits"
ABOUT = ("description", "published")
"""Keys of a preset that say what it is and set nothing."""
AS_WRITTEN = ("data.path", *(f"{section}.{key}" for section, (key, _) in NAMED.items()))
"""Settings of the command line that are taken as they stand."""
MOST_SEEDS = 10_000
FLOAT_MAX = 3.4028234663852886e38
"""The largest number in single precision."""


class Config(BaseModel):
    """Resolved settings, each section's values by key."""

    name: str
    data: dict[str, Any]
    model: dict[str, Any]
    neuron: dict[str, Any]
    rule: dict[str, Any]
    train: dict[str, Any]
    seeds: int = 1

    def with_train(self, **changes: Any) -> Config:
        """The same settings but for some of the train section."""
        return self.model_copy(update={"train": {**self.train, **changes}})


def resolve(
    *,
    preset: str | None = None,
    file: str | Path | None = None,
    overrides: Mapping[str, str] | None = None,
    seeds: int | None = None,
) -> Config:
    """Lay preset, file and overrides over one another and check the result.

    Args:
        preset: its name; None: none where a file is given, else the one named like the data set
            that the overrides ask for, else the default.
        file: a YAML file, such as a run's config.yaml.
        overrides: {"section.key": text}, the text as YAML, or as the name that it is.
        seeds: how many to train.

    Raises:
        UserError: naming the key, file or preset that is wrong.
    """
    changes = nested(overrides or {})
    if preset is None and file is None:
        asked = str(changes.get("data", {}).get("name", DEFAULT_PRESET))
        preset = asked if asked in presets() else None
    layers: Layers = {} if preset is None else {"name": preset, **read_preset(preset)}
    later = [changes] if file is None else [read(Path(file)), changes]
    for layer in later:
        merged = merge(layers, layer)
        if layers and "name" not in layer and data_name(merged) != data_name(layers):
            merged.pop("name", None)  # other data than what the name tells of
        layers = merged
    called = layers.pop("name", None)
    if isinstance(called, Mapping | list):
        raise UserError(f"name: {short(called)} should be a word")
    name = str(called or data_name(layers) or "run")
    stored = layers.pop("seeds", 1)
    if seeds is None:
        seeds = read_as(int, stored, "seeds") if isinstance(stored, Text) else stored
    return check(name, layers, seeds)


def data_name(layers: Layers) -> str | None:
    """The data set that the layers name, None where they don't."""
    data = layers.get("data")
    return str(data["name"]) if isinstance(data, Mapping) and "name" in data else None


def check(name: str, layers: Layers, seeds: int) -> Config:
    """Every key and type, defaults filled in. Raises UserError naming the key."""
    for key in layers:
        if key not in SAID and key not in ABOUT and key not in ("name", "seeds"):
            raise UserError(
                f"{key}: no such section; there are {', '.join(SAID)}{meant(key, SAID)}"
            )
    if not isinstance(seeds, int) or isinstance(seeds, bool) or not 1 <= seeds <= MOST_SEEDS:
        raise UserError(f"seeds: {short(seeds)} is not a positive number up to {MOST_SEEDS}")
    values = {}
    for section in SAID:
        given = layers.get(section) or {}
        which = None
        if section in NAMED and isinstance(given, Mapping):
            which = str(given.get(*NAMED[section]))
        values[section] = validate(section, section_of(section, which), given)
    if values["data"]["path"] is not None:  # so that a run can go on from another folder
        values["data"]["path"] = str(expand_user(values["data"]["path"], "data.path").absolute())
    return Config(name=name, seeds=seeds, **values)


def validate(section: str, kind: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """The section's values, checked, defaults filled in but for those of `LATER`.

    Raises UserError naming the key.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{section}: needs keys and values, not {short(values)}")
    given = {
        key: read_as(kind.model_fields[key].annotation, value, f"{section}.{key}")
        if isinstance(value, Text) and key in kind.model_fields else value
        for key, value in values.items()
    }  # fmt: skip
    for key, value in given.items():
        if (why := unusable(value)) is not None:
            raise UserError(f"{section}.{key}: {short(value)} {why}")
    try:
        found = kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (section, *first["loc"][:1])))
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            hint = likely(section, str(first["loc"][0]), kind)
            raise UserError(f"{key}: no such setting; {section} has {known}{hint}") from None
        whys = [why["msg"] for why in error.errors() if why["loc"][0] == first["loc"][0]]
        if first["type"] == "missing":
            raise UserError(f"{key}: is needed, and has no default") from None
        reason = ", or ".join(dict.fromkeys(w.removeprefix("Input should be ") for w in whys))
        bad = short(given[str(first["loc"][0])])
        form = meanings.listed(kind.model_fields[str(first["loc"][0])].annotation)
        raise UserError(f"{key}: {bad} should be {reason}{form and f', as {form}'}") from None
    fields = kind.model_fields
    later = {
        key
        for key in LATER.get(kind.__name__, ()) if key in fields
        and getattr(found, key) == fields[key].default
    }  # fmt: skip
    return found.model_dump(mode="json", exclude=later)


def likely(section: str, key: str, kind: type[Section]) -> str:
    """The end of a message on an unknown key: the one that was meant, as it is written."""
    found = near(key, kind.model_fields)
    if found is None:  # one of another section?
        section, found = next(((s, key) for s in SAID if key in SAID[s]), (section, None))
        kind = section_of(section)
    if found is None:
        return ""
    field = kind.model_fields.get(found)
    form = meanings.sample(field.annotation, field.default) if field else ""
    return f"; did you mean {section}.{found}{form and f', as {form}'}?"


def unusable(value: Any) -> str | None:
    """Why no option can have ``value``: numbers are kept in single precision or 64 bits, names
    are written to files in UTF-8. None: it may be used."""
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple):
        return next((why for each in value if (why := unusable(each)) is not None), None)
    if isinstance(value, int) and abs(value) >= 2**63:
        return "is beyond 64 bits"
    if isinstance(value, float) and FLOAT_MAX < abs(value) < math.inf:
        return "is beyond single precision"
    if isinstance(value, str) and not value.isprintable():
        return "holds characters that can't be shown, or isn't UTF-8"
    return None


def merge(below: Layers, above: Mapping[str, Any]) -> Layers:
    """``above`` over ``below``, key by key; another name takes the old one's options away."""
    merged = dict(below)
    for section, values in above.items():
        old = merged.get(section)
        if not isinstance(old, Mapping) or not isinstance(values, Mapping):
            merged[section] = values
            continue
        key, default = NAMED.get(section, (None, None))
        if key in values and values[key] != old.get(key, default):
            old = {}
        merged[section] = {**old, **values}
    return merged


def nested(overrides: Mapping[str, str]) -> Layers:
    """{"section.key": text} as layers. Raises UserError where a name has no section."""
    layers: Layers = {}
    for name, text in overrides.items():
        section, _, key = name.partition(".")
        if section not in SAID or not key:
            every = [f"{room}.{each}" for room, known in SAID.items() for each in known]
            raise UserError(
                f"--{name}: no such option; settings are --section.key, with section one of "
                f"{', '.join(SAID)}{meant(name, every)}"
            )
        layers.setdefault(section, {})[key] = text if name in AS_WRITTEN else Text(text)
    return layers


def read(path: Path) -> Layers:
    """A YAML file of settings. Raises UserError naming the file and what is wrong with it."""
    layers = yaml_files.read(path, plain=True)
    if not isinstance(layers, dict):
        raise UserError(f"{path}: needs sections such as train:, each with keys and values")
    for section in SAID.keys() & layers.keys():
        if not isinstance(layers[section], dict):
            raise UserError(f"{path}: {section} needs keys and values")
    return layers


def presets() -> list[str]:
    """The names of the presets that come along."""
    folder = files("synaptrace") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def read_preset(name: str) -> Layers:
    """A preset's layers. Raises UserError where there is none such."""
    if name not in presets():
        raise UserError(
            f"--preset: no preset {name!r}; there are {', '.join(presets())}"
            + meant(name, presets())
        )
    layers: Layers = yaml_files.load(preset_text(name), name)
    return layers


def preset_text(name: str) -> str:
    """A preset's YAML text."""
    return (files("synaptrace") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
