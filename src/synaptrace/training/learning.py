"""One batch of a training: forward, gradients and updates."""

from __future__ import annotations

import torch

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
    for part in batch.cuts:
        same = draws.clone_state()  # for each part
        logits = rule.sequence(
            batch.read(part).to(place),
            labels[part],
            lengths=None if lengths is None else lengths[part],
            optimizer=optimizer if part is batch.cuts[-1] else None,
            every=every,
            generator=same,
            batch=None if batch.alone else (labels, lengths),
        )
        right = (logits.argmax(1) == labels[part]).to(seen.dtype).sum() / len(labels)
        seen += torch.cat([right[None], rule.losses, rule.rates])
    if not batch.cuts:  # fewer samples than processes: the others' gradients alone
        for _ in range(1 if every is None else (batch.steps - 1) // every + 1):
            optimizer.step()
            optimizer.zero_grad()
    norm = torch.nn.utils.get_total_norm([weight.detach() for weight in state.weights])
    values: list[float] = torch.cat([crew.sum(seen), norm[None]]).tolist()
    return values  # the batch's one wait for the device
