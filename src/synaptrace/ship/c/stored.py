"""One layer's weights in whole numbers: the powers of two, with which no sum overflows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synaptrace.errors import UserError

Array = NDArray[Any]
BITS = {"int16": 16, "int8": 8}
POINT = 16
"""Bits of a decay after the point."""
FINEST, LARGEST = 24, 2**31 - 1
COARSEST = 16
"""A threshold is at least so many of the membrane's units."""
ROOM = 2.0
"""How many times as large as the largest weights that learn may become."""
SMALLEST, COARSEST_LEARNED = 2.0**-4, 2**7
"""Weights that learn may at least become so large, and that at least so much in their units."""
LONGER = 4
"""How many times longer than in training a sequence may be, where something doesn't decay."""


@dataclass(frozen=True)
class Stored:
    """A hidden layer, or the readout, in whole numbers.

    Args:
        point: bits after the point of membranes.
        scale, own_scale: of weights.
        most, own_most: where weights that learn stop.
    """

    weight: Array
    recurrent: Array | None
    decay: int
    threshold: int
    gain: int
    own_gain: int
    point: int = 0
    scale: int = 0
    own_scale: int = 0
    most: int = 0
    own_most: int = 0


def store(
    weight: Array, own: Array | None, bits: int, decay: float, threshold: float, power: int,
    most: float, steps: int, where: str, learns: bool = False, room: float = 1.0,
) -> Stored:  # fmt: skip
    """One layer's numbers. ``most``: the largest input, ``power``: its power of two; sums may be
    ``room`` times as large as these weights can lead to."""
    columns = (0,) if weight.ndim == 2 else (0, 1, 2)
    sizes = [limits(each, learns) for each in (weight, own) if each is not None]
    drive = most * sizes[0].sum(columns).max()
    if own is not None:
        drive += sizes[1].sum(0).max()
    kept = LONGER * steps if decay == 1 else min(LONGER * steps, 1 / (1 - decay))
    largest = 1.1 * room * (drive * kept + threshold)  # rounded weights are a little larger
    q = min(FINEST, math.floor(math.log2(LARGEST / max(largest, 1e-9))))
    choose = widest if learns else finest
    k = choose(weight, bits, q - power)
    k_own = 0 if own is None else choose(own, bits, q)
    coarse = 0 < threshold * 2.0**q < COARSEST
    if coarse or min(q - power, k, k_own) < 0:
        raise UserError(f"--precision: the weights of {where} are too large for whole numbers")
    gain = 2 ** min(q - power - k, 15)
    q = int(math.log2(gain)) + power + k
    k_own = min(k_own, q)
    stops = [
        0 if each is None else int(limits(each, True).max() * 2.0**scale)
        for each, scale in ((weight, k), (own, k_own))
    ]
    if learns and min(stop for stop in stops if stop) < COARSEST_LEARNED:
        raise UserError(
            f"--learn: {where} has too many inputs, or too large ones, to learn in whole numbers; "
            "use --precision float32"
        )
    return Stored(
        cut(weight, k, bits), None if own is None else cut(own, k_own, bits),
        round(decay * 2**POINT), round(threshold * 2.0**q), gain, 2 ** (q - k_own),
        q, k, k_own, *stops,
    )  # fmt: skip


def limits(weight: Array, learns: bool) -> Array:
    """The largest sizes that weights can have, of each one."""
    sizes: Array = np.abs(weight)
    return np.full_like(sizes, max(ROOM * sizes.max(), SMALLEST)) if learns else sizes


def widest(weight: Array, bits: int, most: int) -> int:
    """The power of two that holds weights which learn, at most ``most``."""
    return min(math.floor(math.log2((2 ** (bits - 1) - 1) / limits(weight, True).max())), most)


def finest(weight: Array, bits: int, most: int) -> int:
    """The power of two for weights with the least mean square error, at most ``most``."""
    largest = float(np.abs(weight).max())
    fits = math.floor(math.log2((2 ** (bits - 1) - 1) / max(largest, 2.0**-FINEST)))
    powers = sorted({min(k, most) for k in (fits, fits + 1, fits + 2)})
    return min(powers, key=lambda k: float(np.square(cut(weight, k, bits) / 2.0**k - weight).sum()))


def cut(weight: Array, power: int, bits: int) -> Array:
    """Weights times 2^power, rounded, within ``bits``."""
    most = 2 ** (bits - 1) - 1
    return np.clip(np.rint(weight * 2.0**power), -most, most).astype(np.int64)
