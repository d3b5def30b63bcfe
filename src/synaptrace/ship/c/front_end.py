"""The front end's constants in C, and a sound to test it with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from synaptrace.data.audio import features as sound
from synaptrace.data.audio.features import Features
from synaptrace.errors import UserError
from synaptrace.ship.c import source
from synaptrace.ship.c.tables import number, table

STEPS = 6
"""Frames of the sound that tests it."""


def find(spec: Mapping[str, Any] | None) -> Features:
    """The features that a network was trained with. Raises UserError where C has none of these."""
    if spec is None:
        raise UserError("--front-end: the network was not trained on sound")
    made = Features.from_spec(spec)
    if not made.streams or made.encoding != "features":
        raise UserError(
            f"--front-end: in C there are features of data.form causal, pcen and relative, not "
            f"{made.form!r} with data.encoding {made.encoding!r}"
        )
    if made.mel.size % 2:
        raise UserError(f"--front-end: a frame of {made.mel.size} samples, an odd number")
    return made


def factors(n: int) -> list[int]:
    """Prime factors, 4 for two twos: radices of a transform of n numbers."""
    found = []
    for p in (4, 2, *range(3, n + 1, 2)):
        while n % p == 0:
            found.append(p)
            n //= p
    return found or [1]


def header(features: Features, seconds: float) -> str:
    """The part of model.h."""
    mel = features.mel
    values = {
        "rate": mel.rate, "clip": round(mel.rate * seconds), "size": mel.size, "hop": mel.stride,
        "bands": mel.bands, "stages": len(factors(mel.size // 2)),
        "mel_weights": sum(len(weights) for _, weights in triangles(features)),
        "floor": number(features.least), "pcen": int(features.form == "pcen"),
        "relative": int(features.form == "relative"),
        **{f"level_{name}": number(x) for name, x in features.level.factors(mel.hop).items()},
        **{name: number(value) for name, value in vars(features.pcen).items()},
    }  # fmt: skip
    return source.fill("front_end.h", values)


def triangles(features: Features) -> list[tuple[int, list[float]]]:
    """Each band's first frequency, and its weights from there on."""
    found = []
    for column in features.mel.matrix.t():
        at = column.nonzero().flatten().tolist() or [0]
        found.append((at[0], column[at[0] : at[-1] + 1].tolist()))
    return found


def constants(features: Features) -> str:
    """The tables of model.c."""
    size = features.mel.size
    angle = 2 * torch.pi * torch.arange(size, dtype=torch.float64) / size
    window = torch.hann_window(size, dtype=torch.float64)
    deviation = torch.tensor(features.deviation, dtype=torch.float64)
    deviation = torch.where(deviation < sound.FLAT, 1.0, deviation)
    bands, rows = triangles(features), []
    weights: list[float] = []
    for first, own in bands:
        rows.append(f"{{{first}, {len(own)}, {len(weights)}}}")
        weights += own
    made = [table("const int32_t radix[STAGES]", [str(p) for p in factors(size // 2)])]
    for name, values in {
        "window[SIZE]": (window / (window.sum() / 2)).tolist(),
        "cosine[SIZE]": angle.cos().tolist(), "sine[SIZE]": angle.sin().tolist(),
        "mel[MEL_WEIGHTS]": weights, "feature_mean[INPUTS]": features.mean,
        "feature_deviation[INPUTS]": deviation.tolist(),
    }.items():  # fmt: skip
        made.append(table(f"const real {name}", [f"R({number(v)})" for v in values]))
    return "\n".join([*made, table("const struct band bands[BANDS]", rows)])


def vectors(features: Features) -> str:
    """A sound, and its features in float64, for test_vectors.h."""
    hop = features.mel.stride
    draws = np.random.default_rng(0)
    time = np.arange(STEPS * hop) / features.mel.rate
    heard = 9000 * np.sin(2 * np.pi * 440 * time * (1 + time)) + draws.normal(0, 900, len(time))
    whole = heard.round().astype(np.int64)
    power = features.mel.power(torch.from_numpy(whole / 32768))
    wanted = features(power[:, None])[:, 0].flatten().tolist()
    text = f"\n#define SOUND_STEPS {STEPS}\n"
    text += table("static const int16_t sound_input[SOUND_STEPS * HOP]", [str(v) for v in whole])
    values = [number(v) for v in wanted]
    return text + table("static const double sound_features[SOUND_STEPS * INPUTS]", values)
