"""test_vectors.h: a few sequences of the test set, what the network says to them, and what it has
learned after them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import fixed, learning_fixed, tables, twin
from synaptrace.ship.c.fixed import Fixed
from synaptrace.ship.c.learning_twin import Learner
from synaptrace.ship.c.plan import Plan

MOST, NUMBERS = 3, 60_000
"""Sequences, and their numbers altogether (one sequence may have more)."""
RATE, PROBES = 1e-3, 64


@dataclass(frozen=True)
class Sequences:
    """Each (steps, inputs), float32, with its label."""

    events: tuple[NDArray[np.float32], ...]
    labels: tuple[int, ...]


def choose(dataset: Dataset) -> Sequences:
    """The first sequences of some classes of the test set (or of what else there is)."""
    found: dict[int, NDArray[np.float32]] = {}
    for split in ("test", "validation", "train"):
        for events, labels, lengths in dataset.batches(split):
            for i, label in enumerate(labels.tolist()):
                if label not in found:
                    steps = len(events) if lengths is None else int(lengths[i])
                    found[label] = events[:steps, i].reshape(steps, -1).float().numpy()
            if len(found) >= MOST:
                return few(found)
    if not found:
        raise UserError("data: has no sequence to test the export with")
    return few(found)


def few(found: dict[int, NDArray[np.float32]]) -> Sequences:
    """At most `MOST` of them, and `NUMBERS` of their numbers."""
    labels = sorted(found)[:MOST]
    sizes = np.cumsum([found[label].size for label in labels])
    labels = labels[: max(1, int((sizes <= NUMBERS).sum()))]
    return Sequences(tuple(found[label] for label in labels), tuple(labels))


def header(
    net: Network, rule: TracesPropagation | None, plan: Plan, some: Sequences, whole: Fixed | None
) -> str:
    """The text of test_vectors.h; ``whole``: the network in whole numbers, if it is exported so."""
    run = partial(twin.run, net) if whole is None else partial(fixed.run, whole)
    said = [run(each[:, None]) for each in some.events]
    logits, spikes = [each[0][0] for each in said], [each[1][0] for each in said]
    given = some.events if whole is None else [whole.input.store(each) for each in some.events]
    text = inputs(given, some.labels, [int(each.argmax()) for each in logits])
    text += tables.table(
        "static const int32_t vector_spikes[VECTORS][LAYERS]", nested(spikes, str)
    )  # fmt: skip
    kind, write = ("float", tables.single) if whole is None else ("int32_t", str)
    text += tables.table(
        f"static const {kind} vector_logits[VECTORS][CLASSES]", nested(logits, write)
    )  # fmt: skip
    if whole is not None:
        return text + ("" if rule is None else learned_fixed(net, rule, plan, some, whole))
    double, exact = copy.deepcopy(net).double(), []
    for each in some.events:
        with torch.no_grad():
            x = torch.from_numpy(each)[:, None].double().reshape(-1, 1, *net.in_shape)
            exact.append(double(x)[0].numpy())
    text += tables.table(
        "static const double vector_logits_double[VECTORS][CLASSES]", nested(exact, tables.number)
    )  # fmt: skip
    return text + (learned(double, rule, plan, some) if rule is not None else "")


def inputs(
    events: Sequence[NDArray[Any]], labels: Sequence[int], answers: Sequence[int]
) -> str:  # fmt: skip
    """The sequences themselves: bytes where all are small whole numbers."""
    flat = np.concatenate([each.ravel() for each in events])
    whole = bool((flat == flat.round()).all())
    kind, write = "float", tables.single
    if whole and np.abs(flat).max(initial=0) < 2**15:
        small = flat.min(initial=0) >= 0 and flat.max(initial=0) < 256
        kind, write = "uint8_t" if small else "int16_t", lambda value: str(int(value))
    starts = np.cumsum([0, *(each.size for each in events[:-1])]).tolist()
    text = "/* Sequences of the test set, and what the network says to them. */\n"
    text += f"#define VECTORS {len(starts)}\n"
    numbers = {
        "start": starts, "steps": [len(each) for each in events], "label": labels,
        "answer": answers,
    }  # fmt: skip
    for name, each in numbers.items():
        text += tables.table(f"static const int32_t vector_{name}[VECTORS]", [*map(str, each)])
    values = [write(value) for value in flat.tolist()]
    return text + tables.table(f"static const {kind} vector_input[{len(values)}]", values)


def nested(rows: list[NDArray[np.generic]], write: Callable[[Any], str]) -> list[str]:
    """Rows of an array of arrays."""
    return ["{" + ", ".join(write(v) for v in row.tolist()) + "}" for row in rows]


def learned(net: Network, rule: TracesPropagation, plan: Plan, some: Sequences) -> str:
    """Weights after an update a sequence, in float64: some of them, evenly spread."""
    return probed(*learn(net, rule, plan, some))


def learned_fixed(
    net: Network, rule: TracesPropagation, plan: Plan, some: Sequences, whole: Fixed
) -> str:
    """The same in whole numbers."""
    learner = Learner(whole, plan, learning_fixed.learning(net, rule, plan, whole))
    first: NDArray[Any] | None = None
    for each, label in zip(some.events, some.labels, strict=True):
        learner.sequence(whole.input.store(each), label)
        first = learner.flat("gradient") if first is None else first
        learner.update(RATE)
    assert first is not None
    return probed(learner.flat("weight"), first)


def probed(values: NDArray[Any], gradient: NDArray[Any]) -> str:
    """Some of the weights and of the first gradients."""
    at = probes(gradient)
    text = f"\n#define LEARNING_RATE {RATE:g}\n#define PROBES {len(at)}\n"
    text += tables.table("static const int32_t probe_at[PROBES]", [str(i) for i in at])
    for name, each in (("gradient", gradient), ("weight", values)):
        text += tables.table(
            f"static const double probe_{name}[PROBES]", [tables.number(v) for v in each[at]]
        )
    return text


def probes(gradient: NDArray[Any]) -> NDArray[np.int64]:
    """Places evenly spread over those where something is learned, and over all."""
    learns = np.flatnonzero(gradient)
    learns = learns if len(learns) else np.arange(len(gradient))
    half = PROBES // 2
    spread = [np.linspace(0, len(each) - 1, half).astype(int) for each in (learns, gradient)]
    return np.unique(np.concatenate([learns[spread[0]], spread[1]]))


def learn(
    net: Network, rule: TracesPropagation, plan: Plan, some: Sequences, rate: float = RATE
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What `plan` says that learns of ``net``, after it learned from ``some``, as learn.c has it,
    and the gradient of the first sequence.

    ``net`` changes. The contrast is with every class, whatever the run's was.
    """
    learner = TracesPropagation(
        net, **{**rule.options, "contrast": "class"}
    ).to(net.readout.weight.dtype)  # fmt: skip
    learner.label.load_state_dict(rule.label.state_dict())
    weights = trained(net, plan)
    for weight in net.parameters():
        weight.requires_grad_(any(weight is each for each in weights))
    optimizer = torch.optim.Adam(weights, lr=rate)
    first: NDArray[np.float64] | None = None
    for each, label in zip(some.events, some.labels, strict=True):
        x = torch.from_numpy(each)[:, None].to(net.readout.weight).reshape(-1, 1, *net.in_shape)
        learner.sequence(x, torch.tensor([label]))
        if first is None:
            first = flat(weight.grad for weight in weights)
        optimizer.step()
        optimizer.zero_grad()
    assert first is not None
    return flat(weights), first


def flat(tensors: Iterable[Tensor | None]) -> NDArray[np.float64]:
    """Weights (neurons, inputs) as the learner has them, input by input, end to end."""
    return np.concatenate(
        [each.detach().t().double().numpy().ravel() for each in tensors if each is not None]
    )


def trained(net: Network, plan: Plan) -> list[Tensor]:
    """The weights that learn, in the order of the learner's."""
    weights = [layer.weight for layer in net.layers]
    return plan.in_order(weights, [layer.recurrent for layer in net.layers], net.readout.weight)
