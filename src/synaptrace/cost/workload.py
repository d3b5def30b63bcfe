"""What network, batch and time a study is about: from settings, from the data where need be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from synaptrace.config import Config
from synaptrace.errors import UserError
from synaptrace.training import job


@dataclass(frozen=True)
class Workload:
    """A network by its description, and what it is trained on."""

    spec: dict[str, Any]
    """`Network.spec`."""
    batch: int
    """Samples."""
    steps: int
    """Time steps of a sequence."""


def find(
    config: Config, *, frame: str | None = None, classes: int | None = None,
    steps: int | None = None, batch: int | None = None,
) -> Workload:  # fmt: skip
    """The workload that ``config`` and the numbers describe.

    The data set is loaded only where frame, classes and steps don't say all there is to know.

    Args:
        frame: the shape of one step, as 700 or 2x34x34.
        batch: None: the data set's own, or 32.

    Raises:
        UserError: a shape or number that can't be; data that can't be read.
    """
    for name, number in (("classes", classes), ("steps", steps), ("batch", batch)):
        if number is not None and number < (2 if name != "steps" else 1):
            raise UserError(f"--{name}: {number} is too small")
    shape = None if frame is None else parse_shape(frame)
    batch = batch or config.data["batch_size"]
    if shape is None or classes is None or steps is None:
        dataset = job.load_data(config)
        meta = dataset.meta
        shape, classes = shape or tuple(meta.shape), classes or len(meta.classes)
        events, labels, _ = next(iter(dataset.batches("train")))
        batch, steps = batch or len(labels), steps or len(events)
    model = dict(config.model)
    if model["kind"] == "mlp":
        model["inputs"] = math.prod(shape)
    else:
        model["in_shape"] = shape
    return Workload({**model, "classes": classes, "neuron": config.neuron}, batch or 32, steps)


def parse_shape(text: str) -> tuple[int, ...]:
    """ "2x34x34" → (2, 34, 34). Raises UserError for anything else."""
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise UserError(f"--input: {text!r} should be numbers with x between, as in 2x34x34")
    return shape
