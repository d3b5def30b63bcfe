"""The rows of the target stream: whose class each is, and which row each sample's class has.

A target stream starts at zero and is driven by its label alone, so samples of one class share it:
one row a class is exact. Under the batch contrast the rows are the classes present
in the whole batch, under the class contrast all there are.

Both streams lie in one tensor, the samples' B rows first, then the C target rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from synaptrace.errors import UserError
from synaptrace.rules.tp.contrast import Contrast

RENAMED = {"row": "row_of_sample", "classes": "class_of_row", "log_n": "log_counts"}
"""Names in states that were saved amid a sequence by earlier versions."""


@dataclass(frozen=True)
class Targets:
    """The rows of one batch."""

    class_of_row: Tensor
    """(C,) int64."""
    row_of_sample: Tensor
    """(B,) int64."""

    def __len__(self) -> int:
        return len(self.class_of_row)

    @property
    def shared(self) -> bool:
        """Whether there are no more rows than samples: then P is made once for each row, else
        once for each sample."""
        return len(self.class_of_row) <= len(self.row_of_sample)

    @property
    def wanted(self) -> Tensor:
        """The rows whose P some sample wants: all, or each sample's own."""
        if self.shared:
            return torch.arange(len(self), device=self.class_of_row.device)
        return self.row_of_sample

    def of_samples(self, p: Tensor) -> Tensor:
        """P (B, C) of each sample's class, from that of the `wanted` rows."""
        return p[self.row_of_sample] if self.shared else p

    def rows_of(self, labels: Tensor) -> Tensor:
        """The row of each of ``labels`` (N,); rows go up by class."""
        return torch.searchsorted(self.class_of_row, labels)

    def same(self, dtype: torch.dtype) -> Tensor:
        """Ones where a `wanted` row and a row are of one class, else zeros."""
        wanted = self.class_of_row[self.wanted]
        return (wanted[:, None] == self.class_of_row).to(dtype)


def choose(contrast: Contrast, labels: Tensor, classes: int, batch: Tensor) -> Targets:
    """The rows for ``labels`` (B,), of which ``batch`` (N,) is the whole batch.

    Raises:
        UserError: one sample under the batch contrast, which has nothing to contrast it with.
    """
    if contrast.kind == "class":
        return Targets(torch.arange(classes, device=labels.device), labels)
    if len(batch) < 2:
        raise UserError("batch: one sample has no contrast; use contrast='class' or more")
    present = torch.unique(batch)
    return Targets(present, torch.searchsorted(present, labels))
