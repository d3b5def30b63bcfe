"""Spiking neural networks trained with local learning rules, Traces Propagation first.

The public names load their modules on first use, so that `synaptrace --help` needs no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synaptrace import runs, sweep
    from synaptrace.build import conv, mlp, vgg
    from synaptrace.network import Network
    from synaptrace.neuron import LIF, ATan, FastSigmoid, Triangle
    from synaptrace.rules.tp import TracesPropagation
    from synaptrace.ship.from_nir import from_nir
    from synaptrace.training.loop import fit
    from synaptrace.training.run import load

__all__ = [
    "LIF",
    "ATan",
    "FastSigmoid",
    "Network",
    "TracesPropagation",
    "Triangle",
    "conv",
    "fit",
    "from_nir",
    "load",
    "mlp",
    "runs",
    "sweep",
    "vgg",
]

_HOME = {
    "LIF": "neuron",
    "ATan": "neuron",
    "FastSigmoid": "neuron",
    "Triangle": "neuron",
    "Network": "network",
    "mlp": "build",
    "vgg": "build",
    "conv": "build",
    "TracesPropagation": "rules.tp",
    "fit": "training.loop",
    "from_nir": "ship.from_nir",
    "load": "training.run",
}


_ROOMS = ("runs", "sweep")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
