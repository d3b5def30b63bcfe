"""Augmentation: seeded, of each sample by itself, the same for events and for their frames."""

import numpy as np
import pytest
import torch

from synaptrace.data.events import augment
from synaptrace.data.events.frames import Events, Frames


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(seed=0, batch=6, count=3000, size=12):
    rng = np.random.default_rng(seed)
    columns = (rng.integers(high, size=count) for high in (5000, size, size, 2))
    return Events(*columns, np.sort(rng.integers(batch, size=count)))


def render(events, batch=6, size=12):
    ends = np.full(batch, 4999)
    return Frames((size, size), 1.0).render(events, 0 * ends, ends)


@pytest.mark.parametrize("seed", range(5))
def test_events_move_to_where_their_frames_do(seed):
    events = draw()
    moved = render(augment.shift_events(events, gen(seed), 3, batch=6))
    wanted = augment.shift(render(events), gen(seed), 3)
    torch.testing.assert_close(moved, wanted, rtol=0, atol=0)
    assert not torch.equal(moved, render(events))


def test_a_line_moves_along_itself():
    events = draw()._replace(y=None)
    moved = augment.shift_events(events, gen(), 3, batch=6)
    assert moved.y is None
    assert len({(moved.x - events.x)[events.sample == i].std() for i in range(6)} | {0.0}) == 1


def test_a_flip_mirrors_whole_samples_half_of_the_time():
    frames = render(draw(batch=400, count=9000), batch=400)
    found = augment.flip(frames, gen())
    mirrored = [torch.equal(found[:, i], frames[:, i].flip(-1)) for i in range(400)]
    same = [torch.equal(found[:, i], frames[:, i]) for i in range(400)]
    assert all(a or b for a, b in zip(mirrored, same, strict=True))
    assert 160 < sum(mirrored) < 240  # 200 ± 4 standard deviations
    torch.testing.assert_close(found, augment.flip(frames, gen()))
    assert not torch.equal(found, augment.flip(frames, gen(1)))


def test_a_drop_thins_events():
    events = draw(count=20_000)
    kept = augment.drop(events, gen(), 0.25)
    assert 0.73 * 20_000 < len(kept.t) < 0.77 * 20_000
    assert {len(column) for column in kept} == {len(kept.t)}
    left, all_of_them = render(kept), render(events)
    assert (left <= all_of_them).all()
    np.testing.assert_array_equal(kept.t, augment.drop(events, gen(), 0.25).t)
    assert len(augment.drop(events, gen(), 0.0).t) == 20_000
    assert augment.drop(events._replace(p=None), gen(), 0.5).p is None


def test_a_warp_is_linear_about_the_middle_and_as_strong_as_asked():
    rows, columns, batch, strength = 30, 20, 200, 0.2
    rng = np.random.default_rng(0)
    count = 200 * batch
    y, x = rng.integers(rows, size=count), rng.integers(columns, size=count)
    sample = np.sort(rng.integers(batch, size=count))
    events = Events(np.zeros(count, np.int64), x, y, None, sample)
    warped = augment.warp_events(events, gen(), strength, (rows, columns), batch)
    assert warped.t is events.t
    middle = np.array([rows - 1, columns - 1]) / 2
    found = []
    for i in range(batch):
        mine = sample == i
        before = np.stack([y, x], 1)[mine] - middle
        after = np.stack([warped.y, warped.x], 1)[mine] - middle
        offset = np.ones((len(before), 1))
        fitted, *_ = np.linalg.lstsq(np.hstack([before, offset]), after, rcond=None)
        found.append(fitted)
    matrices, offsets = np.array(found)[:, :2], np.array(found)[:, 2]
    deviation = (matrices - np.eye(2)).std()
    assert 0.18 < deviation < 0.22  # 800 draws: ± 3 %
    assert np.abs(offsets).mean() < 0.1  # the middle stays
    again = augment.warp_events(events, gen(), strength, (rows, columns), batch)
    np.testing.assert_array_equal(warped.x, again.x)
    still = augment.warp_events(events, gen(), 0.0, (rows, columns), batch)
    np.testing.assert_array_equal(still.x, x)
    np.testing.assert_array_equal(still.y, y)


def test_a_stretch_leaves_no_empty_lines():
    generator = gen()
    x = np.tile(np.arange(4, 12), 500)
    events = Events(0 * x, x, 0 * x + 8, None, 0 * x)
    for _ in range(50):
        warped = augment.warp_events(events, generator, 0.1, (16, 16), 1)
        reached = np.unique(warped.x)
        assert len(reached) == reached.max() - reached.min() + 1
