"""Checkpoints: one safetensors file, with one JSON string in its metadata.

Tensors are named ``net.<parameter>``, ``rule.<name>``, ``ema.<parameter>`` and
``optimizer.<parameter>.<moment>``; the JSON holds what is needed to build the network and the rule
again, and where the training stands. A file appears whole or not at all, and says its checksum;
one of an earlier version, which has none, is believed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.rules.state import PREFIX

FORMAT = 1
KEY, CHECKSUM = "synaptrace", "sha256"
Tensors = dict[str, Tensor]


def save(path: Path, parts: Mapping[str, Mapping[str, Tensor]], meta: Mapping[str, Any]) -> None:
    """Write ``parts`` ({"net": state_dict, …}) and ``meta`` (JSON-able) to ``path`` in one move.

    Raises:
        UserError: the file can't be written; the one that was there is intact.
    """
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, state in parts.items()
        for name, tensor in state.items()
    }
    header = json.dumps({"format": FORMAT, **meta}, sort_keys=True, allow_nan=False)
    write_atomic(path, to_bytes(tensors, {KEY: header, CHECKSUM: digest(header, tensors)}))


def digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 of the description and of every tensor's name, type, shape and bytes."""
    found = hashlib.sha256(header.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the metadata of a checkpoint.

    Raises:
        UserError: the file is missing, truncated, changed, foreign, or of a newer format.
    """
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            header = said.get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        changed = CHECKSUM in said and said[CHECKSUM] != digest(header or "", tensors)
        meta = json.loads(header) if header is not None and not changed else None
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise UserError(f"{path}: can't be read ({reason})") from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: truncated, or not a checkpoint ({error})") from error
    if changed:
        raise UserError(f"{path}: damaged: its content has changed since it was written")
    if not isinstance(meta, dict) or not isinstance(meta.get("format"), int):
        raise UserError(f"{path}: a safetensors file, but no checkpoint of synaptrace")
    if meta["format"] > FORMAT:
        raise UserError(
            f"{path}: written by a newer synaptrace (format {meta['format']}, this one reads "
            f"up to {FORMAT}); update synaptrace"
        )
    return tensors, meta


def part(tensors: Tensors, name: str) -> Tensors:
    """The tensors of one part, its name taken off."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in tensors.items()
        if key.startswith(f"{name}.")
    }


def evaluated(tensors: Tensors) -> Tensors:
    """The network's weights as evaluation sees them: averaged where there is an average."""
    return part(tensors, "ema") or part(tensors, "net")


def restore(module: nn.Module, tensors: Tensors, path: Path) -> None:
    """Load a part into ``module``, each tensor checked.

    Raises:
        UserError: naming the file and the tensor that is missing, unknown or of another shape.
    """
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name.startswith(PREFIX):
            continue  # what a rule keeps from sequence to sequence; a fresh one has none of it
        if name not in tensors:
            raise UserError(f"{path}: tensor {name} is missing")
        if name not in wanted:
            raise UserError(f"{path}: tensor {name} has no place in this network or rule")
        if wanted[name].shape != tensors[name].shape:
            raise UserError(
                f"{path}: tensor {name} has shape {tuple(tensors[name].shape)}, "
                f"not {tuple(wanted[name].shape)}"
            )
    module.load_state_dict(tensors)


def optimizer_state(optimizer: torch.optim.Optimizer, names: Iterable[str]) -> Tensors:
    """The optimizer's moments, by parameter name; ``names`` in the order of its parameters."""
    state = optimizer.state_dict()["state"]
    return {
        f"{name}.{key}": value
        for index, name in enumerate(names)
        for key, value in state.get(index, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Tensors, names: Iterable[str]
) -> None:
    """Put the moments of `optimizer_state` back; its learning rate is left as it is."""
    state = {index: part(tensors, name) for index, name in enumerate(names)}
    kept = {index: moments for index, moments in state.items() if moments}
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": kept, "param_groups": groups})
