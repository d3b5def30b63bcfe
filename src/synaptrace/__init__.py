"""Spiking neural networks trained with local learning rules, Traces Propagation first.

The public names load their modules on first use, so that `synaptrace --help` needs no PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from synaptrace import data, rules, runs, sweep
    from synaptrace.build import conv, mlp, vgg
    from synaptrace.data.loaders import Loaders
    from synaptrace.data.tensors import TensorData
    from synaptrace.layers import Conv, Dense
    from synaptrace.network import Network
    from synaptrace.neuron import LIF
    from synaptrace.rules.tp import TracesPropagation
    from synaptrace.ship.from_nir import from_nir
    from synaptrace.surrogate import ATan, FastSigmoid, Surrogate, Triangle
    from synaptrace.training.assess import evaluate
    from synaptrace.training.loop import fit
    from synaptrace.training.run import load

__all__ = [
    "LIF",
    "ATan",
    "Conv",
    "Dense",
    "FastSigmoid",
    "Loaders",
    "Network",
    "Surrogate",
    "TensorData",
    "TracesPropagation",
    "Triangle",
    "conv",
    "data",
    "evaluate",
    "fit",
    "from_nir",
    "load",
    "mlp",
    "rules",
    "runs",
    "sweep",
    "vgg",
]

_HOME = {
    "LIF": "neuron",
    "ATan": "surrogate",
    "FastSigmoid": "surrogate",
    "Surrogate": "surrogate",
    "Triangle": "surrogate",
    "Conv": "layers",
    "Dense": "layers",
    "Network": "network",
    "mlp": "build",
    "vgg": "build",
    "conv": "build",
    "TracesPropagation": "rules.tp",
    "Loaders": "data.loaders",
    "TensorData": "data.tensors",
    "evaluate": "training.assess",
    "fit": "training.loop",
    "from_nir": "ship.from_nir",
    "load": "training.run",
}

_ROOMS = ("data", "rules", "runs", "sweep")
"""Packages whose own names are public: `st.rules.EProp`, `st.data.load`, `st.sweep.run`."""


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
