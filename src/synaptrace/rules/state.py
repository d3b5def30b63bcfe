"""A rule's explicit state: lists of tensors by name, which is all that lives from step to step.

Checkpoints (`state_dict`), exact resume and the memory count (`tensors`) read nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.network import Network

PREFIX = "state."
"""What the names of kept tensors begin with in a state dict."""


class Stateful(nn.Module):
    """A module on a network, with state. The network is not a submodule."""

    lasting: ClassVar[tuple[str, ...]] = ()
    """Names in ``state`` that outlive a sequence, for a rule that compares it with the next."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self._net = (net,)  # in a tuple, so that it is not registered as a submodule
        self.state: dict[str, list[Tensor]] = {}
        self.time = 0
        self.open = False
        self.steps: int | None = None

    @property
    def net(self) -> Network:
        """The network that it learns on."""
        return self._net[0]

    @property
    def classes(self) -> int:
        """The network's classes."""
        return self.net.classes

    @property
    def batch(self) -> int:
        """Samples of the present batch."""
        return len(self.state["labels"][0])

    @property
    def whole_labels(self) -> Tensor:
        """Labels of the whole batch, of which the present one may be a part."""
        return self.state.get("whole_labels", self.state["labels"])[0]

    @property
    def whole(self) -> int:
        """Samples of the whole batch, by which a loss is divided."""
        return len(self.whole_labels)

    def whole_running(self, running: Tensor | None) -> Tensor | None:
        """Which samples of the whole batch haven't ended, where ``running`` says it of this one."""
        ends = self.state.get("whole_lengths")
        return self.time < ends[0] if ends else running

    def sample_weight(self, running: Tensor | None) -> Tensor | float:
        """What a sample counts in the loss, (B, 1) or a number: 1/`whole`, 0 once it has ended."""
        if running is None:
            return 1.0 / self.whole
        return running[:, None].to(self.net.readout.weight.dtype) / self.whole

    @property
    def losses(self) -> Tensor:
        """Mean loss of each hidden layer and, last, the readout over the steps so far, (L+1,)."""
        return self.state["losses"][0] / max(self.time, 1)

    @property
    def rates(self) -> Tensor:
        """Spikes per neuron and step of each hidden layer over the steps so far, (L,)."""
        return self.state["rates"][0] / max(self.time, 1)

    def twin(self) -> Self:
        """Another of the same weights and options, which runs a batch of its own beside this."""
        made = copy(self)
        made.state = self._lasting()
        return made

    def pass_over(self, steps: int) -> None:
        """Go on as if ``steps`` more had been taken, of which nothing but their number is asked:
        what memory is counted with, where these steps take none that others don't."""
        self.time += steps

    def tensors(self) -> dict[str, list[Tensor]]:
        """Everything kept between steps by purpose, beyond the network's own parameters."""
        kept = {name: list(values) for name, values in self.state.items() if values}
        auxiliary = [*self.parameters(), *self.buffers()]
        return kept | ({"auxiliary": auxiliary} if auxiliary else {})

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Parameters, buffers, what is lasting and, amid a sequence, all that a step leaves."""
        saved: dict[str, Any] = super().state_dict(*args, **kwargs)
        kept = self._lasting()
        if self.open:
            time = [torch.tensor([self.time, -1 if self.steps is None else self.steps])]
            kept = {**self.state, "time": time}
        for name, values in kept.items():
            saved.update({f"{PREFIX}{name}.{i}": v.clone() for i, v in enumerate(values)})
        return saved

    def _restored(self, name: str) -> str | None:
        """The present name of what a state dict calls ``name``; None where it is kept no more."""
        return name

    def _lasting(self) -> dict[str, list[Tensor]]:
        return {name: self.state[name] for name in self.lasting if name in self.state}

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take over what `state_dict` returned, also in the middle of a sequence.

        Raises:
            RuntimeError: names or shapes that don't belong to this rule.
        """
        own = {k: v for k, v in state_dict.items() if not k.startswith(PREFIX)}
        result = super().load_state_dict(own, *args, **kwargs)
        kept: dict[str, dict[int, Tensor]] = {"lengths": {}}
        for key in state_dict.keys() - own.keys():
            old, index = key.removeprefix(PREFIX).rsplit(".", 1)
            name = self._restored(old)
            if name is None:
                continue
            value = state_dict[key].to(self.net.readout.weight.device, copy=True)
            kept.setdefault(name, {})[int(index)] = value
        time = kept.pop("time", None)
        self.open = time is not None
        held = [name for name in kept if self.open or name in self.lasting]
        self.state = {name: [kept[name][i] for i in sorted(kept[name])] for name in held}
        self.time, steps = time[0].tolist() if time is not None else (0, -1)
        self.steps = None if steps < 0 else steps
        return result

    def _record(
        self, layer: int, loss: Tensor | None, spikes: Tensor | None, running: Tensor | None
    ) -> None:
        """Add a layer's loss and its mean spike rate over the running samples to the record; of a
        part, what it adds to those of the whole batch."""
        if loss is not None:
            self.state["losses"][0][layer] += loss
        if spikes is not None:
            if running is None:
                rate = spikes.mean() * (self.batch / self.whole)
            else:
                everyone = self.whole_running(running)
                assert everyone is not None
                each = spikes.flatten(1).mean(1)
                rate = (each * running).sum() / everyone.sum().clamp(min=1)
            self.state["rates"][0][layer] += rate

    def _follow_dtype(self) -> Tensor:
        """Follow the network where it has another dtype or device than the rule was made for.

        Returns:
            a weight, which new tensors are to be like.
        """
        like = self.net.readout.weight
        for name, weight in self.net.named_parameters():
            if (weight.dtype, weight.device) != (like.dtype, like.device):
                raise UserError(
                    f"network: {name} is {weight.dtype} on {weight.device}, readout.weight "
                    f"{like.dtype} on {like.device}; turn the whole network with net.to(…)"
                )
        own = [t for t in (*self.parameters(), *self.buffers()) if t.is_floating_point()]
        if any((t.dtype, t.device) != (like.dtype, like.device) for t in own):
            self.to(like.device, like.dtype)
        for kept in self._lasting().values():
            kept[:] = [t.to(like) if t.is_floating_point() else t.to(like.device) for t in kept]
        return like
