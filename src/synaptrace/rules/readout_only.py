"""Readout only: the hidden weights stay as they were drawn, the floor that every rule must beat.

    ∂W_o = eᵀ z      (see `stream`), the exact gradient; ∂W_l = 0

Source: none; a reservoir with a trained linear readout (Maass, Natschläger, Markram, Neural Comput.
14(11):2531, 2002).
Locality: local in space and time; nothing beyond the network.
Memory between steps: u and s of each layer, the readout's z.
"""

from __future__ import annotations

from torch import Tensor

from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import SampleStream


class ReadoutOnly(SampleStream):
    """Training of the readout alone (equation above)."""

    name = "readout-only"
    adaptive = True
    locality = Locality(
        space=True, time=True, auxiliary="none", update_locked=False, weight_transport="no"
    )
    order = "B·H"

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        fired = self._forward(x, running)
        logits, _ = self._readout(fired[-1].out, running)
        return logits
