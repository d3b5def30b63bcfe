"""The event camera that recorded N-MNIST, as fitted to 500 of its recordings.

The figures are those that

    python -m synaptrace.bench camera --data.path MNIST --data.real NMNIST --fit

prints; it sees recordings 1 to 500 of the training set and the images they are of. An image of
MNIST is dark on a bright ground, as the signs of the events and of the leak say: ON is brighter.

The sensor is an ATIS (Posch, Matolin, Wohlgenannt, IEEE J. Solid-State Circuits 46(1):259, 2011)
on a pan-tilt unit (Orchard et al., Front. Neurosci. 9:437, 2015). The first move is timed alike in
all recordings, to a millisecond; the second and the third wander by a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synaptrace.data.sets.nmnist import SACCADES, SENSOR
from synaptrace.data.simulate.camera import Camera

PAUSES = (80.0, 105.0, 195.0, 220.0)
"""Milliseconds where one move has ended and the next has not begun, twice: shifts change there."""

KNOT = 5.0
"""Milliseconds between the points of the path."""

ROWS: tuple[float, ...] = (
    1.46, 1.51, 1.58, 1.70, 1.88, 2.09, 2.39, 2.87, 3.43, 4.10, 4.81, 5.39, 5.90, 6.21, 6.43, 6.52,
    6.57, 6.59, 6.58, 6.54, 6.50, 6.44, 6.40, 6.40, 6.38, 6.36, 6.22, 5.87, 5.40, 4.82, 4.19, 3.61,
    3.06, 2.51, 2.02, 1.71, 1.54, 1.46, 1.44, 1.46, 1.48, 1.50, 1.52, 1.50, 1.49, 1.48, 1.50, 1.49,
    1.56, 1.59, 1.55, 1.51, 1.46, 1.39, 1.32, 1.26, 1.21, 1.17, 1.18, 1.20, 1.21, 1.22, 1.23, 1.23,
)  # fmt: skip
COLUMNS: tuple[float, ...] = (
    0.51, 0.49, 0.47, 0.46, 0.42, 0.42, 0.39, 0.34, 0.32, 0.32, 0.40, 0.63, 1.01, 1.32, 1.61, 1.85,
    1.94, 1.98, 2.01, 2.03, 2.07, 2.13, 2.19, 2.26, 2.35, 2.50, 2.81, 3.22, 3.62, 4.02, 4.30, 4.44,
    4.53, 4.69, 4.91, 5.09, 5.22, 5.32, 5.37, 5.45, 5.54, 5.64, 5.73, 5.79, 5.83, 5.83, 5.67, 5.21,
    4.72, 4.26, 3.85, 3.41, 2.86, 2.27, 1.80, 1.44, 1.20, 0.98, 0.79, 0.68, 0.62, 0.61, 0.61, 0.61,
)  # fmt: skip
"""Where the image's corner lies on the sensor, in pixels, at every knot from 0 to 315 ms."""

JITTER = (0.7, 2.9, 2.4)
"""Standard deviation of the moves' times from one recording to another, milliseconds."""

SETTINGS = {
    "threshold": 0.171,
    "mismatch": 0.166,
    "dark": 0.214,
    "ground": 1.0,
    "blur": 0.605,
    "refractory": 1.0,
    "leak": 0.642,
    "moved": True,
}


def camera(
    shifts: Sequence[float] = (0.0, 0.0, 0.0),
    *,
    rows: Sequence[float] = ROWS,
    columns: Sequence[float] = COLUMNS,
    **settings: float,
) -> Camera:
    """The camera on its way through all three saccades, in steps of 1 ms.

    Args:
        shifts: milliseconds by which each move is late.
        rows, columns: another path, at every `KNOT`.
        settings: of the camera, in place of the fitted ones.
    """
    times = np.arange(SACCADES[-1] + 1)
    late = np.interp(times, PAUSES, [shifts[0], shifts[1], shifts[1], shifts[2]])
    knots = KNOT * np.arange(len(rows))
    path = [np.interp(times - late, knots, line).tolist() for line in (rows, columns)]
    chosen: dict[str, Any] = SETTINGS | settings
    return Camera(path=list(zip(*path, strict=True)), sensor=SENSOR, **chosen)
