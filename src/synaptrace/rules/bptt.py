"""Backpropagation through time (BPTT): the exact gradient, for memory that grows with T.

The loss is the sum over steps of the cross-entropy of the logits, the mean over samples; autograd
runs it backwards through every step, the surrogate standing for the spike's derivative. Options
leave paths out: ``detach_reset`` the one through the reset, ``detach_recurrent`` the one through
the recurrent weights (what spikes do to an adaptive threshold stays in); ``truncate`` cuts every
path after so many steps. An update within the sequence (``every``) cuts there too, as its
gradients are due; a loop of one's own that updates within the sequence sets ``truncate`` and
updates at those steps only.

Source: Werbos, Proc. IEEE 78(10):1550 (1990); with surrogates Neftci, Mostafa, Zenke, IEEE Signal
Process. Mag. 36(6):51 (2019).
Locality: neither in space nor in time; weight transport; update-locked, to all T steps.
Memory between steps: x, and v and s of each layer, for every step since the last cut (what
autograd saved, under "graph" in `tensors`); it can't be saved in the middle of a sequence.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from synaptrace.errors import UserError
from synaptrace.memory import id_of
from synaptrace.network import Network
from synaptrace.neuron import adapt, advance
from synaptrace.rules.base import Rule
from synaptrace.rules.locality import Locality


class BPTT(Rule):
    """Backpropagation through time on a network (definition and source above).

    Args:
        net: the network; its gradients are what the rule adds to, at a cut or at `finish`.
        truncate: steps after which the graph is cut; None: the whole sequence.
        detach_reset: the reset carries no gradient.
        detach_recurrent: the recurrent spikes carry no gradient.

    Raises:
        UserError: truncate below 1; `state_dict` while a graph is held.
    """

    name = "bptt"
    adaptive = True
    locality = Locality(
        space=False, time=False, auxiliary="none", update_locked=True, weight_transport="yes"
    )
    order = "T·B·(I + 2H)"
    purposes: ClassVar = {"graph": "saved", "loss": "records"}
    telling = None

    def __init__(
        self,
        net: Network,
        truncate: int | None = None,
        detach_reset: bool = False,
        detach_recurrent: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        if truncate is not None and truncate < 1:
            raise UserError(f"rule.truncate: {truncate} is not a positive number of steps")
        self.truncate = truncate
        if truncate is not None:
            self.telling = range(2 * truncate + 1)
        self.detach_reset, self.detach_recurrent = detach_reset, detach_recurrent
        self.graph: dict[int, Tensor] = {}
        self.standardising: dict[int, Tensor] = {}

    def _start(self, labels: Tensor) -> None:
        rest = self.net.initial_state(len(labels))
        self.state |= {
            "membrane": list(rest.membrane),
            "spikes": list(rest.spikes),
            "adaptation": list(rest.adaptation),
            "readout": [rest.logits],
            "loss": [rest.logits.new_zeros(())],
        }
        self.graph = {}

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        state, net, (labels,) = self.state, self.net, self.state["labels"]
        with torch.enable_grad(), saved_tensors_hooks(self._keep, lambda saved: saved):
            for i, layer in enumerate(net.layers):
                u, previous = state["membrane"][i], state["spikes"][i]
                heard = previous.detach() if self.detach_recurrent else previous
                current, a = layer.current(x, heard, self.forward_weights[i]), None
                if net.adaptive:
                    a = adapt(layer.neuron, state["adaptation"][i], previous)
                    state["adaptation"][i] = a
                u, s = advance(layer.neuron, current, u, a, detach_reset=self.detach_reset)
                state["membrane"][i], state["spikes"][i] = u, s
                self._record(i, None, s.detach(), running)
                x = layer.pool(s)
            x, before = x.flatten(1), state["readout"][0]
            current = net.readout.current(x, x, self.forward_weights[-1])
            logits = current + net.readout_decay * before
            each = F.cross_entropy(logits, labels, reduction="none")
            loss = (each if running is None else each * running).sum() / self.whole
            state["readout"], state["loss"] = [logits], [state["loss"][0] + loss]
        self._record(-1, loss.detach(), None, running)
        shown = logits.detach()
        if running is not None:
            shown = shown.where(running[:, None], state["logits"][0])
        if self.truncate is not None and (self.time + 1) % self.truncate == 0:
            self._cut()
        return shown

    def _finish(self) -> None:
        self._cut()

    def _cut(self) -> None:
        """Add the gradients of the steps since the last cut, and let go of their graph."""
        (loss,) = self.state["loss"]
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        for name in ("membrane", "spikes", "adaptation", "readout"):
            self.state[name] = [value.detach() for value in self.state[name]]
        self.state["loss"], self.graph = [torch.zeros_like(loss)], {}
        if self._held:
            self._refresh()

    def _flush(self) -> None:
        self._cut()
        super()._flush()

    def _refresh(self) -> None:
        if self.graph:
            return  # one graph, one set of weights
        self.standardising = {}
        with torch.enable_grad(), saved_tensors_hooks(self._keep_weight, lambda saved: saved):
            layers = [*self.net.layers, self.net.readout]
            self.forward_weights = [layer.forward_weight() for layer in layers]

    def _keep(self, saved: Tensor) -> Tensor:
        """Note what autograd saves, each storage once."""
        saved = saved.detach()
        self.graph.setdefault(id_of(saved), saved)
        return saved

    def _keep_weight(self, saved: Tensor) -> Tensor:
        """The same for what stays as long as the weights do."""
        saved = saved.detach()
        self.standardising.setdefault(id_of(saved), saved)
        return saved

    def tensors(self) -> dict[str, list[Tensor]]:
        """Everything kept between steps by purpose; "graph": what autograd saved but weights."""
        kept = super().tensors()
        known = [*self.net.parameters(), *(t for group in kept.values() for t in group)]
        storages = {id_of(t) for t in known}
        saved = self.graph | self.standardising
        graph = [t for storage, t in saved.items() if storage not in storages]
        return kept | ({"graph": graph} if graph else {})

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Parameters and buffers, of which there are none; a graph can't be saved."""
        if self.open and self.graph:
            raise UserError("rule: bptt can't be saved within a sequence; finish it first")
        return super().state_dict(*args, **kwargs)
