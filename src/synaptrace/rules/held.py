"""Weights as the forward pass uses them: made at every step, as they may have changed, but within
`sequence`, which knows when they do, only after an update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from synaptrace.network import Network
from synaptrace.rules.state import Stateful


class HeldWeights(Stateful):
    """A module that makes its network's forward weights, and holds them within a sequence."""

    def __init__(self, net: Network) -> None:
        super().__init__(net)
        self.forward_weights: list[Tensor] = []
        self._held = False

    def _refresh(self) -> None:
        with torch.no_grad():
            layers = [*self.net.layers, self.net.readout]
            self.forward_weights = [layer.forward_weight() for layer in layers]

    def _exact(self) -> AbstractContextManager[Any]:
        """Autocast has no part in a rule: what is computed in bfloat16, a layer says itself."""
        kind = self.net.readout.weight.device.type
        on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        return torch.autocast(kind, enabled=False) if on else nullcontext()

    @contextmanager
    def _holding(self) -> Iterator[None]:
        self._refresh()
        self._held = True
        layers = [*self.net.layers, self.net.readout]
        for layer in layers:
            layer.deferred = []
        try:
            yield
            self._flush()
        finally:
            for layer in layers:
                layer.deferred = None
            self._held, self.forward_weights = False, []

    def _flush(self) -> None:
        """Add what the layers have put off to ``.grad``, while the weights are as they were."""
        for layer in [*self.net.layers, self.net.readout]:
            layer.flush()

    def _update(self, optimizer: torch.optim.Optimizer) -> None:
        self._flush()
        optimizer.step()
        optimizer.zero_grad()
        if self._held:
            self._refresh()
