"""The data sets: one module and one line here each.

A module has ``load(*, path=None, batch_size=64, …) -> Dataset``; what its loader takes beyond
these two are the data set's own options. It may have ``read_file(path, **options) -> events
(T, *shape)`` for files of its own kind, such as a recording or a picture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from synaptrace.errors import UserError

if TYPE_CHECKING:
    from synaptrace.data.dataset import Dataset

NAMES = {
    "digits": "digits",
    "dvscifar10": "dvscifar10",
    "dvsgesture": "dvsgesture",
    "folder": "folder",
    "fsdd": "fsdd",
    "kws01": "kws01",
    "nmnist": "nmnist",
    "nmnist-sim": "nmnist_sim",
    "shd": "shd",
    "speechcommands": "speechcommands",
    "ssc": "ssc",
}


def find(name: str) -> Callable[..., Dataset]:
    """The data set's loader. Raises UserError where there is no such data set."""
    if name not in NAMES:
        raise UserError(f"data.name: no data set {name!r}; there are {', '.join(sorted(NAMES))}")
    loader: Callable[..., Dataset] = import_module(f"{__name__}.{NAMES[name]}").load
    return loader


def options(name: str) -> dict[str, inspect.Parameter]:
    """The data set's own options: its loader's arguments but path and batch size."""
    signature = inspect.signature(find(name), eval_str=True)
    return {k: p for k, p in signature.parameters.items() if k not in ("path", "batch_size")}


def check(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the data set's loader takes them. Raises UserError for one that it doesn't."""
    known = options(name)
    checked = {}
    for key, value in settings.items():
        if key not in known:
            has = ", ".join(known) or "none"
            raise UserError(f"data.{key}: no such option of {name}; it has {has}")
        try:
            checked[key] = TypeAdapter(known[key].annotation).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise UserError(f"data.{key}: {value!r} doesn't fit ({reason})") from error
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
