"""The sections of a run's settings, made of the signatures of what they are given to.

An argument of a network, of the neuron or of training is a setting where `SAID` says what it means;
its default is the signature's, and so is its type where `TYPES` has none for YAML. Every option of
a data set and of a rule is a setting.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib.util import find_spec
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
)
from pydantic_core import PydanticCustomError

from synaptrace import _HOME, meanings

Width = Annotated[int, Field(ge=1, le=1_000_000)]
"""Neurons, channels or pixels of a layer."""

NAMED = {"data": ("name", "digits"), "model": ("kind", "mlp"), "rule": ("name", "tp")}
"""Sections whose options depend on a name: its key, and its default."""

SAID: dict[str, dict[str, Any]] = {
    "data": {
        "name": Field(description="see `synaptrace data list`"),
        "path": Field(description="where the files lie"),
        "batch_size": Field(description="samples a batch", ge=1),
    },
    "model": {
        "kind": Field(description="dense (mlp), conv, vgg, or layers in any order"),
        "hidden": Field(description="neurons of each hidden layer", min_length=1),
        "channels": Field(
            description="each layer's channels and pool, as [[32, [max, 2]], [64, [aavg, 2]]]",
            min_length=1,
        ),
        "layers": Field(
            description="in any order, as [{conv: 8, pool: [max, 2]}, {dense: 64}]", min_length=1
        ),
        "depth": Field(description="its layers"),
        "recurrent": Field(description="hidden layers see their own last spikes"),
        "readout_decay": Field(description="α of the readout, 1 sums for ever", ge=0, le=1),
        "gain": Field(description="factor on initial weights after layer 1", gt=0),
        "standardise": Field(description="use standardised weights"),
        "precision": Field(description="of the products"),
    },
    "neuron": {
        "threshold": Field(description="θ"),
        "decay": Field(description="β of the membrane; a list: each layer's"),
        "trace_decay": Field(description="λ of the trace; a list likewise"),
        "reset": Field(description="subtract θ, or to zero"),
        "surrogate": Field(description="σ'"),
        "scale": Field(description="a, the surrogate's scale", gt=0),
        "adaptation": Field(description="b, how far a spike raises the threshold"),
        "adaptation_decay": Field(description="ρ, the raise's factor per step"),
    },
    "rule": {"name": Field(description="the learning rule")},
    "train": {
        "epochs": Field(description="passes over the training samples", ge=1),
        "lr": Field(description="Adam's learning rate in the first epoch", gt=0),
        "lr_final": Field(description="in the last (cosine); default lr / 4", ge=0),
        "lr_readout": Field(
            description="the readout's own first rate, on the same schedule; default lr", gt=0
        ),
        "update": Field(description="optimizer steps: sequence, step, or every so many steps"),
        "ema": Field(description="evaluate averaged weights; the decay", ge=0, lt=1),
        "seed": Field(description="of weights, order, augmentation", ge=0),
        "device": Field(description="cpu, cuda, …"),
        "threads": Field(description="processor cores; default: PyTorch's", ge=1, le=1024),
        "micro_batch": Field(
            description="samples at once, gradients added up to the batch's; default all", ge=1
        ),
        "paper_protocol": Field(description="also report the best test epoch, as papers do"),
        "tensorboard": Field(description="write TensorBoard curves too"),
    },
}
"""What each setting means, and its bounds."""


def surrogate(name: str) -> str:
    """The name of a surrogate, one that comes along or one of the user's own."""
    from synaptrace.own import known
    from synaptrace.surrogate import SURROGATES, Surrogate

    if name not in known(Surrogate) | SURROGATES:
        came = ", ".join(map(repr, SURROGATES))
        raise PydanticCustomError(
            "surrogate", f"{came} or one of your own, given as --rule.file FILE.py"
        )
    return name


TYPES: dict[str, Any] = {
    "data.path": str | None,
    "data.batch_size": int | None,
    "model.hidden": list[Width],
    "model.channels": list[tuple[Width, tuple[str, Width]]],
    "model.layers": list[dict[str, Any]],
    "model.depth": Literal[6, 9, 12],
    "model.precision": Literal["float32", "bfloat16"],
    "neuron.surrogate": Annotated[str, AfterValidator(surrogate)],
    "train.update": Literal["sequence", "step"] | int,
}
"""Of settings whose argument takes more than YAML can say, or is checked by no type."""

DEFAULTS: dict[str, Any] = {
    **{f"{section}.{key}": default for section, (key, default) in NAMED.items()},
    "model.hidden": [200],
    "model.depth": 9,
    "neuron.surrogate": "atan",
}
"""Of settings for which the signature has none that YAML can say."""

