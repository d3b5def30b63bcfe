"""The front end's constants in C, and a sound to test it with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaptrace.data.audio import features as sound
from synaptrace.data.audio.features import Features
from synaptrace.errors import UserError
from synaptrace.ship.c import source
from synaptrace.ship.c.tables import number, table

STEPS = 6
"""Frames of the sound that tests it."""
SOUNDS = 32
"""Of which the one is taken whose crossings are the clearest, as float32 is a little off."""
ENCODINGS = ("features", "delta")


def standardised(features: Features) -> int:
    """Channels that the training set's statistics scale: bands alone where these spike."""
    return features.mel.bands * (3 if features.encoding == "features" else 1)


def find(spec: Mapping[str, Any] | None) -> Features:
    """The features that a network was trained with. Raises UserError where C has none of these."""
    if spec is None:
        raise UserError("--front-end: the network was not trained on sound")
    made = Features.from_spec(spec)
    if not made.streams or made.encoding not in ENCODINGS:
        raise UserError(
            f"--front-end: in C there are features and delta of data.form causal, pcen and "
            f"relative, not data.encoding {made.encoding!r} of {made.form!r}"
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
        "channels": standardised(features), "crossings": int(features.encoding == "delta"),
        "threshold": number(features.threshold), "floor": number(features.least),
        "pcen": int(features.form == "pcen"),
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
    bands, rows, channels = triangles(features), [], standardised(features)
    weights: list[float] = []
    for first, own in bands:
        rows.append(f"{{{first}, {len(own)}, {len(weights)}}}")
        weights += own
    made = [table("const int32_t radix[STAGES]", [str(p) for p in factors(size // 2)])]
    for name, values in {
        "window[SIZE]": (window / (window.sum() / 2)).tolist(),
        "cosine[SIZE]": angle.cos().tolist(), "sine[SIZE]": angle.sin().tolist(),
        "mel[MEL_WEIGHTS]": weights, "feature_mean[CHANNELS]": features.mean[:channels],
        "feature_deviation[CHANNELS]": deviation[:channels].tolist(),
    }.items():  # fmt: skip
        made.append(table(f"const real {name}", [f"R({number(v)})" for v in values]))
    return "\n".join([*made, table("const struct band bands[BANDS]", rows)])


def vectors(features: Features) -> str:
    """A sound, and its features in float64, for test_vectors.h."""
    sounds = 1 if features.encoding == "features" else SOUNDS
    whole = max(map(partial(heard, features), range(sounds)), key=partial(margin, features))
    wanted = features(power(features, whole))
    text = f"\n#define SOUND_STEPS {STEPS}\n"
    text += table("static const int16_t sound_input[SOUND_STEPS * HOP]", [str(v) for v in whole])
    values = [number(v) for v in wanted.flatten().tolist()]
    return text + table("static const double sound_features[SOUND_STEPS * INPUTS]", values)


def heard(features: Features, seed: int) -> NDArray[np.int64]:
    """A rising tone in noise, (N,) in 16 bits."""
    draws = np.random.default_rng(seed)
    time = np.arange(STEPS * features.mel.stride) / features.mel.rate
    sound = 9000 * np.sin(2 * np.pi * 440 * time * (1 + time)) + draws.normal(0, 900, len(time))
    whole: NDArray[np.int64] = sound.round().astype(np.int64)
    return whole


def power(features: Features, sound: NDArray[np.int64]) -> Tensor:
    """Of a sound in 16 bits, (T, bands), float64."""
    return features.mel.power(torch.from_numpy(sound / 32768))


def margin(features: Features, sound: NDArray[np.int64]) -> float:
    """How near any band of a sound comes to one crossing more or less, in thresholds."""
    plain = replace(features, encoding="features")
    levels = plain(power(features, sound))[:, : features.mel.bands]
    moved = (levels[1:] - levels[0]) / features.threshold
    off = (moved - moved.round()).abs()[:, (moved != 0).any(0)]
    return float(off.min()) if off.numel() else math.inf
