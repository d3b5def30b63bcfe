"""A network of spiking layers with a leaky readout: forward pass, streaming step, prediction.

    m^t = α m^{t-1} + W_o s_L^t      readout membrane, the logits; prediction is argmax of m^T

The forward pass is differentiable where autograd is on (the surrogates stand for the spikes'
derivatives) and builds no graph where it is off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from synaptrace import inference, probe, sequences, stepping
from synaptrace.errors import UserError
from synaptrace.layers import Dense, Layer, Shape, stack
from synaptrace.native import convolve, maps
from synaptrace.neuron import adapt, advance
from synaptrace.sequences import mask as mask


class State(NamedTuple):
    """Everything a network keeps between steps."""

    membrane: tuple[Tensor, ...]
    """u of each hidden layer, (B, *shape)."""
    spikes: tuple[Tensor, ...]
    """s of each hidden layer, before pooling, (B, *shape)."""
    logits: Tensor
    """m of the readout, (B, classes)."""
    adaptation: tuple[Tensor, ...] = ()
    """a of each hidden layer, (B, *shape); none where thresholds are fixed."""


class Network(nn.Module):
    """Hidden spiking layers and a leaky readout. `build` makes one: `mlp`, `conv` or `vgg`; or

        net = st.Network([st.Conv((2, 16, 16), 8, pool=("max", 2)), st.Dense(8 * 8 * 8, 64)], 10)

    Parameters are named ``layers.<i>.weight``, ``layers.<i>.recurrent`` and ``readout.weight``.
    ``spec`` holds the JSON-able arguments from which `build.build` makes the same network again.
    Layers are never called as modules, so forward hooks on them don't fire; those on the network
    fire when it is called (``net(events)``), and not while a rule runs it.

    Args:
        layers: the hidden layers from the bottom up, at least one, in any order; each takes as
            many numbers as the one below gives.
        readout: the last layer's outputs, flat, to the classes, its neuron not used; or the number
            of classes.
        in_shape: of one sample's step, (inputs,) or (C, H, W); None: what the first layer takes.
        spec: the arguments that `build.build` takes; None: found by looking at the layers.
        readout_decay: α of the readout, a factor per time step; ``spec`` says it where it is given.
        gain: factor on the initial weights of a rule's label projection; likewise.

    Raises:
        UserError: without ``spec``, layers that don't fit one another, or of a kind of your own.
    """

    layers: Sequence[Layer]

    def __init__(
        self, layers: Iterable[Layer], readout: Dense | int, in_shape: Shape | None = None,
        spec: dict[str, Any] | None = None, *, readout_decay: float = 1.0, gain: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        made = list(layers)
        if not made:
            raise UserError("net: needs at least one hidden layer")
        if isinstance(readout, int):
            last = made[-1]
            readout = Dense(
                math.prod(last.out_shape), readout, neuron=last.neuron,
                standardise=last.standardise, compute=last.compute,
            )  # fmt: skip
        if in_shape is None:
            in_shape = getattr(made[0], "in_shape", ())
        if spec is None:
            settings = {"readout_decay": readout_decay, "gain": gain}
            spec = stack.describe(made, readout, in_shape, settings)
        if len({layer.neuron.adaptation > 0 for layer in made}) > 1:
            raise UserError("neuron.adaptation: is above 0 in all layers, or in none")
        self.layers = nn.ModuleList(made)  # type: ignore[assignment]
        self.readout = readout
        self.in_shape, self.spec = in_shape, spec
        self.readout_decay: float = spec["readout_decay"]
        self.gain: float = spec.get("gain", 1.0)
        self.held = stepping.Held()

    @property
    def classes(self) -> int:
        """Classes, the readout's outputs."""
        return self.readout.weight.shape[0]

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        vars(self).setdefault("held", stepping.Held())  # of earlier versions

    def add_class(self) -> int:
        """Take on one more class, the last; returns its number.

        The new class starts with the mean of the readout's rows, so its logit is the mean of the
        others' logits and it is never the answer. Predictions stay what they were until it has
        learned, unless weights are standardised. Call `Rule.add_class` so that a rule follows, and
        make a new optimizer, as ``readout.weight`` is another parameter.
        """
        readout = self.readout
        weight = readout.weight.detach()
        trained = readout.weight.requires_grad
        more = torch.cat([weight, weight.mean(0, keepdim=True)])
        readout.weight = nn.Parameter(more, requires_grad=trained)
        readout.channels = len(more)
        readout.shape = readout.out_shape = (len(more),)
        self.spec = {**self.spec, "classes": len(more)}
        return len(more) - 1

    def __repr__(self) -> str:
        return probe.described(self)

    @property
    def adaptive(self) -> bool:
        """Whether thresholds adapt."""
        return self.layers[0].neuron.adaptation > 0

    def initial_state(self, batch: int) -> State:
        """Zeros: every sample starts at rest."""
        like = self.readout.weight
        zeros = tuple(like.new_zeros(batch, *layer.shape) for layer in self.layers)
        adaptation = zeros if self.adaptive else ()
        return State(zeros, zeros, like.new_zeros(batch, self.classes), adaptation)

    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One time step.

        Without autograd the native engine does it where it can, the same up to rounding.

        Args:
            x: (B, *in_shape); a dense network flattens maps itself.
            state: what the last step returned, None at the start.

        Returns:
            logits (B, classes), membranes of the readout after this step, and the state for the
            next one.

        Raises:
            UserError: a shape that doesn't fit.
        """
        if not torch.is_grad_enabled():
            fast = stepping.step(self, x, None if state is None else state[:3])
            if fast is not None:
                return fast[2], State(*fast)
        weights = [layer.forward_weight() for layer in self.layers]
        return self._step(x, state, weights, self.readout.forward_weight())

    def _step(
        self, x: Tensor, state: State | None, weights: Sequence[Tensor], readout: Tensor,
        packed: Sequence[convolve.PackedWeight | None] = (),
    ) -> tuple[Tensor, State]:  # fmt: skip
        x = self.fit(x)
        state = self.initial_state(len(x)) if state is None else state
        membranes, spikes, adaptation = [], [], []
        for i, (layer, weight) in enumerate(zip(self.layers, weights, strict=True)):
            u, previous = state.membrane[i], state.spikes[i]
            fast = packed[i] if packed else None
            current = layer.current(x, previous, weight, packed=fast)
            if self.adaptive:
                adaptation.append(adapt(layer.neuron, state.adaptation[i], previous))
            u, s = advance(layer.neuron, current, u, adaptation[i] if self.adaptive else None)
            membranes.append(u)
            spikes.append(s)
            x = layer.pool(s)
        logits = self.readout_decay * state.logits + nn.functional.linear(
            x.flatten(1).to(readout.dtype), readout
        ).to(state.logits.dtype)
        return logits, State(tuple(membranes), tuple(spikes), logits, tuple(adaptation))

    def fit(self, x: Tensor) -> Tensor:
        """x in the network's dtype and input shape (B, *in_shape).

        Raises:
            UserError: the shape doesn't fit.
        """
        if not isinstance(x, Tensor):
            raise UserError(f"events: need a tensor, not a {type(x).__name__}")
        if x.shape[1:] != self.in_shape:
            if math.prod(x.shape[1:]) != math.prod(self.in_shape) or len(self.in_shape) != 1:
                raise UserError(
                    f"events: a step of shape {tuple(x.shape[1:])} doesn't fit a network "
                    f"for {self.in_shape}"
                )
            x = x.flatten(1)
        return x.to(self.readout.weight.dtype)

    def forward(self, events: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits of whole sequences, each sample starting at rest.

        Without autograd the native engine computes them where it can, the same up to rounding.

        Args:
            events: (T, B, *in_shape), spike counts or other numbers, one step after the other.
            lengths: (B,) in steps, 1 to T; what comes after a sample's end is not looked at.
                None: all are T steps long.

        Returns:
            logits (B, classes) after each sample's last step; zeros where T is 0.

        Raises:
            UserError: a shape that doesn't fit.
        """
        lengths = None if lengths is None else lengths.to(torch.int64)
        fast = None if torch.is_grad_enabled() else inference.forward(self, events, lengths)
        if fast is not None:
            return fast.logits
        weights = [layer.forward_weight() for layer in self.layers]
        readout = self.readout.forward_weight()
        packed: list[convolve.PackedWeight | None] = []
        if not torch.is_grad_enabled() and maps.obstacle(self) is None:
            packed = [layer.pack(k) for layer, k in zip(self.layers, weights, strict=True)]
        state = self.initial_state(events.shape[1])
        for t, x in enumerate(events):
            running = None if lengths is None else t < lengths
            before = state.logits
            logits, state = self._step(mask(x, running), state, weights, readout, packed)
            if running is not None:
                state = state._replace(logits=torch.where(running[:, None], logits, before))
        return state.logits

    @torch.no_grad()
    def predict(self, events: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The class of each sample, that of its largest logit, without a graph.

        Args:
            events, lengths: as in `forward`.

        Returns:
            (B,) int64.

        Raises:
            UserError: a shape that doesn't fit.
        """
        logits: Tensor = self(events, lengths)
        return logits.argmax(1)

    def decide(
        self, events: Tensor, confidence: float, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The class of each sample as soon as it is clear: softmax(m) ≥ ``confidence``.

        Args:
            events, lengths: as in `forward`.
            confidence: a probability; above 1 it is never reached, and `predict` is the same.

        Returns:
            classes (B,) int64, and the steps that each decision took (B,) int64: a sample that
            never is so sure takes all of its own.

        Raises:
            UserError: a confidence that isn't positive.
        """
        return sequences.decide(self, events, confidence, lengths)

    def record(
        self, events: Tensor, what: Sequence[str] = ("spikes", "membrane", "trace")
    ) -> dict[str, Tensor]:
        """All that the layers do, step by step, without a graph; every sample runs all T steps.

        Args:
            events: (T, B, *in_shape), as in `forward`.
            what: of each hidden layer, some of "spikes" (s, before pooling), "membrane" (u, after
                the reset) and "trace" (z ← λ z + pooled s, λ being the neuron's ``trace_decay``,
                as Traces Propagation sees it).

        Returns:
            by name, time first: "layers.0.spikes" and "layers.0.membrane" (T, B, *shape),
            "layers.0.trace" (T, B, *out_shape), …, and "readout" (T, B, classes), the logits after
            each step. Shapes are the layer's: (neurons,), or (channels, rows, columns).

        Raises:
            UserError: a shape that doesn't fit, or something else to record.
        """
        return probe.record(self, events, what)
