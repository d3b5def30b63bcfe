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

import inspect
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
)  # fmt: skip
from pydantic_core import PydanticCustomError

from synaptrace.errors import UserError

Layers = dict[str, Any]
DEFAULT_PRESET = "digits"


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def no_flag_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Without this, true would be taken as 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        given = value if isinstance(value, list) else [value]
        takes = kind is Any or bool in (kind, *get_args(kind))
        if not takes and any(isinstance(each, bool) for each in given):
            raise PydanticCustomError("flag", "a number or text, not true or false")
        return value


class Mlp(Section):
    """A dense network (`synaptrace.mlp`)."""

    kind: Literal["mlp", "conv", "vgg"] = Field("mlp", description="dense, convolutional, VGG")
    hidden: list[PositiveInt] = Field(
        [200], description="neurons of each hidden layer", min_length=1
    )
    recurrent: bool = Field(False, description="hidden layers see their own last spikes")
    readout_decay: float = Field(1.0, description="α of the readout, 1 sums for ever", ge=0, le=1)
    gain: float = Field(1.0, description="factor on initial weights after layer 1", gt=0)
    standardise: bool = Field(False, description="use standardised weights")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the products")


class Conv(Section):
    """A convolutional network (`synaptrace.conv`)."""

    kind: Literal["conv"] = "conv"
    channels: list[tuple[PositiveInt, tuple[str, PositiveInt]]] = Field(
        description="each layer's channels and pool, as [[32, [max, 2]], [64, [aavg, 2]]]",
        min_length=1,
    )
    readout_decay: float = Field(1.0, ge=0, le=1)
    gain: float = Field(1.0, gt=0)
    standardise: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


class Vgg(Section):
    """A published VGG (`synaptrace.vgg`)."""

    kind: Literal["vgg"] = "vgg"
    depth: Literal[6, 9, 12] = Field(9, description="its layers")
    readout_decay: float = Field(1.0, ge=0, le=1)
    standardise: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"


MODELS: dict[str, type[Section]] = {"mlp": Mlp, "conv": Conv, "vgg": Vgg}


class Neuron(Section):
    """The leaky integrate-and-fire neuron."""

    threshold: float = Field(1.0, description="θ")
    decay: float | list[float] = Field(0.9, description="β of the membrane; a list: each layer's")
    trace_decay: float | list[float] = Field(0.9, description="λ of the trace; a list likewise")
    reset: Literal["soft", "hard"] = Field("soft", description="subtract θ, or to zero")
    surrogate: Literal["atan", "fast_sigmoid", "triangle"] = Field("atan", description="σ'")
    scale: float = Field(1.0, description="a, the surrogate's scale", gt=0)


class Train(Section):
    """The training loop (`synaptrace.fit`)."""

    epochs: int = Field(30, description="passes over the training samples", ge=1)
    lr: float = Field(3e-3, description="Adam's learning rate in the first epoch", gt=0)
    lr_final: float | None = Field(None, description="in the last (cosine); default lr / 4", ge=0)
    update: Literal["sequence", "step"] | int = Field(
        "sequence", description="optimizer steps: sequence, step, or every so many steps"
    )
    ema: float | None = Field(None, description="evaluate averaged weights; the decay", ge=0, lt=1)
    seed: int = Field(0, description="of weights, order, augmentation", ge=0)
    device: str = Field("cpu", description="cpu, cuda, …")
    threads: int | None = Field(None, description="processor cores; default: PyTorch's", ge=1)
    paper_protocol: bool = Field(False, description="also report the best test epoch, as papers do")
    tensorboard: bool = Field(False, description="write TensorBoard curves too")


class Data(Section):
    """What every data set has; each adds options of its own (`options_of`)."""

    name: str = Field("digits", description="see `synaptrace data list`")
    path: str | None = Field(None, description="where the files lie")
    batch_size: int | None = Field(None, description="samples a batch", ge=1)


class RuleName(Section):
    """What every rule has; each adds options of its own (`options_of`)."""

    name: str = Field("tp", description="the learning rule")


SECTIONS: dict[str, type[Section]] = {
    "data": Data, "model": Mlp, "neuron": Neuron, "rule": RuleName, "train": Train,
}  # fmt: skip
ABOUT = ("description", "published")
"""Keys of a preset that say what it is and set nothing."""
NAMED = {"data": "name", "rule": "name", "model": "kind"}


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
        overrides: {"section.key": text}, the text as YAML.
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
    name = str(layers.pop("name", None) or data_name(layers) or "run")
    stored = layers.pop("seeds", 1)
    seeds = stored if seeds is None else seeds
    return check(name, layers, seeds)


