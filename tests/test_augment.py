"""Augmentation: seeded, of each sample by itself, the same for events and for their frames."""

import numpy as np
import pytest
import torch

from synaptrace.data import augment
from synaptrace.data.frames import Events, Frames


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
