"""ES-D-RTRL: real-time recurrent learning with a diagonal Jacobian and two smoothed factors.

    ε_x ← a ε_x + x,  ε_R ← a ε_R + s′         of the input, and of the layer's own spikes
    ε_f ← a D ε_f + (1 − a)                    of the membrane: D = ∂v/∂v′ (see `stream.carry`)
    ∂W = (g ⊙ ε_f / (1 − aᵗ))ᵀ ε_x,  ∂R the same with ε_R,  t = 1, 2, …

g is ∂loss/∂v of this step by instant back-propagation (see `stream`), ψ in it; a trace of a product
is approximated by the product of two traces, so that no synapse has one of its own. At T = 1 it is
the exact gradient, with a = 0 that of each step with all states held constant; biased otherwise.

Source: Wang et al., bioRxiv 2024.09.24.614728 (Nat. Commun. 2026); code braintrace (pp_prop). The
published a wasn't found for networks like these; 0.9 is taken.
Locality: local in time, not in space; weight transport; a layer waits for those above.
Memory between steps: u, s, ε_x, D ε_f (and ε_R, if recurrent) of each layer, the readout's z.
"""

from __future__ import annotations

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import InputTraces, carry


class ESDRTRL(InputTraces):
    """ES-D-RTRL on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        smoothing: a, the traces' factor per step.

    Raises:
        UserError: a smoothing outside 0 to below 1.
    """

    name = "esdrtrl"
    locality = Locality(
        space=False, time=True, auxiliary="none", update_locked=True, weight_transport="yes"
    )
    order = "B·(I + H)"

    def __init__(
        self, net: Network, smoothing: float = 0.9, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(net)
        if not 0 <= smoothing < 1:
            raise UserError(f"rule.smoothing: {smoothing} is not from 0 to below 1")
        self.smoothing = smoothing

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.state["membrane_trace"] = self._zeros(layer.shape for layer in self.net.layers)

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        a, carried = self.smoothing, self.state["membrane_trace"]
        fired = self._forward(x, running)
        logits, e = self._readout(fired[-1].out, running)
        for i, _, g in self._instant(e, fired):
            layer, step = self.net.layers[i], fired[i]
            trace = carried[i].mul_(a).add_(1 - a)
            part = (g * trace).div_(1 - a ** (self.time + 1))
            layer.accumulate(part, *self._trace(i, step, decay=a))
            trace.mul_(carry(layer.neuron, step.v, step.spikes, step.psi))  # D of the next step
        return logits