def data_name(layers: Layers) -> str | None:
    """The data set that the layers name, None where they don't."""
    data = layers.get("data")
    return str(data["name"]) if isinstance(data, Mapping) and "name" in data else None


def check(name: str, layers: Layers, seeds: int) -> Config:
    """Every key and type, defaults filled in. Raises UserError naming the key."""
    for key in layers:
        if key not in SECTIONS and key not in ABOUT and key not in ("name", "seeds"):
            raise UserError(f"{key}: no such section; there are {', '.join(SECTIONS)}")
    if not isinstance(seeds, int) or seeds < 1:
        raise UserError(f"seeds: {seeds!r} is not a positive number")
    values = {}
    for section, kind in SECTIONS.items():
        given = layers.get(section) or {}
        if section in NAMED and isinstance(given, Mapping):
            key = NAMED[section]
            kind = options_of(section, str(given.get(key, kind.model_fields[key].default)))
        values[section] = validate(section, kind, given)
    if values["data"]["path"] is not None:  # so that a run can go on from another folder
        values["data"]["path"] = str(Path(values["data"]["path"]).expanduser().absolute())
    return Config(name=name, seeds=seeds, **values)


def options_of(section: str, name: str) -> type[Section]:
    """The section as the data set, the rule or the kind of model ``name`` has it."""
    if section == "model":
        return MODELS.get(name, Mlp)
    from synaptrace import data, rules

    options = data.options(name) if section == "data" else rules.options(name)
    fields: dict[str, Any] = {
        key: (
            Any if option.annotation is inspect.Parameter.empty else option.annotation,
            ... if option.default is inspect.Parameter.empty else option.default,
        )
        for key, option in options.items()
    }
    made: type[Section] = create_model(name, __base__=SECTIONS[section], **fields)
    return made


def validate(section: str, kind: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """The section's values, checked, defaults filled in. Raises UserError naming the key."""
    if not isinstance(values, Mapping):
        raise UserError(f"{section}: needs keys and values, not {values!r}")
    try:
        return kind.model_validate(dict(values)).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (section, *first["loc"][:1])))
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            raise UserError(f"{key}: no such setting; {section} has {known}") from None
        whys = [why["msg"] for why in error.errors() if why["loc"][0] == first["loc"][0]]
        if first["type"] == "missing":
            raise UserError(f"{key}: is needed, and has no default") from None
        reason = ", or ".join(dict.fromkeys(w.removeprefix("Input should be ") for w in whys))
        given = values[str(first["loc"][0])]
        raise UserError(f"{key}: {given!r} should be {reason}") from None


def merge(below: Layers, above: Mapping[str, Any]) -> Layers:
    """``above`` over ``below``, key by key; another name takes the old one's options away."""
    merged = dict(below)
    for section, values in above.items():
        old = merged.get(section)
        if not isinstance(old, Mapping) or not isinstance(values, Mapping):
            merged[section] = values
            continue
        key = NAMED.get(section)
        if key in values and section in SECTIONS:
            default = SECTIONS[section].model_fields[str(key)].default
            if values[key] != old.get(key, default):
                old = {}
        merged[section] = {**old, **values}
    return merged


def nested(overrides: Mapping[str, str]) -> Layers:
    """{"section.key": text} as layers. Raises UserError where a name has no section."""
    layers: Layers = {}
    for name, text in overrides.items():
        section, _, key = name.partition(".")
        if section not in SECTIONS or not key:
            raise UserError(
                f"--{name}: no such option; settings are --section.key, with section one of "
                f"{', '.join(SECTIONS)}"
            )
        layers.setdefault(section, {})[key] = parse(name, text)
    return layers


def parse(name: str, text: str) -> Any:
    """A value of the command line: YAML, but 1e-3 is a number too, and a path is as it stands."""
    if name == "data.path":
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--{name}: {text!r} can't be read as a value") from None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def read(path: Path) -> Layers:
    """A YAML file of settings. Raises UserError naming the file and what is wrong with it."""
    try:
        layers = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{path}: can't be read ({reason})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise UserError(f"{path}: not valid YAML{where}") from error
    if not isinstance(layers, dict) or not all(isinstance(key, str) for key in layers):
        raise UserError(f"{path}: needs sections such as train:, each with keys and values")
    for section in SECTIONS.keys() & layers.keys():
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
        raise UserError(f"--preset: no preset {name!r}; there are {', '.join(presets())}")
    layers: Layers = yaml.safe_load(preset_text(name))
    return layers


def preset_text(name: str) -> str:
    """A preset's YAML text."""
    return (files("synaptrace") / "presets" / f"{name}.yaml").read_text()
