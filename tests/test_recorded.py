"""Data sets that read a cache: the same frames as by hand, seeded, nothing changed but training."""

import numpy as np
import pytest
import torch

from synaptrace.data.cache import Sample, prepare
from synaptrace.data.events.align import align
from synaptrace.data.events.frames import Events, Frames
from synaptrace.data.events.recorded import EventDataset, FrameDataset
from synaptrace.errors import UserError

INDEX = {"train": [0, 2, 4, 6, 8, 9, 11], "validation": [1, 3], "test": [5, 7, 10]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path))


def events(i):
    rng = np.random.default_rng(i)
    count = 50 + 5 * i
    t = np.sort(rng.integers(1000 * (i + 4), size=count))
    return t, rng.integers(9, size=count), rng.integers(8, size=count), rng.integers(2, size=count)


def event_cache():
    def read(i):
        t, x, y, p = events(i)
        small = [a.astype(np.uint8) for a in (x, y, p)]
        yield Sample(dict(zip("txyp", [t.astype(np.int32), *small], strict=True)), i % 3)

    return prepare("events", 1, {}, range(12), read)


def event_data(frames=None, **options):
    options = {"name": "toy", "classes": "abc", "index": INDEX, "batch_size": 4} | options
    return EventDataset(event_cache(), frames or Frames((8, 9), 1.0), **options)


def frame_data(**options):
    def read(i):
        rng = np.random.default_rng(i)
        yield Sample({"frames": rng.random((5 + i, 2, 4, 4)).astype(np.float16)}, i % 3)

    cache = prepare("frames", 1, {}, range(6), read)
    windows = {"train": [(0, 0, 4), (1, 0, 3), (1, 3, 6), (5, 2, 6)], "test": [(2, 0, 7)]}
    options = {"name": "toy", "classes": "abc", "windows": windows, "batch_size": 2} | options
    return cache, FrameDataset(cache, **options)


def alone(i, frames):
    """A sample's frames as if it were the only one."""
    t, x, y, p = events(i)
    return frames.render(Events(t, x, y, p, 0 * t), t[:1], t[-1:])[:, 0]


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("steps", [None, 6, 40])
def test_batches_hold_each_samples_own_frames(steps):
    frames = Frames((8, 9), 1.0, steps)
    data = event_data(frames)
    seen = []
    for split, chosen in INDEX.items():
        place = 0
        for batch, labels, lengths in data.batches(split):
            assert batch.dtype == torch.float32
            assert batch.is_contiguous()
            for b in range(len(labels)):
                i = chosen[place]
                wanted = alone(i, frames)
                length = len(batch) if lengths is None else int(lengths[b])
                assert length == len(wanted)
                torch.testing.assert_close(batch[:length, b], wanted, rtol=0, atol=0)
                assert batch[length:, b].sum() == 0
                assert labels[b] == i % 3
                seen.append(i)
                place += 1
    assert sorted(seen) == list(range(12))
    assert data.meta.steps == steps
    assert data.meta.sizes == {"train": 7, "validation": 2, "test": 3}
    assert list(data.batches("elsewhere")) == []


def test_lengths_can_be_left_out():
    assert all(lengths is None for _, _, lengths in event_data(masked=False).batches("train"))


def test_the_generator_alone_decides_order_and_changes():
    data = event_data(shift=2, drop=0.2, warp=0.1)
    first, again, other = (list(data.batches("train", gen(seed))) for seed in (3, 3, 4))
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
    assert not all(
        a[0].shape == b[0].shape and torch.equal(a[0], b[0])
        for a, b in zip(first, other, strict=True)
    )
    assert sum(len(labels) for _, labels, _ in first) == 7


def test_nothing_is_changed_without_a_generator():
    plain, changing = event_data(), event_data(shift=2, drop=0.5, warp=0.1)
    for split in INDEX:
        for a, b in zip(plain.batches(split), changing.batches(split), strict=True):
            assert torch.equal(a[0], b[0])


def test_all_samples_are_aligned_and_training_ones_changed_afterwards():
    plain, aligned = event_data(), event_data(align=True)
    for split, chosen in INDEX.items():
        seen = torch.cat([batch.sum(0) for batch, _, _ in aligned.batches(split)])
        assert not torch.equal(seen, torch.cat([b.sum(0) for b, _, _ in plain.batches(split)]))
        for place, i in enumerate(chosen):
            t, x, y, p = events(i)
            wanted = align(Events(t, x, y, p, 0 * t), (8, 9), 1)
            frames = Frames((8, 9), 1.0).render(wanted, t[:1], t[-1:])
            torch.testing.assert_close(seen[place], frames[:, 0].sum(0), rtol=0, atol=0)
    shifted = next(iter(event_data(align=True, shift=3, batch_size=7).batches("train", gen())))
    still = next(iter(aligned.batches("train", gen())))
    assert not torch.equal(shifted[0].sum((0, 1)), still[0].sum((0, 1)))


def test_dropping_keeps_lengths():
    lengths = [
        lengths for _, _, lengths in event_data(drop=0.9, batch_size=7).batches("train", gen())
    ]
    assert sorted(lengths[0].tolist()) == sorted(
        len(alone(i, Frames((8, 9), 1.0))) for i in INDEX["train"]
    )


def test_windows_of_frames():
    cache, data = frame_data()
    assert data.meta.shape == (2, 4, 4)
    assert data.meta.steps is None
    (first, labels, lengths), (second, _, lengths_2) = data.batches("train")
    assert labels.tolist() == [0, 1]
    assert lengths.tolist() == [4, 3]
    assert lengths_2.tolist() == [3, 4]
    assert second.shape == (4, 2, 2, 4, 4)
    np.testing.assert_array_equal(first[:, 0], cache[0]["frames"][:4].astype(np.float32))
    np.testing.assert_array_equal(first[:3, 1], cache[1]["frames"][:3].astype(np.float32))
    np.testing.assert_array_equal(second[:3, 0], cache[1]["frames"][3:].astype(np.float32))
    assert first[3, 1].sum() == 0


def test_windows_are_augmented_in_training_alone():
    _, data = frame_data(augment=lambda batch, generator: batch + 1)
    _, plain = frame_data()
    changed = next(iter(data.batches("train", gen())))
    assert torch.equal(changed[0] - 1, next(iter(plain.batches("train", gen())))[0])
    assert torch.equal(next(iter(data.batches("test")))[0], next(iter(plain.batches("test")))[0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"classes": "ab"}, "label 2 is out of range"),
        ({"index": {"train": [12]}}, "beyond the 12"),
        ({"batch_size": 0}, r"data\.batch_size"),
        ({"shift": 9}, r"data\.shift"),
        ({"shift": -1}, r"data\.shift"),
        ({"drop": 1.0}, r"data\.drop"),
        ({"warp": -0.1}, r"data\.warp"),
        ({"align": True, "frames": Frames((1, 8), 1.0)}, r"data\.align: a line"),
        ({"warp": 0.1, "frames": Frames((1, 8), 1.0)}, r"data\.warp: a line"),
    ],
)
def test_what_does_not_fit_is_an_error(options, match):
    with pytest.raises(UserError, match=match):
        event_data(**options)


@pytest.mark.parametrize("window", [(0, 0, 6), (0, 3, 3), (0, -1, 2), (6, 0, 1)])
def test_windows_beyond_the_frames_are_an_error(window):
    with pytest.raises(UserError, match="beyond"):
        frame_data(windows={"train": [window]})