AUGMENT = ("gain", "channel", "snr", "warp", "mask_bands", "mask_steps")
"""Of data sets of sound (`audio.augment`)."""

LATER = {
    "neuron": ("adaptation", "adaptation_decay"),
    "train": ("lr_readout", "micro_batch"),
    "tp": ("eligibility", "temperature", "margin"),
    **dict.fromkeys(("folder", "fsdd"), (*AUGMENT, "floor")),
    "speechcommands": (
        *AUGMENT,
        "floor",
        "holdout_users",
        "words",
        "unknown",
        "silence",
        "leave_out",
    ),
}
"""Options that version 0.1.0 had not, by section, rule or data set. At their defaults they are left
out of what a run keeps, so that its settings have the same hash as before."""


class Section(BaseModel):
    """A section: no unknown keys, no infinite numbers."""

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


@lru_cache
def section_of(section: str, name: str | None = None) -> type[Section]:
    """The section's keys, types, bounds, defaults and meanings.

    Args:
        name: the data set, the rule or the kind of model that has them; None: what all data sets
            and rules have, and the dense network.

    Raises:
        UserError: no such data set or rule.
    """
    from synaptrace import data, rules

    fields: dict[str, Any] = {}
    if section in NAMED:
        key, default = NAMED[section]
        kind: Any = Literal["mlp", "conv", "vgg", "layers"] if section == "model" else str
        fields[key] = (Annotated[kind, SAID[section][key]], default)
    for key, argument in arguments(section, name).items():
        if key not in SAID[section] or key in fields:
            continue
        kind = TYPES.get(f"{section}.{key}", argument.annotation)
        found = DEFAULTS.get(f"{section}.{key}", argument.default)
        fields[key] = (Annotated[kind, SAID[section][key]], needed(found))
    if name is not None and section in ("data", "rule"):
        maker: Any = data.find(name) if section == "data" else rules.find(name)
        options = data.options(name) if section == "data" else rules.options(name)
        said = meanings.said(maker)
        for key, option in options.items():
            kind = Any if option.annotation is Parameter.empty else option.annotation
            kind = Annotated[kind, Field(description=said.get(key))]
            fields[key] = (kind, needed(option.default))
    made: type[Section] = create_model(name or section, __base__=Section, **fields)
    return made


def arguments(section: str, name: str | None) -> dict[str, Parameter]:
    """The arguments of what the section is given to: a public name, found when it is asked for."""
    import synaptrace as st
    from synaptrace import build, data

    models = {"conv": st.conv, "vgg": st.vgg, "layers": build.layers}
    takers: dict[str, Any] = {
        "data": data.load, "model": models.get(name or "", st.mlp), "neuron": st.LIF,
        "train": st.fit,
    }  # fmt: skip
    if section not in takers:
        return {}
    # (What `data.load` returns has no name until PyTorch is imported.)
    found = dict(signature(takers[section], eval_str=section != "data").parameters)
    if section == "neuron":  # the surrogate by its name and scale, as `LIF.from_spec` takes them
        found |= signature(st.ATan, eval_str=True).parameters
        spec = st.LIF().spec
        return {key: each.replace(default=spec[key]) for key, each in found.items()}
    return found


def written(name: str) -> dict[str, Any]:
    """The literal defaults in the source of a public function or dataclass, by keyword.

    Nothing is imported, so that `synaptrace train --help` can show them without PyTorch.
    """
    found = find_spec(f"synaptrace.{_HOME[name]}")
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    pairs: list[tuple[str, ast.expr | None]] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            keywords = [argument.arg for argument in node.args.kwonlyargs]
            pairs += zip(keywords, node.args.kw_defaults, strict=True)
        elif isinstance(node, ast.ClassDef) and node.name == name:
            each = [line for line in node.body if isinstance(line, ast.AnnAssign)]
            pairs += [
                (line.target.id, line.value) for line in each if isinstance(line.target, ast.Name)
            ]
    return {key: each.value for key, each in pairs if isinstance(each, ast.Constant)}


def defaults() -> dict[str, Any]:
    """Defaults by "section.key" as far as they are known without PyTorch."""
    sources = {"model": ("mlp",), "neuron": ("LIF", "ATan"), "train": ("fit",)}
    found = {
        f"{section}.{key}": default
        for section, names in sources.items()
        for name in names
        for key, default in written(name).items()
    }
    return found | DEFAULTS


def needed(default: Any) -> Any:
    """A default as pydantic has it."""
    return ... if default is Parameter.empty else default
