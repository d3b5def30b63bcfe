"""The networks that can be built: dense, convolutional, and the published VGGs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from synaptrace.errors import UserError
from synaptrace.layers import NO_POOL, Conv, Dense, Pool, Shape, stack
from synaptrace.network import Network
from synaptrace.neuron import LIF


def mlp(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    *,
    neuron: LIF | None = None,
    recurrent: bool = False,
    readout_decay: float = 1.0,
    gain: float = 1.0,
    standardise: bool = False,
    precision: str = "float32",
    generator: torch.Generator | None = None,
) -> Network:
    """A dense network: inputs → hidden… → classes.

    Its weights are (outputs, inputs), recurrent ones (outputs, outputs); it has no biases.

    Args:
        inputs: numbers in one step of one sample.
        hidden: neurons of each hidden layer, at least one layer.
        classes: neurons of the readout.
        neuron: the hidden neurons' settings; None: `LIF()`. Decays are factors per time step.
        recurrent: hidden layers see their own spikes of the step before.
        readout_decay: α of the readout, a factor per time step; 1 sums for ever.
        gain: factor on the initial input weights of every hidden layer after the first, and of
            a rule's label projection; deep networks stay silent without (3 works for 3 layers).
        standardise: use standardised weights (see `layers`).
        precision: "bfloat16" computes products in bfloat16; state and weights stay as they are.
        generator: draws the initial weights; None: PyTorch's global one.

    Returns:
        a float32 network on the CPU, for steps (B, inputs) or of any shape that flattens to that.

    Raises:
        UserError: no hidden layer, another number of decays than of layers, an unknown precision.
    """
    neuron = neuron or LIF()
    if isinstance(hidden, int):
        raise UserError(f"model.hidden: {hidden} should be a list, as [{hidden}]")
    if not hidden:
        raise UserError("model.hidden: needs at least one hidden layer")
    sizes, layers = [inputs, *hidden], len(hidden)
    options = _weights(standardise, precision, generator)
    made = [
        Dense(
            sizes[i], sizes[i + 1], neuron=neuron.layer(i, layers), recurrent=recurrent,
            gain=gain if i else 1.0, **options,
        )
        for i in range(layers)
    ]  # fmt: skip
    readout = Dense(sizes[-1], classes, neuron=made[-1].neuron, **options)
    spec = {
        "kind": "mlp", "inputs": inputs, "hidden": list(hidden), "classes": classes,
        "neuron": neuron.spec, "recurrent": recurrent, "readout_decay": readout_decay,
        "gain": gain, "standardise": standardise, "precision": precision,
    }  # fmt: skip
    return Network(made, readout, (inputs,), spec)


def conv(
    channels: Sequence[tuple[int, Pool]],
    *,
    in_shape: Shape,
    classes: int,
    neuron: LIF | None = None,
    standardise: bool = False,
    readout_decay: float = 1.0,
    gain: float = 1.0,
    precision: str = "float32",
    generator: torch.Generator | None = None,
) -> Network:
    """A convolutional network: 3×3 convolutions with padding 1, then a dense readout.

    A layer's weights are (channels, input channels, 3, 3); it has no biases and is never recurrent.

    Args:
        channels: for each layer its channels and pool, as (64, ("max", 2)); pools are "none",
            "max", "avg" (kernel and stride n) and "aavg" (adaptive average to n×n).
        in_shape: (C, H, W) of one step, in channels and pixels.
        classes, neuron, standardise, readout_decay, gain, precision, generator: as for `mlp`.

    Returns:
        a float32 network on the CPU, for steps (B, C, H, W).

    Raises:
        UserError: no layer, an in_shape that isn't (C, H, W), an unknown pool or one that leaves no
            pixel, another number of decays than of layers, an unknown precision.
    """
    neuron = neuron or LIF()
    in_shape = tuple(in_shape)
    if len(in_shape) != 3 or min(in_shape) < 1:
        raise UserError(f"model: a convolutional network needs input (C, H, W), not {in_shape}")
    if not channels:
        raise UserError("model.channels: needs at least one layer")
    plan = [(int(width), (str(pool[0]), int(pool[1]))) for width, pool in channels]
    options = _weights(standardise, precision, generator)
    made: list[Conv] = []
    for i, (width, pool) in enumerate(plan):
        shape = made[-1].out_shape if made else in_shape
        settings = neuron.layer(i, len(plan))
        made.append(
            Conv(
                shape,
                width,
                neuron=settings,
                pool=pool,
                gain=gain if i else 1.0,
                **options,
            )
        )
    flat = math.prod(made[-1].out_shape)
    readout = Dense(flat, classes, neuron=made[-1].neuron, **options)
    spec = {
        "kind": "conv", "channels": [[width, list(pool)] for width, pool in plan],
        "in_shape": list(in_shape), "classes": classes, "neuron": neuron.spec,
        "standardise": standardise, "readout_decay": readout_decay, "gain": gain,
        "precision": precision,
    }  # fmt: skip
    return Network(made, readout, in_shape, spec)


def layers(
    layers: Sequence[Mapping[str, Any]],
    *,
    in_shape: Shape,
    classes: int,
    neuron: LIF | None = None,
    standardise: bool = False,
    readout_decay: float = 1.0,
    gain: float = 1.0,
    precision: str = "float32",
    generator: torch.Generator | None = None,
) -> Network:
    """Convolutional and dense layers in any order, as a settings file says them (`layers.stack`).

    Args:
        layers: from the bottom up, {"conv": channels, "pool": ["max", 2]} or {"dense": neurons,
            "recurrent": True}, each perhaps with "neuron", settings that are its own. Convolutions
            are as in `conv`; one above a dense layer says "in_shape", (C, H, W).
        in_shape: of one step, (C, H, W) or (inputs,).
        classes, neuron, standardise, readout_decay, gain, precision, generator: as for `mlp`.

    Returns:
        a float32 network on the CPU, for steps (B, *in_shape).

    Raises:
        UserError: no layer, one of no known kind, or one that doesn't fit what is below it.
    """
    neuron, plan = neuron or LIF(), [dict(each) for each in layers]
    options = _weights(standardise, precision, generator)
    in_shape = tuple(in_shape)
    made = stack.make(plan, in_shape, neuron, gain, **options)
    if isinstance(made[0], Dense):
        in_shape = made[0].in_shape
    readout = Dense(math.prod(made[-1].out_shape), classes, neuron=made[-1].neuron, **options)
    spec = {
        "kind": "layers", "layers": plan, "in_shape": list(in_shape), "classes": classes,
        "neuron": neuron.spec, "standardise": standardise, "readout_decay": readout_decay,
        "gain": gain, "precision": precision,
    }  # fmt: skip
    return Network(made, readout, in_shape, spec)


def _plan(text: str) -> list[tuple[int, Pool]]:
    """'64 128m' → 64 unpooled, 128 with max 2; 'a' ends with an adaptive average to 2×2."""
    pools: dict[str, Pool] = {"": NO_POOL, "m": ("max", 2), "a": ("aavg", 2)}
    return [(int(word.rstrip("ma")), pools[word.lstrip("0123456789")]) for word in text.split()]


VGG = {
    6: _plan("64 128m 256 512m 512a"),
    9: _plan("64 128m 256 256m 512 512m 512 512a"),
    12: _plan("64 64m 128 128m 256 256 256m 512 512 512 512a"),
}
"""The published channel lists (arXiv 2509.13053)."""


def vgg(
    depth: int,
    *,
    in_shape: Shape,
    classes: int,
    neuron: LIF | None = None,
    standardise: bool = True,
    readout_decay: float = 1.0,
    precision: str = "float32",
    generator: torch.Generator | None = None,
) -> Network:
    """VGG-6, VGG-9 or VGG-12 as published, their channels and pools being those of `VGG`.

    Args:
        depth: 6, 9 or 12, the layers with the readout.
        in_shape: (C, H, W) of one step, C polarities and at least 4 × 4 pixels, 8 × 8 from VGG-9
            on; published: (2, 48, 48).
        standardise: use standardised weights, as published.
        classes, neuron, readout_decay, precision, generator: as for `mlp`.

    Returns:
        a float32 network on the CPU, for steps (B, C, H, W).

    Raises:
        UserError: another depth, and what `conv` raises.

    Source: Pes, Yin, Stuijk, Corradi, arXiv 2509.13053; Neuromorph. Comput. Eng. 6(1):014002
    (2026).
    """
    if depth not in VGG:
        raise UserError(f"model.depth: {depth} is none of {', '.join(map(str, VGG))}")
    return conv(
        VGG[depth], in_shape=in_shape, classes=classes, neuron=neuron, standardise=standardise,
        readout_decay=readout_decay, precision=precision, generator=generator,
    )  # fmt: skip


def build(spec: dict[str, Any], generator: torch.Generator | None = None) -> Network:
    """The network that ``spec`` describes (`Network.spec`), with fresh weights."""
    arguments = dict(spec)
    kind = arguments.pop("kind")
    neuron = LIF.from_spec(arguments.pop("neuron"))
    makers = {"mlp": mlp, "conv": conv, "vgg": vgg, "layers": layers}
    net: Network = makers[kind](**arguments, neuron=neuron, generator=generator)  # type: ignore[operator]
    return net


def _weights(
    standardise: bool, precision: str, generator: torch.Generator | None
) -> dict[str, Any]:
    """What all layers' weights have in common, as a layer takes it."""
    if precision not in ("float32", "bfloat16"):
        raise UserError(f"model.precision: {precision!r} is neither 'float32' nor 'bfloat16'")
    compute = torch.bfloat16 if precision == "bfloat16" else None
    return {"standardise": standardise, "compute": compute, "generator": generator}
