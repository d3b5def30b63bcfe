"""Learning in whole numbers: the constants of errors_fixed.c, where each number has its point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import source, tables
from synaptrace.ship.c.fixed import Fixed
from synaptrace.ship.c.plan import Plan
from synaptrace.ship.c.stored import POINT, Stored, store
from synaptrace.surrogate import SURROGATES

UNIT = 10
"""Bits of a trace after the point."""
FRACTION = 24
"""Bits of a rate and of a share."""
COOLEST, HOTTEST = 0.25, 1024.0
STEEPEST, STEEPEST_SIGMOID = 16.0, 2048.0
"""A surrogate's scale is below."""
POWERS: NDArray[np.int64] = np.rint(2 ** (15 - np.arange(65) / 64)).astype(np.int64)


@dataclass(frozen=True)
class Learning:
    """How a network learns, in whole numbers.

    Args:
        label: the label's projection, as a layer.
        presynaptic_decays, trace_decays: of the target stream's layers.
        label_decay, readout_decay: of the label's trace, and of the readout's.
        surrogate, scale: the surrogate's number from 1, and its scale in 16 bits.
        inverse_temperature: 1 / τ in 16 bits; 0: τ sets itself.
        pairs_margin: what the sum over pairs of rows is divided by for τ, then in 16 bits.
        input_unit: what an input of 1 adds to its trace.
    """

    label: Stored | None
    presynaptic_decays: tuple[int, ...]
    trace_decays: tuple[int, ...]
    label_decay: int
    readout_decay: int
    surrogate: int
    scale: int
    inverse_temperature: int
    pairs_margin: int
    input_unit: int


def learning(net: Network, rule: TracesPropagation, plan: Plan, whole: Fixed) -> Learning:
    """The constants of what ``plan`` says that learns of ``net``, stored as ``whole``.

    Raises:
        UserError: a temperature or a surrogate beyond what 16 bits hold.
    """
    tau, form = rule.contrast.temperature, net.layers[0].neuron.surrogate
    surrogate = [kind is type(form) for kind in SURROGATES.values()].index(True) + 1
    if plan.targets and tau != "auto" and not COOLEST <= tau <= HOTTEST:
        raise UserError(
            f"--learn: whole numbers take a rule.temperature of {COOLEST:g} to {HOTTEST:g}, not "
            f"{tau:g}; use --precision float32"
        )
    if plan.targets and form.scale >= (STEEPEST_SIGMOID if surrogate == 2 else STEEPEST):
        raise UserError(
            f"--learn: a surrogate's scale of {form.scale:g} is too steep for whole numbers; use "
            "--precision float32"
        )
    lams = [round(layer.neuron.lam * 2**POINT) for layer in net.layers]
    eligible = rule.presynaptic.eligibility
    betas = [whole.layers[i].decay if eligible else 0 for i in range(plan.targets)]
    pairs = plan.classes * max(plan.classes - 1, 1)
    return Learning(
        label(net, rule, whole.steps) if plan.targets else None, tuple(betas),
        tuple(lams[: plan.targets]), lams[0], lams[-1], surrogate, round(form.scale * 2**POINT),
        0 if tau == "auto" else round(2**POINT / tau),
        max(round(pairs * rule.contrast.margin * 2 ** (2 * UNIT - POINT)), 1),
        round(2.0 ** (UNIT - whole.input.power)) if 0 in plan.learns else 0,
    )  # fmt: skip


def label(net: Network, rule: TracesPropagation, steps: int) -> Stored:
    """The label's projection, an input of 1 a class."""
    weight, own = tables.by_input(rule.label), tables.recurrent(rule.label)
    return store(
        weight.astype(np.float64), None if own is None else own.astype(np.float64), 16,
        net.layers[0].neuron.beta, rule.label_threshold, 0, 1.0, steps, "the label",
    )  # fmt: skip


def constants(has: Learning, whole: Fixed) -> dict[str, object]:
    """What learning.h says of whole numbers."""
    top, one = whole.readout, has.label
    more = {
        "INVERSE_TEMPERATURE": has.inverse_temperature,
        "PAIRS_MARGIN": f"INT64_C({has.pairs_margin})",
        "BLOCKS (2 * TARGETS + 1)": "", "READOUT_POINT": top.point, "READOUT_SCALE": top.scale,
        "READOUT_MOST": top.most,
    }  # fmt: skip
    stored = [each for layer in whole.layers for each in (layer.weight, layer.recurrent)]
    scales = np.array([n for each in (*whole.layers, top) for n in (each.scale, each.own_scale)])
    return {
        "readout_trace_decay": has.readout_decay, "label_decay": has.label_decay,
        "label_threshold": 0 if one is None else one.threshold,
        "label_gain": 0 if one is None else one.gain,
        "label_own_gain": 0 if one is None else one.own_gain,
        "unit": 2**UNIT, "input_unit": has.input_unit, "scale": has.scale,
        "constants": "\n".join(f"#define {name} {value}".rstrip() for name, value in more.items()),
        "identity": tables.identity(
            each.astype(np.float32) for each in (*stored, top.weight, scales) if each is not None
        ),
    }  # fmt: skip


def target_tables(has: Learning, whole: Fixed, plan: Plan) -> str:
    """The powers of two, the label's weights, and how each layer learns."""
    made = [tables.values("const uint16_t powers[65]", POWERS)]
    if has.label is None:
        return made[0]
    rows = [
        [at.weight, at.recurrent, at.input_trace, at.recurrent_trace, beta, lam,
         each.point, each.scale, each.own_scale, each.most, each.own_most]
        for at, beta, lam, each in zip(
            plan.places, has.presynaptic_decays, has.trace_decays, whole.layers, strict=False
        )
    ]  # fmt: skip
    made += source.label_tables(has.label.weight, has.label.recurrent)
    return "\n".join([*made, source.learnings([[*map(str, row)] for row in rows])])
