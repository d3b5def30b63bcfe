"""A network from a NIR file: ours come back as they were, others' where they are such a network.

`nir_file` reads the file, `nir_chain` walks along its nodes; here is what they make.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synaptrace.build import conv, mlp
from synaptrace.errors import UserError, short
from synaptrace.files import parse_json
from synaptrace.network import Network
from synaptrace.neuron import LIF
from synaptrace.ship.dialects import DIALECTS, Dialect, dialect
from synaptrace.ship.nir_chain import Chain, chain
from synaptrace.ship.nir_file import read

SAME = 1e-9
"""Relative; what differs less than this is our own number, written and read again."""


def from_nir(path: str | Path, *, source: str | None = None, dt: float | None = None) -> Network:
    """The network in a NIR file.

    A file of ours says what NIR can't (trace decays, surrogate, the readout's decay); of another,
    these are the defaults, and the readout sums for ever unless the graph ends in an LI.

    Args:
        path: the file.
        source: the framework that wrote it, one of `DIALECTS`; None: what it says, else generic.
        dt: seconds in a time step; None: what the file says, else the framework's own.

    Returns:
        a float32 network on the CPU.

    Raises:
        UserError: the file can't be read, or holds what these networks can't do; no h5py.
    """
    path = Path(path)
    graph = read(path)
    said = graph.metadata
    name = said.get("target", "generic") if source is None else source
    if source is None and name not in DIALECTS:
        raise UserError(f"{path}: written for {short(name)}, which this synaptrace doesn't know")
    speech = dialect(name, "source")
    step = said.get("dt", speech.dt) if dt is None else dt
    if not isinstance(step, float | int | np.number) or not 0 < float(step) < math.inf:
        raise UserError(f"{path}: dt: {short(step)} is not a positive number of seconds")
    found = chain(path, graph, replace(speech, dt=float(step)))
    return _network(path, found, _settings(path, said), speech)


def _settings(path: Path, said: dict[str, Any]) -> dict[str, Any] | None:
    """What a file of ours states of the neuron, the readout and the gain; None: not ours."""
    if "network" not in said:
        return None
    spec = parse_json(str(said["network"]), f"{path}: metadata/network")
    try:
        neuron, decay = LIF.from_spec(spec["neuron"]), float(spec["readout_decay"])
        gain = float(spec.get("gain", 1.0))
        if not (0 <= decay <= 1 and math.isfinite(gain)):
            raise ValueError(f"a readout's decay of {decay}, a gain of {gain}")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: metadata/network describes no network ({error})") from error
    return {"neuron": neuron, "readout_decay": decay, "gain": gain}


def _network(path: Path, found: Chain, said: dict[str, Any] | None, speech: Dialect) -> Network:
    assert found.readout is not None
    layers, count = found.layers, len(found.layers)
    neuron: LIF = said["neuron"] if said else LIF(reset="soft" if speech.subtracts else "hard")
    reset = neuron.reset if speech.subtracts else "hard"
    neuron = replace(neuron, reset=reset, adaptation=0.0)  # whatever the metadata say
    mine = neuron.decay if isinstance(neuron.decay, tuple) else (neuron.decay,) * count
    decays = [layer.beta for layer in layers]
    if len(mine) == count:
        decays = [m if math.isclose(m, b, rel_tol=SAME) else b
                  for m, b in zip(mine, decays, strict=True)]  # fmt: skip
    thetas = {layer.theta for layer in layers}
    if len(thetas) > 1:
        raise UserError(f"{path}: its layers have different thresholds, {short(sorted(thetas))}")
    theta = thetas.pop()
    theta = neuron.threshold if np.float32(neuron.threshold) == np.float32(theta) else theta
    traces = neuron.trace_decay
    if isinstance(traces, tuple) and len(traces) != count:
        raise UserError(f"{path}: {len(traces)} trace decays for {count} hidden layers")
    one = len(set(decays)) == 1 and not isinstance(neuron.decay, tuple)
    neuron = replace(neuron, threshold=theta, decay=decays[0] if one else tuple(decays))
    more = {"readout_decay": found.readout_decay}
    if said:
        more = {"readout_decay": said["readout_decay"], "gain": said["gain"]}
    net = _build(path, found, neuron, more)
    weights = {"readout.weight": found.readout}
    for i, layer in enumerate(layers):
        weights[f"layers.{i}.weight"] = layer.weight
        if layer.recurrent is not None:
            weights[f"layers.{i}.recurrent"] = layer.recurrent
    net.load_state_dict({k: torch.from_numpy(v.astype(np.float32)) for k, v in weights.items()})
    return net


def _build(path: Path, found: Chain, neuron: LIF, more: dict[str, Any]) -> Network:
    """A network of these shapes, its weights not yet filled in."""
    assert found.readout is not None
    layers, classes = found.layers, len(found.readout)
    recurrent = {layer.recurrent is not None for layer in layers}
    if len(recurrent) > 1:
        raise UserError(f"{path}: some of its layers are recurrent, and some aren't")
    draws = torch.Generator()
    if layers[0].weight.ndim == 4:
        return conv(
            [(len(layer.weight), layer.pool) for layer in layers], in_shape=found.in_shape,
            classes=classes, neuron=neuron, generator=draws, **more,
        )  # fmt: skip
    return mlp(
        layers[0].weight.shape[1], [len(layer.weight) for layer in layers], classes,
        neuron=neuron, recurrent=recurrent.pop(), generator=draws, **more,
    )  # fmt: skip
