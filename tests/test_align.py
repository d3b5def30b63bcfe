"""Alignment: one place, slant and size, the same in every batch, against a loop over samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synaptrace.data.events.align import HEIGHT, LEAST, PLACES, WIDTH, align
from synaptrace.data.events.frames import Events

SENSOR = (34, 34)


def draw(seed, batch=3, count=900):
    """A slanted cloud a sample, of its own size and place."""
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.integers(batch, size=count))
    y, x = rng.normal(size=(2, count)) * rng.uniform([2, 1], [5, 3], (batch, 2))[sample].T
    x = x + rng.uniform(-0.6, 0.6, batch)[sample] * y + rng.uniform(14, 20, batch)[sample]
    y = y + rng.uniform(14, 20, batch)[sample]
    inside = (y >= 0) & (y < 34) & (x >= 0) & (x < 34)
    columns = np.sort(rng.integers(5000, size=count)), x, y, rng.integers(2, size=count), sample
    return Events(*(column[inside].astype(np.int64) for column in columns))


def of(events, chosen):
    """One sample's rows and columns."""
    mine = events.sample == chosen
    return events.y[mine], events.x[mine]


def plain(y, x, sensor):
    """The equations, event by event, of one sample."""
    inner = [[place * n % 2**32 / 2**32 for n in range(len(y))] for place in PLACES]
    y = np.array([a + b for a, b in zip(y, inner[0], strict=True)])
    x = np.array([a + b for a, b in zip(x, inner[1], strict=True)])
    y, x = y - np.mean(y), x - np.mean(x)
    x = x - y * np.mean(x * y) / max(np.mean(y * y), (LEAST * sensor[0]) ** 2)
    y = y * HEIGHT * sensor[0] / max(np.sqrt(np.mean(y * y)), LEAST * sensor[0])
    x = x * np.sqrt(WIDTH * sensor[1] / max(np.sqrt(np.mean(x * x)), LEAST * sensor[1]))
    return np.floor(y + sensor[0] / 2), np.floor(x + sensor[1] / 2)


@pytest.mark.parametrize("sensor", [SENSOR, (40, 60)])
@pytest.mark.parametrize("seed", range(4))
def test_a_batch_is_what_the_loop_gives(seed, sensor):
    events = draw(seed)
    found = align(events, sensor, 3)
    for i in range(3):
        for values, wanted in zip(of(found, i), plain(*of(events, i), sensor), strict=True):
            assert np.mean(values != wanted) < 0.01  # sums in another order, before the floor
            assert np.abs(values - wanted).max() <= 1
    for name in ("t", "p", "sample"):
        np.testing.assert_array_equal(getattr(found, name), getattr(events, name))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_place_slant_and_height_are_one(seed):
    found = align(draw(seed), SENSOR, 3)
    for i in range(3):
        y, x = (values + 0.5 - 17 for values in of(found, i))
        assert abs(y.mean()) < 0.15
        assert abs(x.mean()) < 0.15
        assert abs((x * y).mean()) / (x.std() * y.std()) < 0.05
        assert y.std() == pytest.approx(HEIGHT * 34, rel=0.05)


def test_the_wider_stays_wider_by_the_square_root():
    rng = np.random.default_rng(0)
    y, x = rng.normal(0, 4, (2, 8000))
    narrow, wide = ((np.round(v * x) + 17).astype(np.int64) for v in (0.4, 1.0))
    sample = np.repeat([0, 1], 8000)
    both = Events(0 * sample, np.concatenate([narrow, wide]), np.tile(np.round(y) + 17, 2),
                  0 * sample, sample)  # fmt: skip
    found = align(both._replace(y=both.y.astype(np.int64)), SENSOR, 2)
    widths = [of(found, i)[1].std() for i in (0, 1)]
    ratio = np.sqrt(wide.std() / narrow.std())
    assert widths[1] / widths[0] == pytest.approx(ratio, rel=0.03)


def test_where_it_was_recorded_does_not_matter():
    events = draw(1)
    moved = events._replace(y=events.y + 3, x=events.x - 2)
    for a, b in zip(align(events, SENSOR, 3), align(moved, SENSOR, 3), strict=True):
        assert np.mean(a != b) < 0.01


def test_a_sample_is_the_same_in_every_batch():
    events, batch = draw(2), align(draw(2), SENSOR, 3)
    for i in range(3):
        mine = events.sample == i
        only = Events(*(column[mine] for column in events))._replace(
            sample=np.zeros(mine.sum(), int)
        )
        for a, b in zip(of(align(only, SENSOR, 1), 0), of(batch, i), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_dot_stays_a_dot_in_the_middle():
    n = np.zeros(50, dtype=np.int64)
    found = align(Events(n, n + 3, n + 30, n, n), SENSOR, 2)  # and a sample without events
    assert np.abs(found.y - 16.5).max() < 8
    assert np.abs(found.x - 16.5).max() < 3
