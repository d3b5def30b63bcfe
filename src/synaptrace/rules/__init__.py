"""The learning rules: one file and one line here each.

A rule is an `nn.Module` with ``start``, ``step``, ``finish`` and ``sequence`` (see `base.Rule`).
By class and by name: ``st.rules.EProp(net)`` and ``st.rules.make("eprop", net)`` are the same. A
rule of your own is a class that exists (``class Mine(Rule)`` with a ``name`` of its own), or an
entry point of the group ``synaptrace.rules`` of an installed package.
"""

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from synaptrace.errors import UserError
from synaptrace.meanings import meant
from synaptrace.network import Network
from synaptrace.own import known, offered
from synaptrace.rules.base import Rule

if TYPE_CHECKING:
    from synaptrace.rules.bptt import BPTT
    from synaptrace.rules.decolle import DECOLLE
    from synaptrace.rules.ell import ELL
    from synaptrace.rules.eprop import EProp
    from synaptrace.rules.esdrtrl import ESDRTRL
    from synaptrace.rules.espp import ESPP
    from synaptrace.rules.etlp import ETLP
    from synaptrace.rules.lls import LLS
    from synaptrace.rules.ostl import OSTL
    from synaptrace.rules.osttp import OSTTP
    from synaptrace.rules.ottt import OTTT
    from synaptrace.rules.readout_only import ReadoutOnly
    from synaptrace.rules.stllr import STLLR
    from synaptrace.rules.stsf import STSF
    from synaptrace.rules.tess import TESS
    from synaptrace.rules.tp import TracesPropagation

__all__ = [
    "BPTT",
    "DECOLLE",
    "ELL",
    "ESDRTRL",
    "ESPP",
    "ETLP",
    "LLS",
    "OSTL",
    "OSTTP",
    "OTTT",
    "STLLR",
    "STSF",
    "TESS",
    "EProp",
    "ReadoutOnly",
    "Rule",
    "TracesPropagation",
    "build",
    "find",
    "make",
    "names",
    "options",
]

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


GROUP = "synaptrace.rules"
"""The entry points by which an installed package offers rules, each its class."""


def __getattr__(name: str) -> Any:
    for module, kind in (each.split(".") for each in NAMES.values()):
        if kind == name:
            return getattr(import_module(f"{__name__}.{module}"), kind)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def names() -> list[str]:
    """The names of all rules: those that come along, and those of your own."""
    return sorted({*NAMES, *known(Rule), *offered(GROUP)})


def find(name: str) -> type[Rule]:
    """The rule's class: one that comes along, one of your own, or of an installed package.

    Raises:
        UserError: there is no such rule, or its package can't be loaded.
    """
    if name in NAMES:
        module, kind = NAMES[name].split(".")
        found: type[Rule] = getattr(import_module(f"{__name__}.{module}"), kind)
        return found
    own = known(Rule).get(name)
    if own is None and (entry := offered(GROUP).get(name)) is not None:
        own = entry()
        if not (isinstance(own, type) and issubclass(own, Rule)):
            raise UserError(f"rule.name: {name!r} of an installed package is no class of a Rule")
    if own is None:
        raise UserError(
            f"rule.name: no rule {name!r}; there are {', '.join(names())}"
            f"{meant(name, names())}; "
            "one of your own is given as --rule.file FILE.py"
        )
    return own


def options(name: str) -> dict[str, inspect.Parameter]:
    """The rule's own options: its constructor's arguments but the network and generator."""
    signature = inspect.signature(find(name), eval_str=True)
    return {k: p for k, p in signature.parameters.items() if k not in ("net", "generator")}


def make(
    name: str, net: Network, *, generator: torch.Generator | None = None, **settings: Any
) -> Rule:
    """The rule ``name`` on ``net``.

    Args:
        name: one of `names`.
        net: the network that it trains.
        generator: draws the rule's own random weights; None: PyTorch's global one.
        settings: the rule's own options (`options`).

    Raises:
        UserError: no such rule or option, or a network that the rule can't learn on.
    """
    if unknown := settings.keys() - options(name).keys():
        has = ", ".join(options(name)) or "none"
        raise UserError(f"rule.{min(unknown)}: no such option of {name}; it has {has}")
    return find(name)(net, generator=generator, **settings)


def build(
    net: Network, name: str = "tp", *, generator: torch.Generator | None = None, **settings: Any
) -> Rule:
    """The rule ``name`` on ``net``; ``generator`` draws the rule's own random weights."""
    return find(name)(net, generator=generator, **settings)
