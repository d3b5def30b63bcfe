"""Bytes of the C program, by where they lie: as a compiler for 32 bits lays its structs out.

Constants lie in flash, the structs that the caller gives in RAM. Code comes on top: `make size`
says how much, some KB.
"""

from __future__ import annotations

from collections.abc import Mapping

from synaptrace.data.audio.features import Features
from synaptrace.keyword.decide import PIECES
from synaptrace.ship.c import front_end
from synaptrace.ship.c.plan import Plan

REAL, INT = 4, 4
POINTER = 4
LAYER = 13 * INT + 4 * REAL + 2 * POINTER
NAME = 8
"""A class's, with the pointer to it: short ones."""
BYTES = {"float32": 4, "int16": 2, "int8": 1}
POWERS = 2 * 66
"""Of two, for softmax in whole numbers."""
STACK = 512
"""The most that a call takes with all that it calls: arrays are in the structs."""
ROWS = {
    "weights": "flash: weights that stay, and the initial ones of those that learn",
    "label": "flash: the label's projection",
    "rehearsed": "flash: sequences to rehearse",
    "tables": "flash: constants of layers, of the front end and of decisions",
    "state": "RAM: membranes, spikes, logits",
    "learned": "RAM: weights that learn",
    "gradients": "RAM: their gradients",
    "optimizer": "RAM: moments",
    "targets": "RAM: the classes' stream, traces, errors",
    "features": "RAM: the front end, and decisions",
    "stack": "RAM: the stack, at most",
}


def count(
    plan: Plan, ears: Features | None = None, rehearsed: int = 0, known: int | None = None
) -> dict[str, int]:
    """Bytes by the names of `ROWS`; of the front end ``ears`` and of ``rehearsed`` bytes too.

    Args:
        known: bytes of the utterances that a stream's words are held against; None: none are.
    """
    weights = sum(layer.weights + own(layer.neurons, layer.recurrent) for layer in plan.layers)
    weights += plan.outputs * plan.classes
    found = dict.fromkeys(ROWS, 0)
    found["weights"] = weights * BYTES[plan.precision]
    found["tables"] = len(plan.layers) * LAYER + plan.classes * NAME
    found["state"] = state(plan)
    found["stack"], found["rehearsed"] = STACK, rehearsed
    if ears is not None:
        size, bands = ears.mel.size, ears.mel.bands
        mel = int((ears.mel.matrix != 0).sum())
        found["tables"] += (
            REAL * (3 * size + mel + 2 * front_end.standardised(ears)) + 3 * INT * bands
        )
        spikes, pcen = ears.encoding == "delta", ears.form == "pcen"
        found["features"] = REAL * (3 * size + (1 if spikes else 2) * bands + pcen * bands)
        found["features"] += INT * (spikes or pcen) + 2 * REAL * (ears.form == "relative")
    if known is not None:
        found["tables"] += known + INT * (plan.classes + 1)
        taken = 4 if plan.precision == "float32" else 2
        found["features"] += REAL * (PIECES + 6 + 2 * plan.outputs + plan.inputs)
        found["features"] += aligned(2 * plan.outputs) + aligned(taken * plan.inputs)
    if plan.learning:
        learning(plan, found)
    return found


def own(neurons: int, recurrent: bool) -> int:
    """Weights from a layer to itself."""
    return neurons**2 if recurrent else 0


def state(plan: Plan) -> int:
    """Of struct model."""
    layers = len(plan.layers)
    pointers = POINTER * (2 * layers + 1)
    spikes = aligned(plan.place * plan.neurons)
    pooled = INT + aligned(plan.place * plan.pooled) + 2 * REAL * plan.pooled if plan.pooled else 0
    return pointers + REAL * (plan.neurons + plan.classes) + INT * layers + spikes + pooled


def learning(plan: Plan, found: dict[str, int]) -> None:
    """Of struct learner, and of what it needs in flash."""
    whole, size = plan.precision != "float32", BYTES[plan.precision]
    found["learned"], found["gradients"] = aligned(size * plan.learned), REAL * plan.learned
    numbers = plan.traces + plan.classes + 2  # traces, errors, share and label
    if whole:  # a gradient is the velocity too
        found["tables"] += POWERS
        numbers += 2 * plan.targets + 2
    else:
        found["optimizer"] = REAL * (plan.learned * (1 + plan.adam) + 2 * plan.adam)
    if plan.targets:
        first = plan.layers[0]
        label = first.neurons * plan.classes + own(first.neurons, first.recurrent)
        found["label"] = size * label
        found["tables"] += plan.targets * (6 + 5 * whole) * REAL + POINTER
        rows = plan.classes * plan.target_neurons
        numbers += 1 + plan.classes + 2 * rows + plan.presynaptic + plan.target_neurons
        found["targets"] = INT * plan.classes * plan.targets + aligned(plan.place * rows)
    found["targets"] += REAL * numbers


def aligned(size: int) -> int:
    """``size`` up to a whole number of words."""
    return -(-size // 4) * 4


def flash(found: Mapping[str, int]) -> int:
    """Bytes of constants."""
    return sum(size for name, size in found.items() if ROWS[name].startswith("flash"))


def ram(found: Mapping[str, int]) -> int:
    """Bytes of RAM, the stack among them."""
    return sum(found.values()) - flash(found)
