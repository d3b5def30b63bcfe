"""The decision of a stream in C: what `keyword.decide` and a run's calibration say, in numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from synaptrace.data.audio.features import Features
from synaptrace.errors import UserError
from synaptrace.keyword import calibrated, decide
from synaptrace.keyword.calibrate import CONFIDENCE, Calibration
from synaptrace.network import Network
from synaptrace.ship.c import source
from synaptrace.ship.c.fixed import Fixed
from synaptrace.ship.c.tables import number, table, values
from synaptrace.training.job import Trained

ONE = 2**16
"""Of decays in whole numbers."""


@dataclass(frozen=True)
class Decision:
    """How sure a stream's words are (``judge``), and the parts of model.h and model.c."""

    judge: Calibration
    step: float
    """Seconds of a step."""
    decay: str
    """Of the logits, beside the network's own, as C has it."""
    unit: float
    """What 1 in the logits stands for."""

    @property
    def size(self) -> int:
        """Bytes of the utterances that are known."""
        return self.judge.known.numel()

    @property
    def header(self) -> str:
        """The part of model.h."""
        step, judge, settings = self.step, self.judge, decide.Settings()
        return source.fill("decision.h", {
            "pieces": decide.PIECES, "piece": max(round(decide.SPAN / decide.PIECES / step), 1),
            "above": number(decide.ABOVE), "lowest": number(decide.LOWEST),
            "hold": steps(settings.hold, step), "longest": steps(settings.longest, step),
            "click": steps(decide.CLICK, step), "early": number(decide.EARLY / step),
            "decay": self.decay, "unit": number(self.unit),
            "temperature": number(judge.temperature), "middle": number(judge.middle),
            "width": number(judge.width), "confidence": number(CONFIDENCE),
            "known": len(judge.labels),
        })  # fmt: skip

    def constants(self, classes: int) -> str:
        """The tables of model.c: utterances by their class."""
        order = self.judge.labels.argsort(stable=True)
        counts = self.judge.labels.bincount(minlength=classes).tolist()
        starts = [0, *itertools.accumulate(counts)]
        known = self.judge.known[order].numpy().astype(np.int64)
        return "\n".join([
            values("const uint8_t known_roots[KNOWN * 2 * OUTPUTS]", known),
            table("const int32_t known_start[CLASSES + 1]", [*map(str, starts)]),
        ])  # fmt: skip


def steps(seconds: float, step: float) -> int:
    """The fewest steps that last so long."""
    return next(n for n in itertools.count(1) if n * step >= seconds - 1e-9)


def judge(trained: Trained) -> Calibration:
    """The calibration of a run. Raises UserError where it has none."""
    found = calibrated.read(trained.run, trained.net)
    if found is None:
        raise UserError(
            f"--decide: {trained.run} has no calibration; "
            f"synaptrace evaluate {trained.run} --streams makes one"
        )
    return found


def find(judge: Calibration, net: Network, ears: Features, whole: Fixed | None) -> Decision:
    """How a network decides while it listens, in floating point or (``whole``) whole numbers.

    Raises:
        UserError: a readout that forgets faster than one that listens; a network that a stream
            without end takes beyond its bounds in whole numbers.
    """
    listening = decide.Settings().decay
    if net.readout_decay < listening:
        raise UserError(
            f"--decide: the readout's decay, {net.readout_decay:g}, is below {listening}"
        )
    share = listening / net.readout_decay
    unit, decay = 1.0, f"R({number(share)})"
    if whole is not None:
        if any(layer.decay >= ONE for layer in whole.layers):
            raise UserError(
                "--decide: a stream has no end, and without a decay sums overflow in it"
            )
        unit, decay = 2.0**-whole.readout.point, str(round(share * ONE))
    return Decision(judge, ears.mel.stride / ears.mel.rate, decay, unit)
