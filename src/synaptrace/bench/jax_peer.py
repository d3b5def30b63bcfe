"""braintrace's online rules on a dense network of ours, in JAX and compiled as a whole.

ES-D-RTRL ("pp_prop", Wang et al., Nat. Commun. 2026) keeps traces of the size of the neurons,
D-RTRL of the size of the weights for every sample. Loss, weights, neuron and surrogate as in
`torch_peers`; Adam steps at the end of the sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from synaptrace.bench.cases import Parts
from synaptrace.network import Network


class Compiled(NamedTuple):
    train: Callable[[Any, Any], Any]
    """events (T, B, inputs), labels (B,) → logits (T, B, classes), after an update."""
    events: Any
    labels: Any


def job(parts: Parts, algorithm: str, rate: float) -> Callable[[], object]:
    """One batch: forward, gradients, Adam."""
    import jax

    compiled = build(parts, algorithm, rate)
    return lambda: jax.block_until_ready(compiled.train(compiled.events, compiled.labels))


def build(parts: Parts, algorithm: str, rate: float) -> Compiled:
    """The network as braintrace's modules, and a compiled training step."""
    import brainstate
    import braintools
    import braintrace
    import jax
    import jax.numpy as jnp

    batch, decay = len(parts.labels), parts.net.layers[0].neuron.beta
    model = _model(parts.net)
    events, labels = array(parts.events), array(parts.labels)
    options = {"decay_or_rank": decay} if algorithm == "pp_prop" else {}
    learner = braintrace.compile(model, algorithm, events[0], batch_size=batch, **options)
    optimizer = braintools.optim.Adam(lr=rate)
    optimizer.register_trainable_weights(model.states(brainstate.ParamState))

    @brainstate.transform.jit  # type: ignore[untyped-decorator]
    def train(events: Any, labels: Any) -> Any:
        def step(x: Any) -> Any:
            logits = learner(x)
            chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)
            return -chosen.mean(), logits

        for state in model.states(brainstate.HiddenState).values():
            state.value = jnp.zeros_like(state.value)
        learner.reset_state(batch)
        gradients, logits = learner.etrace_grad(events, step_fn=step, reduction="sum", has_aux=True)
        optimizer.update(gradients)
        return logits

    return Compiled(train, events, labels)


def _model(net: Network) -> Any:
    """The network as a brainstate module: update(x) returns the logits of a step."""
    import brainstate
    import braintrace
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp  # type: ignore[untyped-decorator]
    def fire(distance: Any) -> Any:
        return (distance >= 0).astype(distance.dtype)

    @fire.defjvp  # type: ignore[untyped-decorator]
    def _slope(primals: Any, tangents: Any) -> Any:
        (distance,), (change,) = primals, tangents
        return fire(distance), change / (1 + (jnp.pi * distance) ** 2)

    def weight(tensor: Tensor) -> Any:
        return brainstate.ParamState(array(tensor.detach().t()))

    class Layer(brainstate.nn.Module):  # type: ignore[misc]
        def __init__(self, i: int) -> None:
            super().__init__()
            ours = net.layers[i]
            self.neuron, self.size = ours.neuron, len(ours.weight)
            self.drive = weight(ours.weight)
            self.again = None if ours.recurrent is None else weight(ours.recurrent)

        def init_state(self, batch_size: int | None = None, **_: Any) -> None:
            self.membrane = brainstate.HiddenState(jnp.zeros((batch_size, self.size)))
            self.spikes = brainstate.HiddenState(jnp.zeros((batch_size, self.size)))

        def update(self, x: Any) -> Any:
            v = self.neuron.beta * self.membrane.value + braintrace.matmul(x, self.drive.value)
            if self.again is not None:
                v = v + braintrace.matmul(self.spikes.value, self.again.value)
            s = fire(v - self.neuron.threshold)
            self.membrane.value, self.spikes.value = v - self.neuron.threshold * s, s
            return s

    class Model(brainstate.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = [Layer(i) for i in range(len(net.layers))]
            self.readout = weight(net.readout.weight)

        def init_state(self, batch_size: int | None = None, **_: Any) -> None:
            self.logits = brainstate.HiddenState(jnp.zeros((batch_size, net.classes)))

        def update(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            drive = braintrace.matmul(x, self.readout.value)
            self.logits.value = net.readout_decay * self.logits.value + drive
            return self.logits.value

    return Model()


def array(tensor: Tensor) -> Any:
    """A tensor as a JAX array."""
    import jax.numpy as jnp

    return jnp.asarray(tensor.numpy())
