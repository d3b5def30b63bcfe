"""A few training utterances kept with a network, to be rehearsed where its data aren't at hand.

RUN/rehearsal.safetensors    `KEPT` of each class, drawn by the run's seed

Of sound alone: each clip's power in mel bands, its logarithm in 8 bits (`coded`): to 0.16 dB where
the floor is the usual one, while training's own noise is louder by far. Features of every form can
be made of it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.audio.features import Features
from synaptrace.data.dataset import ArrayDataset, Dataset
from synaptrace.errors import UserError
from synaptrace.seeds import generator
from synaptrace.training import checkpoint
from synaptrace.training import run as runs

FILE = "rehearsal.safetensors"
KEPT = 20
"""Utterances of each class, as many as `synaptrace finetune` rehearses."""
LOW, HIGH = 1e-7, 10.0
"""The powers that 8 bits hold (`lowest`): up to more than a full-scale sine has."""


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
    assert data.meta.features is not None
    low = lowest(Features.from_spec(data.meta.features))
    tensors = {"power": coded(data.frames[chosen], low), "labels": data.labels[chosen].short()}
    about = {"classes": list(data.meta.classes), "features": data.meta.features}
    checkpoint.save(run / FILE, {"rehearsal": tensors}, about)


def lowest(features: Features) -> float:
    """The least power that is kept: a tenth of what is added before the logarithm, `LOW` at most.
    Where next to nothing is added, or what counts is the level, it is 100 dB below a full-scale
    sine."""
    if features.form in ("pcen", "relative"):
        return 1e-10
    return min(LOW, features.least / 10)


def coded(power: Tensor, low: float = LOW) -> Tensor:
    """Power of any shape as uint8: 0 below ``low``, else 1 to 255 in equal steps of its log."""
    scaled = (power.clamp(low, HIGH) / low).log() / math.log(HIGH / low)
    return torch.where(power < low, 0, 1 + 254 * scaled).round().to(torch.uint8)


def decoded(code: Tensor, low: float = LOW) -> Tensor:
    """Power (float32) of what `coded` made."""
    power = low * ((code.float() - 1) / 254 * math.log(HIGH / low)).exp()
    return torch.where(code == 0, 0.0, power)


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
        code, labels = kept["power"], kept["labels"].long()
        if code.dtype != torch.uint8 or code.dim() != 3 or code.shape[2] != features.mel.bands:
            raise ValueError(f"its power is {code.dtype} of {tuple(code.shape)}")
        return ArrayDataset(
            decoded(code, lowest(features)),
            labels,
            name=file.name,
            classes=about["classes"],
            index={"train": range(len(labels))},
            transform=features,
            features=features.spec,
        )
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"{file}: damaged, or another kind of file ({error})") from None
