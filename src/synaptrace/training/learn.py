"""One batch: forward, gradients and updates, in as many parts as it is cut into."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from synaptrace.rules import turns
from synaptrace.rules.base import Rule
from synaptrace.training import parts, team
from synaptrace.training.state import State


def learn(
    state: State, batch: parts.Parts, every: int | None, draws: torch.Generator, crew: team.Team
) -> list[float]:
    """One batch, forward and updates: [accuracy, losses…, rates…, norm of all weights]."""
    rule, optimizer, place = state.rule, state.optimizer, state.weights[0].device
    labels = batch.labels.to(place)
    lengths = None if batch.lengths is None else batch.lengths.to(place)
    seen = state.weights[0].new_zeros(2 + 2 * len(rule.net.layers)).detach()
    for part, one, logits in passes(state, batch, labels, lengths, every, draws):
        right = (logits.argmax(1) == labels[part]).to(seen.dtype).sum() / len(labels)
        seen += torch.cat([right[None], one.losses, one.rates])
    if not batch.cuts:  # fewer samples than processes: the others' gradients alone
        for _ in range(1 if every is None else (batch.steps - 1) // every + 1):
            optimizer.step()
            optimizer.zero_grad()
    norm = torch.nn.utils.get_total_norm([weight.detach() for weight in state.weights])
    values: list[float] = torch.cat([crew.sum(seen), norm[None]]).tolist()
    return values  # the batch's one wait for the device


def passes(
    state: State, batch: parts.Parts, labels: Tensor, lengths: Tensor | None, every: int | None,
    draws: torch.Generator,
) -> Iterator[tuple[slice, Rule, Tensor]]:  # fmt: skip
    """Learn from each part; its rows, the rule that knows its losses and rates, and its logits."""
    rule, optimizer, place = state.rule, state.optimizer, labels.device

    def ends(part: slice) -> Tensor | None:
        return None if lengths is None else lengths[part]

    if every is not None and len(batch.cuts) > 1:
        given = [
            turns.Part(batch.read(part).to(place), labels[part], ends(part)) for part in batch.cuts
        ]
        found = turns.sequence(rule, given, optimizer=optimizer, every=every, generator=draws,
                               batch=(labels, lengths))  # fmt: skip
        for part, (twin, logits) in zip(batch.cuts, found, strict=True):
            yield part, twin, logits
        return
    for part in batch.cuts:
        logits = rule.sequence(
            batch.read(part).to(place),
            labels[part],
            lengths=ends(part),
            optimizer=optimizer if part is batch.cuts[-1] else None,
            every=every,
            generator=draws.clone_state(),  # the same for each part
            batch=None if batch.alone else (labels, lengths),
        )
        yield part, rule, logits
