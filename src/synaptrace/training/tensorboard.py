"""TensorBoard, where asked for: the numbers of metrics.jsonl as curves, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synaptrace.errors import UserError


def require() -> None:
    """Raises UserError where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError(
            "train.tensorboard: TensorBoard is not installed; pip install 'synaptrace[tensorboard]'"
        )


def writer(run: Path, epoch: int) -> Callable[[Mapping[str, Any]], None]:
    """A function that adds a line of metrics.jsonl to the curves in ``run/tensorboard``.

    Where a training is resumed after ``epoch`` epochs, what was written beyond them is dropped.
    """
    from torch.utils.tensorboard import SummaryWriter

    board = SummaryWriter(str(run / "tensorboard"), purge_step=epoch + 1)

    def write(line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            curves = value if isinstance(value, dict) else {"": value}
            for curve, number in curves.items():
                if number is not None and name != "epoch":
                    board.add_scalar(f"{name}/{curve}".rstrip("/"), number, line["epoch"])
        board.flush()

    return write
