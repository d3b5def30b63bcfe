"""Layers in any order, from settings that a file can hold and back to them.

    [{conv: 8, pool: [max, 2]}, {dense: 64, recurrent: true}, {conv: 4, in_shape: [1, 8, 8]}]

``conv`` and ``dense`` say how many channels or neurons; ``in_shape`` which map a convolution sees
in the neurons below, where these form none; ``neuron`` what differs from the settings of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from synaptrace.errors import UserError, short
from synaptrace.layers.conv import NO_POOL, Conv
from synaptrace.layers.dense import Dense
from synaptrace.layers.gradients import Shape
from synaptrace.neuron import LIF

KEYS = {"dense": ("recurrent", "neuron"), "conv": ("pool", "in_shape", "neuron")}
"""The kinds of layer, and what each may say beside its size."""
MOST = 1_000_000
"""Neurons or channels of a layer."""


def make(
    plan: Sequence[Mapping[str, Any]], in_shape: Shape, neuron: LIF, gain: float = 1.0,
    **options: Any,
) -> list[Dense | Conv]:  # fmt: skip
    """The layers of ``plan``, from the bottom up, on steps of ``in_shape``.

    Args:
        gain: factor on the initial weights of every layer but the first.
        options: what `Dense` and `Conv` both take.

    Raises:
        UserError: a layer of no known kind, or that doesn't fit the one below.
    """
    if not plan:
        raise UserError("model.layers: needs at least one layer")
    made: list[Dense | Conv] = []
    for i, each in enumerate(plan):
        where = f"model.layers: layer {i}"
        kind, size, pool = checked(each, where)
        below = made[-1].out_shape if made else in_shape
        own = neuron.layer(i, len(plan))
        if each.get("neuron"):
            own = neuron_of(own, each["neuron"], where)
        options |= {"gain": gain if i else 1.0}
        if kind == "dense":
            recurrent = bool(each.get("recurrent", False))
            made.append(Dense(math.prod(below), size, neuron=own, recurrent=recurrent, **options))
            continue
        sees = whole(each.get("in_shape", below), f"{where}: in_shape")
        if len(sees) != 3 or math.prod(sees) != math.prod(below):
            raise UserError(
                f"{where}: a convolution needs maps (C, H, W), and below it there are "
                f"{'×'.join(map(str, below))}; say in_shape: [C, H, W] of as many"
            )
        made.append(Conv(sees, size, neuron=own, pool=pool, **options))
    return made


def checked(each: Any, where: str) -> tuple[str, int, tuple[str, int]]:
    """A layer's kind, size and pool. Raises UserError where it says them not, or something else."""
    kinds = [kind for kind in KEYS if isinstance(each, Mapping) and kind in each]
    if len(kinds) != 1:
        raise UserError(f"{where}: {short(each)} should be dense: NEURONS or conv: CHANNELS")
    kind = kinds[0]
    if unknown := sorted(map(str, each.keys() - {kind, *KEYS[kind]})):
        raise UserError(f"{where}: {kind} has no {unknown[0]!r}; it has {', '.join(KEYS[kind])}")
    (size,) = whole([each[kind]], f"{where}: {kind}")
    pool = each.get("pool", NO_POOL)
    if not isinstance(pool, list | tuple) or len(pool) != 2:
        raise UserError(f"{where}: pool {short(pool)} should be [max, 2], [avg, 2] or [aavg, 2]")
    return kind, size, (str(pool[0]), whole(pool[1:], f"{where}: pool")[0])


def whole(numbers: Any, where: str) -> Shape:
    """Positive whole numbers. Raises UserError where they are none."""
    given = numbers if isinstance(numbers, list | tuple) else [numbers]
    for each in given:
        if not isinstance(each, int) or isinstance(each, bool) or not 1 <= each <= MOST:
            raise UserError(f"{where}: {short(each)} should be a whole number from 1 to {MOST}")
    return tuple(given)


def neuron_of(neuron: LIF, changes: Any, where: str) -> LIF:
    """``neuron`` with some settings of its own. Raises UserError where there are none such."""
    spec = neuron.spec
    if not isinstance(changes, Mapping) or changes.keys() - spec.keys():
        raise UserError(f"{where}: neuron {short(changes)} should be some of {', '.join(spec)}")
    try:
        return LIF.from_spec({**spec, **changes}).layer(0, 1)
    except TypeError as error:
        raise UserError(f"{where}: neuron {short(changes)} doesn't fit ({error})") from error


def describe(
    layers: Sequence[Dense | Conv], readout: Dense, in_shape: Shape, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What `build.build` makes these layers of again, ``settings`` being the network's own.

    Raises:
        UserError: layers that don't fit one another or of a kind of your own.
    """
    for i, layer in enumerate(layers):
        if type(layer) not in (Dense, Conv):
            raise UserError(f"net: layer {i} is a {type(layer).__name__}, no Dense or Conv layer")
    neuron, below = layers[0].neuron.spec, in_shape
    plan = []
    for i, layer in enumerate(layers):
        if math.prod(layer.in_shape) != math.prod(below):
            raise UserError(
                f"net: layer {i} takes {'×'.join(map(str, layer.in_shape))}, and below it there "
                f"are {'×'.join(map(str, below))}"
            )
        plan.append(_described(layer, below, neuron))
        below = layer.out_shape
    if math.prod(readout.in_shape) != math.prod(below):
        raise UserError(
            f"net: the readout takes {readout.in_shape[0]}, and below it there are "
            f"{'×'.join(map(str, below))}"
        )
    every = [*layers, readout]
    for what in ("standardise", "compute"):
        if len({getattr(layer, what) for layer in every}) > 1:
            raise UserError(f"net: {what} has to be the same in all layers and the readout")
    return {
        "kind": "layers", "layers": plan, "in_shape": list(in_shape),
        "classes": readout.channels, "neuron": neuron, "standardise": readout.standardise,
        "precision": "float32" if readout.compute is None else str(readout.compute)[6:],
        **settings,
    }  # fmt: skip


def _described(layer: Dense | Conv, below: Shape, neuron: Mapping[str, Any]) -> dict[str, Any]:
    """A layer as `make` takes it."""
    said: dict[str, Any] = {}
    if isinstance(layer, Conv):
        said["conv"] = layer.channels
        if layer.kind != "none":
            said["pool"] = [layer.kind, layer.size]
        if layer.in_shape != below:
            said["in_shape"] = list(layer.in_shape)
    else:
        said["dense"] = layer.channels
        if layer.recurrent is not None:
            said["recurrent"] = True
    own = {key: value for key, value in layer.neuron.spec.items() if value != neuron[key]}
    return said | ({"neuron": own} if own else {})
