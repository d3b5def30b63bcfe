"""A few training utterances kept with a network, to be rehearsed where its data aren't at hand.

RUN/rehearsal.safetensors    `KEPT` of each class, drawn by the run's seed

Of sound alone: the root of each clip's power in mel bands as float16, which holds powers from
4·10⁻⁹ to 4·10⁹ to a thousandth; `Features` add 10⁻⁶ before their logarithm. No network is needed
to make the features again, and other features can be made of the same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from synaptrace.data.audio.features import Features
from synaptrace.data.dataset import ArrayDataset, Dataset
from synaptrace.errors import UserError
from synaptrace.seeds import generator
from synaptrace.training import checkpoint
from synaptrace.training import run as runs

FILE = "rehearsal.safetensors"
KEPT = 5
"""Utterances of each class."""


def keep(run: Path, data: Dataset, summary: dict[str, Any], seed: int) -> dict[str, Any]:
    """Keep utterances of a finished training in ``run``, and say their bytes in its summary.

    Returns:
        The summary with "rehearsal_bytes"; as it was where the data aren't sound.
    """
    if not isinstance(data, ArrayDataset) or data.meta.features is None:
        return summary
    if not (run / FILE).exists():
        write(run, data, data.index["train"].tolist(), seed)
    size = (run / FILE).stat().st_size
    if summary.get("rehearsal_bytes") != size:
        summary = {**summary, "rehearsal_bytes": size}
        runs.write_summary(run, summary)
    return summary


def write(run: Path, data: ArrayDataset, rows: Sequence[int], seed: int) -> None:
    """Write `KEPT` of ``rows`` of each class of sound to ``run``."""
    chosen: list[int] = []
    own = torch.tensor(rows)
    for label in torch.unique(data.labels[own]).tolist():
        same = own[data.labels[own] == label]
        order = torch.randperm(len(same), generator=generator(seed, "kept", label))
        chosen += sorted(same[order[:KEPT]].tolist())
    tensors = {"root": data.frames[chosen].sqrt().half(), "labels": data.labels[chosen].short()}
    about = {"classes": list(data.meta.classes), "features": data.meta.features}
    checkpoint.save(run / FILE, {"rehearsal": tensors}, about)


def read(run: Path) -> ArrayDataset | None:
    """The utterances kept in ``run``, all in the split "train"; None where there are none.

    Raises:
        UserError: a file that is damaged, or another kind of file.
    """
    file = run / FILE
    if not file.exists():
        return None
    tensors, about = checkpoint.load(file)
    kept = checkpoint.part(tensors, "rehearsal")
    try:
        features = Features.from_spec(about["features"])
        root, labels = kept["root"], kept["labels"].long()
        if root.dtype != torch.float16 or root.dim() != 3 or root.shape[2] != features.mel.bands:
            raise ValueError(f"its root is {root.dtype} of {tuple(root.shape)}")
        return ArrayDataset(
            root.float().square(),
            labels,
            name=file.name,
            classes=about["classes"],
            index={"train": range(len(labels))},
            transform=features,
            features=features.spec,
        )
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{file}: damaged, or another kind of file ({error})") from None
