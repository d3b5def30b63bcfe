"""The learning rules: one file and one line here each.

A rule is an `nn.Module` with ``start``, ``step``, ``finish`` and ``sequence`` (see `base.Rule`).
"""

import inspect
from importlib import import_module
from typing import Any

import torch

from synaptrace.errors import UserError
from synaptrace.meanings import meant
from synaptrace.network import Network
from synaptrace.rules.base import Rule

NAMES = {
    "tp": "tp.TracesPropagation",
    "ottt": "ottt.OTTT",
    "stllr": "stllr.STLLR",
    "tess": "tess.TESS",
    "lls": "lls.LLS",
    "espp": "espp.ESPP",
    "esdrtrl": "esdrtrl.ESDRTRL",
    "ell": "ell.ELL",
    "stsf": "stsf.STSF",
    "bptt": "bptt.BPTT",
    "eprop": "eprop.EProp",
    "ostl": "ostl.OSTL",
    "osttp": "osttp.OSTTP",
    "etlp": "etlp.ETLP",
    "decolle": "decolle.DECOLLE",
    "readout-only": "readout_only.ReadoutOnly",
}


def find(name: str) -> type[Rule]:
    """The rule's class. Raises UserError where there is no such rule."""
    if name not in NAMES:
        raise UserError(
            f"rule.name: no rule {name!r}; there are {', '.join(sorted(NAMES))}{meant(name, NAMES)}"
        )
    module, kind = NAMES[name].split(".")
    found: type[Rule] = getattr(import_module(f"{__name__}.{module}"), kind)
    return found


def options(name: str) -> dict[str, inspect.Parameter]:
    """The rule's own options: its constructor's arguments but the network and generator."""
    signature = inspect.signature(find(name), eval_str=True)
    return {k: p for k, p in signature.parameters.items() if k not in ("net", "generator")}


def build(
    net: Network, name: str = "tp", *, generator: torch.Generator | None = None, **settings: Any
) -> Rule:
    """The rule ``name`` on ``net``; ``generator`` draws the rule's own random weights."""
    return find(name)(net, generator=generator, **settings)
