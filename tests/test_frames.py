"""Events into frames, against a loop that places one event after another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synaptrace.data.events.frames import Events, Frames, resize
from synaptrace.errors import UserError


def draw(seed, batch=3, count=400, sensor=(12, 16), until=20_000):
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.integers(batch, size=count))
    t = rng.integers(until, size=count)
    events = Events(
        t, rng.integers(sensor[1], size=count), rng.integers(sensor[0], size=count),
        rng.integers(2, size=count), sample,
    )  # fmt: skip
    first = np.array([t[sample == i].min() for i in range(batch)])
    last = np.array([t[sample == i].max() for i in range(batch)])
    return events, first, last


def plain(frames, events, first, last):
    """One event after another, in whole numbers of microseconds."""
    rows, columns = frames.sensor
    kept_rows, kept_columns = min(frames.crop or rows, rows), frames.crop or columns
    if frames.steps is not None:
        total = frames.steps
    else:
        total = max(int(end // (1000 * frames.dt)) for end in last) + 1
    channels = (1 if frames.merge else frames.polarities) * frames.parts
    out = np.zeros(
        (total, len(last), channels, kept_rows // frames.pool or 1, kept_columns // frames.pool)
    )
    for i in range(len(events.t)):
        sample = events.sample[i]
        if frames.dt is None:
            span = int(last[sample]) - int(first[sample]) + 1
            step = (int(events.t[i]) - int(first[sample])) * total // span
        else:
            step = int(events.t[i] // (1000 * frames.dt))
        y = int(events.y[i]) - (rows - kept_rows) // 2 if events.y is not None else 0
        x = int(events.x[i]) - (columns - kept_columns) // 2
        part, step = step // total, step % total
        if part >= frames.parts or not (0 <= y < kept_rows and 0 <= x < kept_columns):
            continue
        channel = int(events.p[i]) if events.p is not None and not frames.merge else 0
        channel += part * (1 if frames.merge else frames.polarities)
        cell = (step, sample, channel, y // frames.pool, x // frames.pool)
        out[cell] = 1 if frames.binary else out[cell] + 1
    return torch.from_numpy(out.reshape(total, len(last), *frames.shape)).float()


@pytest.mark.parametrize(
    "options",
    [
        {"dt": 1.0},
        {"dt": 2.5},
        {"dt": 1.0, "steps": 7},
        {"dt": 1.0, "steps": 40},
        {"dt": None, "steps": 10},
        {"merge": True},
        {"binary": True},
        {"crop": 8},
        {"pool": 4},
        {"dt": 2.0, "steps": 3, "parts": 3},
        {"dt": 3.0, "steps": 2, "parts": 3, "merge": True, "pool": 2},
        {"crop": 6, "pool": 3, "merge": True, "binary": True, "dt": None, "steps": 3},
    ],
)
def test_frames_are_those_of_the_loop(options):
    frames = Frames((12, 16), **options)
    events, first, last = draw(0)
    found = frames.render(events, first, last)
    wanted = plain(frames, events, first, last)
    assert found.dtype == torch.float32
    assert wanted.sum() > 30
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    assert found.shape[2:] == frames.shape
    assert len(found) == frames.duration(last).max()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.3, 7.7]), st.sampled_from([1, 2, 4]))
def test_no_event_is_lost_where_nothing_is_cut(seed, dt, pool):
    events, first, last = draw(seed)
    found = Frames((12, 16), dt, pool=pool).render(events, first, last)
    assert found.sum() == len(events.t)
    for sample in range(3):
        assert found[:, sample].sum() == (events.sample == sample).sum()
        assert found[:, sample, 1].sum() == events.p[events.sample == sample].sum()


def test_a_line_of_channels():
    events, first, last = draw(1, sensor=(1, 700))
    events = events._replace(y=None, p=None)
    frames = Frames((1, 700), 1.0, polarities=1, pool=5)
    found = frames.render(events, first, last)
    assert found.shape == (20, 3, 140)
    torch.testing.assert_close(found, plain(frames, events, first, last), rtol=0, atol=0)
    assert found.sum() == len(events.t)


def test_the_middle_is_kept():
    one = Events(*np.array([[0], [2], [2], [0], [0]]))
    assert Frames((5, 5), crop=1).render(one, one.t, one.t).flatten().tolist() == [1, 0]


def test_when_events_stop_to_be_seen():
    assert Frames((4, 4), 1.5, steps=3).until == 4500
    assert Frames((4, 4), 1.5, steps=3, parts=2).until == 9000
    assert Frames((4, 4), 1.5).until is None
    assert Frames((4, 4), None, 3).until is None


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"dt": None}, "data.dt"),
        ({"dt": 0.0}, "data.dt"),
        ({"dt": float("nan")}, "data.dt"),
        ({"dt": float("inf")}, "data.dt"),
        ({"steps": 0}, "data.steps"),
        ({"crop": 13}, "data.crop"),
        ({"crop": -1}, "data.crop"),
        ({"pool": 0}, "data.pool"),
        ({"pool": 5}, "data.pool"),
        ({"crop": 9, "pool": 2}, "data.pool"),
    ],
)
def test_options_out_of_range_are_named(options, key):
    with pytest.raises(UserError, match=f"^{key}: "):
        Frames((12, 16), **options)


@pytest.mark.parametrize("options", [{}, {"steps": 3, "parts": 0}, {"dt": None, "steps": 3}])
def test_parts_need_a_duration(options):
    with pytest.raises(ValueError, match="dt and steps"):
        Frames((12, 16), **{"parts": 2, **options})
    with pytest.raises(ValueError, match="maps"):
        Frames((1, 16), steps=3, parts=2)


def test_resizing_keeps_the_mean_when_it_antialiases():
    frames = torch.rand(4, 2, 128, 128, generator=torch.Generator().manual_seed(0))
    small = resize(frames, 32, antialias=True)
    assert small.shape == (4, 2, 32, 32)
    assert small.mean() == pytest.approx(float(frames.mean()), rel=1e-3)
    # Every pixel counts with antialiasing; without, those between the samples don't.
    dot = torch.zeros(1, 1, 128, 128)
    dot[..., 64, 64] = 1
    assert resize(dot, 32, antialias=True).sum() > 0
    assert resize(dot, 32, antialias=False).sum() == 0
