"""The data sets: one module and one line here each.

A module has ``load(*, path=None, batch_size=64, …) -> Dataset``; what its loader takes beyond
these two are the data set's own options. It may have ``read_file(path, **options) -> events
(T, *shape)`` for files of its own kind, such as a recording or a picture, and ``read_npy`` likewise
for .npy files, None where one holds no such recording. They name the options that they need, and
may ask for ``features``, how sound became events in training (`Meta.features`), and ``dataset``, a
function that gives the data that were trained on. Where a default has come to mean other classes,
``recorded(settings, classes)`` gives the settings that mean those of an earlier training.

A data set of your own is such a module: a file that the command line names (``--data.file``), whose
name is the set's, or an entry point of the group ``synaptrace.data`` of an installed package.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from synaptrace import own
from synaptrace.errors import UserError, short
from synaptrace.meanings import meant
from synaptrace.yaml_files import Text, read_as

if TYPE_CHECKING:
    from torch import Tensor

    from synaptrace.data.dataset import Dataset
    from synaptrace.network import Network

__all__ = ["load", "names", "options"]

NAMES = {
    "digits": "sets.digits",
    "dvscifar10": "sets.dvscifar10",
    "dvsgesture": "sets.dvsgesture",
    "folder": "sets.folder",
    "fsdd": "sets.fsdd",
    "kws01": "sets.kws01",
    "nmnist": "sets.nmnist",
    "nmnist-sim": "simulate.nmnist_sim",
    "shd": "sets.shd",
    "speechcommands": "sets.speechcommands",
    "ssc": "sets.ssc",
    "tensors": "sets.tensors",
}

GROUP = "synaptrace.data"
"""The entry points by which an installed package offers data sets, each its module."""


def names() -> list[str]:
    """The names of all data sets: those that come along, and those of installed packages."""
    return sorted({*NAMES, *own.offered(GROUP)})


def module(name: str) -> Any:
    """The data set's module. Raises UserError where there is no such data set."""
    if name in NAMES:
        return import_module(f"{__name__}.{NAMES[name]}")
    found: Any = own.module("data.file", name)
    if found is None and (entry := own.offered(GROUP).get(name)) is not None:
        found = entry()
    if found is None:
        raise UserError(
            f"data.name: no data set {name!r}; there are {', '.join(names())}"
            f"{meant(name, names())}; "
            "one of your own is given as --data.file FILE.py"
        )
    return found


def find(name: str) -> Callable[..., Dataset]:
    """The data set's loader. Raises UserError where there is no such data set."""
    loader: Callable[..., Dataset] = module(name).load
    return loader


def options(name: str) -> dict[str, Parameter]:
    """The data set's own options: its loader's arguments but path and batch size."""
    found = signature(find(name), eval_str=True)
    return {k: p for k, p in found.parameters.items() if k not in ("path", "batch_size")}


def check(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the data set's loader takes them. Raises UserError for one that it doesn't."""
    known = options(name)
    checked = {}
    for key, value in settings.items():
        if key not in known:
            has = ", ".join(known) or "none"
            raise UserError(
                f"data.{key}: no such option of {name}; it has {has}{meant(key, known)}"
            )
        kind = known[key].annotation
        if isinstance(value, Text):
            value = read_as(kind, value, f"data.{key}")
        try:
            checked[key] = TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UserError(f"data.{key}: {short(value)} doesn't fit ({reason})") from error
    return checked


def load(
    name: str, *, path: str | Path | None = None, batch_size: int | None = None, **settings: Any
) -> Dataset:
    """The data set ``name``.

    Args:
        path: where its files lie; None: where `synaptrace data fetch` puts them.
        batch_size: samples in a batch; None: the data set's own default.

    Raises:
        UserError: no such data set or option, or files that can't be read.
    """
    loader, settings = find(name), check(name, settings)
    if batch_size is not None:
        settings["batch_size"] = batch_size
    return loader(path=None if path is None else Path(path), **settings)


def recorded(settings: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Settings, with ``name``, as they were meant by a training that has recorded ``classes``."""
    meant = getattr(module(settings["name"]), "recorded", None)
    return dict(settings) if meant is None else meant(settings, classes)


def read_file(path: Path, net: Network, settings: Mapping[str, Any]) -> Tensor:
    """One file as events (T, *in_shape) for ``net``: .npy events, or what the data set reads.

    Args:
        settings: of the data set that ``net`` was trained on: its name, its options, and what
            else a reader may ask for.

    Raises:
        UserError: naming the file and what is wrong with it.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    npy = path.suffix.lower() == ".npy"
    reader = getattr(module(settings["name"]), "read_npy" if npy else "read_file", None)
    events: Tensor | None = None
    if reader is not None:
        known = list(signature(reader).parameters)[1:]
        events = reader(path, **{key: settings[key] for key in known if key in settings})
    elif not npy:
        raise UserError(f"{path}: {settings['name']} reads .npy events only")
    if events is None:
        events = _read_array(path)
    if not len(events) or math.prod(events.shape[1:]) != math.prod(net.in_shape):
        raise UserError(
            f"{path}: events of shape {tuple(events.shape)}; the network needs "
            f"(steps, {', '.join(map(str, net.in_shape))})"
        )
    return events if len(net.in_shape) == 1 else events.reshape(-1, *net.in_shape)


def _read_array(path: Path) -> Tensor:
    import numpy
    import torch

    from synaptrace.data import npy

    array = npy.read(path)
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path}: not an .npy array of numbers (but of {array.dtype})")
    events = torch.from_numpy(array.astype(numpy.float32))
    if not events.dim() or not events.isfinite().all():
        raise UserError(f"{path}: holds NaN or infinite values, or a single number")
    return events
