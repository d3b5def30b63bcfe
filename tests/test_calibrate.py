"""Fitting the camera: from simulated recordings of a known camera, that camera is found again."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from synaptrace.data.sets import digits
from synaptrace.data.simulate import atis, beside_real, calibrate
from synaptrace.data.simulate.calibrate import Linear, Recordings
from synaptrace.seeds import generator

ROWS = [row + 0.3 for row in atis.ROWS]
COLUMNS = [column - 0.2 for column in atis.COLUMNS]
KNOWN = {"blur": 0.6, "dark": 0.3, "leak": 0.5, "threshold": 0.14, "mismatch": 0.1}


def recorded(images, **settings) -> Recordings:
    known = atis.camera(rows=ROWS, columns=COLUMNS, **(KNOWN | settings))
    counts = known.record(images, generator(0, "known"))
    sample, step, p, y, x = (each.numpy() for each in counts.nonzero(as_tuple=True))
    return Recordings(images, step * 1000 + 500, x, y, p, sample)


@pytest.fixture(scope="module")
def images():
    small = digits.read()[0][:24]
    return 1 - F.interpolate(small[:, None], size=(28, 28), mode="bilinear")[:, 0]


@pytest.fixture(scope="module")
def real(images):
    return recorded(images)


@pytest.fixture(scope="module")
def known():
    path = torch.tensor([ROWS, COLUMNS]).T
    logs = torch.tensor([KNOWN["blur"], KNOWN["dark"], KNOWN["threshold"], KNOWN["threshold"]])
    return Linear(path, logs.log())


def test_frames_hold_every_event(real):
    frames = real.frames(5.0)
    assert frames.shape == (24, 63, 2, 34, 34)
    assert frames.sum() == len(real.t)
    i = 1234
    step = int(real.t[i] / 5000)
    assert frames[real.sample[i], step, real.p[i], real.y[i], real.x[i]] > 0
    later = real.frames(5.0, late=-5.0)
    assert torch.equal(later[:, 1:-1], frames[:, :-2])


def test_some_of_the_recordings(real):
    some = real.some(5)
    assert len(some.images) == 5
    assert torch.equal(some.images[-1], real.images[-1])
    assert torch.equal(some.frames(5.0)[0], real.frames(5.0)[0])
    assert torch.equal(some.frames(5.0)[-1], real.frames(5.0)[-1])


@pytest.fixture(scope="module")
def fit(real):
    return calibrate.infer(real, KNOWN["leak"], rounds=1, steps=30, say=lambda line: None)


def test_the_path_is_found(fit):
    knots = torch.tensor([ROWS, COLUMNS]).T
    moving = [*range(6, 14), *range(26, 36), *range(48, 56)]
    begun, found, true = (
        (each.path - knots)[moving].abs().mean() for each in (calibrate.start(), *fit)
    )
    assert true < 0.7 * found < begun
    assert fit[1].settings["blur"] == pytest.approx(KNOWN["blur"], abs=0.1)
    assert fit[1].settings["dark"] == pytest.approx(KNOWN["dark"], abs=0.12)


def test_shifts_are_found(images, fit):
    shifted = atis.camera((0.0, 4.0, -3.0), rows=ROWS, columns=COLUMNS, **KNOWN)
    counts = shifted.record(images[:8], generator(0, "known"))
    sample, step, p, y, x = (each.numpy() for each in counts.nonzero(as_tuple=True))
    late = Recordings(images[:8], step * 1000 + 500, x, y, p, sample)
    found = calibrate.fit_shifts(late, fit[0]) - calibrate.fit_shifts(recorded(images[:8]), fit[0])
    assert found.shape == (8, 3)
    assert np.abs(found.mean(0) - [0.0, 4.0, -3.0]).max() < 1.0


def test_leak_threshold_and_mismatch_are_found(images, real, known):
    off, on = calibrate.quiet_rates(recorded(torch.cat([images] * 10)))
    assert off == 0
    assert 2 * on == pytest.approx(KNOWN["leak"], abs=0.1)
    settings = {key: KNOWN[key] for key in ("blur", "dark", "leak")}
    threshold = calibrate.fit_threshold(real, known, settings | {"mismatch": KNOWN["mismatch"]})
    assert threshold == pytest.approx(KNOWN["threshold"], rel=0.02)


def test_mismatch_is_found(images, known):
    """What is found falls short, as a threshold's share of the light's change is rounded."""
    settings = {key: KNOWN[key] for key in ("blur", "dark", "leak", "threshold")}
    many = torch.cat([images] * 4)
    even, uneven = (
        calibrate.fit_mismatch(recorded(many, mismatch=mismatch), known, settings)
        for mismatch in (0.0, 0.2)
    )
    assert even < 0.08
    assert 0.13 < uneven < 0.23


def test_the_comparison_prints_what_it_says(real, capsys):
    frames = real.frames(beside_real.WIDTH)
    beside_real.compare(frames, frames, frames.flip(0))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    events = frames[:, :7].sum((0, 1, 3, 4)) / len(frames)
    row = next(line for line in lines if line[0] == "1")
    assert row[1:5] == [f"{events[k]:.0f}" for k in (0, 0, 1, 1)]
    assert float(row[5]) == 1.0
    assert float(row[6]) < 0.9
    rates = [line for line in lines if line[0] == "45-60"]
    assert float(rates[0][1]) == pytest.approx(frames[:, 3, 0].sum().item() / 24 / 15, abs=0.06)
