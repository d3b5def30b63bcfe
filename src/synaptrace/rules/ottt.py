"""Online Training Through Time (OTTT): the error of the step, on traces of the input.

    ∂W_l = g_lᵀ q_l,  ∂R_l = g_lᵀ q_R    with g by instant back-propagation (see `stream`)

The trace is how far back a weight's effect on its own membrane reaches (soft reset, detached);
what a layer did earlier to the layers above, and through its own recurrence, is left out. An
update at every step is the published OTTT_O, one for each sequence OTTT_A: the schedule's matter.

Source: Xiao, Meng, Zhang, He, Lin, arXiv 2210.04195 (NeurIPS 2022). Their code gives layer 1 the
input itself for a trace; here it has one, as in the paper's equations. The readout is `stream`'s.
Locality: local in time, not in space; weight transport; a layer waits for those above.
Memory between steps: u, s, q (and q_R, if recurrent) of each layer, the readout's z.
"""

from __future__ import annotations

from torch import Tensor

from synaptrace.rules.locality import Locality
from synaptrace.rules.stream import InputTraces


class OTTT(InputTraces):
    """Online Training Through Time on a network (equations and source above)."""

    name = "ottt"
    spikes_alone = True
    locality = Locality(
        space=False, time=True, auxiliary="none", update_locked=True, weight_transport="yes"
    )
    order = "B·(I + H)"

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        fired = self._forward(x, running)
        logits, e = self._readout(fired[-1].out, running)
        for i, _, g in self._instant(e, fired):
            self.net.layers[i].accumulate(g, *self._trace(i, fired[i]))
        return logits
