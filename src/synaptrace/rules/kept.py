"""What a rule keeps while it learns from a batch, in bytes."""

from __future__ import annotations

from torch import Tensor

from synaptrace.memory import storage_bytes
from synaptrace.rules.base import Rule

RECORDS = ("labels", "lengths", "losses", "rates")
"""What a rule's state holds that learning doesn't need."""


def kept(rule: Rule, events: Tensor, labels: Tensor, lengths: Tensor | None) -> dict[str, int]:
    """Bytes within a sequence of one batch, which ``rule`` takes and doesn't finish.

    Args:
        events, labels, lengths: as `Rule.sequence` takes them.

    Returns:
        ``auxiliary_bytes``, matrices beyond the network's weights; ``state_bytes``, all else that
        lives from step to step, but for `RECORDS`.
    """
    rule.start(labels, steps=len(events), lengths=lengths)
    for x in events:
        rule.step(x)
    tensors = rule.tensors()
    auxiliary = tensors.pop("auxiliary", [])
    state = [t for name, some in tensors.items() if name not in RECORDS for t in some]
    return {"state_bytes": storage_bytes(state), "auxiliary_bytes": storage_bytes(auxiliary)}
