"""Spoken digits from format-exact miniatures: splits, speakers, augmentation, bad files."""

import os
from pathlib import Path

import pytest
import torch

import sounds
from synaptrace import data
from synaptrace.data.audio.clips import jitter
from synaptrace.data.audio.features import Features
from synaptrace.data.sets import fsdd, spoken
from synaptrace.errors import UserError
from synaptrace.seeds import generator


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return sounds.fsdd(tmp_path_factory.mktemp("fsdd"))


@pytest.fixture(scope="module")
def without_test(tmp_path_factory):
    return sounds.fsdd(tmp_path_factory.mktemp("fsdd"), range(5, 17), "ann bob")


def test_the_first_utterances_are_the_test(digits):
    found = data.load("fsdd", path=digits)
    assert found.meta.sizes == {"test": 150, "validation": 150, "train": 300}
    assert found.meta.test_split == "official"
    assert (found.meta.shape, found.meta.steps) == ((120,), 50)
    assert found.meta.speakers == ("ann", "bob", "eve")
    assert len(found.meta.split_hash) == 64
    for split, size in found.meta.sizes.items():
        labels = torch.cat([labels for _, labels, _ in found.batches(split)])
        assert labels.bincount().tolist() == [size // 10] * 10


def test_a_copy_without_them_takes_the_next_for_a_development_test(without_test):
    found = fsdd.load(path=without_test)
    assert found.meta.sizes == {"test": 100, "validation": 100, "train": 40}
    assert found.meta.test_split == "development"
    numbers = fsdd.prepare(path=without_test).notes["number"]
    for split, expected in {"test": range(5, 10), "validation": range(10, 15)}.items():
        assert {int(numbers[i]) for i in found.index[split]} == set(expected)


def test_a_held_out_speaker_is_heard_by_the_test_alone(digits):
    found = fsdd.load(path=digits, holdout_speaker="bob")
    who = {split: set(found.speaker[rows].tolist()) for split, rows in found.index.items()}
    assert who == {"train": {0}, "general": {0}, "validation": {2}, "test": {1}}
    assert found.meta.sizes == {"train": 150, "general": 50, "validation": 200, "test": 200}
    assert found.meta.test_split == "development"
    last = fsdd.load(path=digits, holdout_speaker="eve")
    assert set(last.speaker[last.index["validation"]].tolist()) == {0}


def test_speakers_that_can_not_be_held_out_are_named(digits, without_test):
    with pytest.raises(UserError, match=r"holdout_speaker: fsdd has no speaker 'al'; it has ann, "):
        fsdd.load(path=digits, holdout_speaker="al")
    with pytest.raises(UserError, match="needs three speakers"):
        fsdd.load(path=without_test, holdout_speaker="ann")


def test_features_of_a_sample_do_not_depend_on_its_batch(digits):
    for form in ("clip", "causal", "pcen"):
        many = fsdd.load(path=digits, form=form, batch_size=64)
        one = fsdd.load(path=digits, form=form, batch_size=1)
        whole = torch.cat([events for events, *_ in many.batches("test")], 1)
        single = torch.cat([events for events, *_ in one.batches("test")], 1)
        torch.testing.assert_close(whole, single)


@pytest.mark.parametrize("form", ["causal", "pcen"])
def test_statistics_are_the_training_set_s_and_go_along(digits, form):
    found = fsdd.load(path=digits, form=form, shift=0, noise=0.0)
    events = torch.cat([events for events, *_ in found.batches("train")], 1).flatten(0, 1)
    torch.testing.assert_close(events.mean(0), torch.zeros(120), atol=1e-3, rtol=0)
    torch.testing.assert_close(events.std(0), torch.ones(120), atol=1e-2, rtol=0)
    features = Features.from_spec(found.meta.features)
    assert len(features.mean) == 120
    torch.testing.assert_close(
        features(found.frames[found.index["test"][:16]].transpose(0, 1)),
        next(iter(found.batches("test")))[0],
    )


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"encoding": "delta", "noise": 0.0}, (50, 80)),
        ({"encoding": "lif", "noise": 0.0, "form": "clip"}, (50, 40)),
        ({"hop": 10.0}, (100, 120)),
        ({"bands": 20, "seconds": 0.5}, (25, 60)),
    ],
)
def test_options(digits, options, shape):
    found = fsdd.load(path=digits, **options)
    events, labels, _ = next(iter(found.batches("train", generator(0))))
    assert events.shape == (shape[0], len(labels), shape[1])
    assert (found.meta.steps, *found.meta.shape) == shape
    if "encoding" in options:
        assert events.sum() > 0
        assert torch.equal(events, events.round())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"form": "middle"}, "form"),
        ({"encoding": "rate", "noise": 0.0}, "encoding"),
        ({"encoding": "delta", "noise": 0.1}, "noise"),
        ({"noise": -1.0}, "noise"),
        ({"shift": 50}, "shift"),
        ({"shift": -1}, "shift"),
        ({"hop": 0.0}, "hop"),
        ({"hop": 40.0}, "hop"),
        ({"bands": 0}, "bands"),
        ({"seconds": 0.0}, "seconds"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_options_out_of_range_are_named(without_test, options, key):
    with pytest.raises(UserError, match=rf"^data\.{key}: "):
        fsdd.load(path=without_test, **options)


def test_missing_files_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="synaptrace data fetch fsdd"):
        fsdd.load()
    with pytest.raises(UserError, match="no FSDD here"):
        fsdd.load(path=tmp_path)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (torch.zeros(900, 2), 8000, "2 channels"),
        (torch.zeros(900), 16000, "recorded at 16000 Hz, where 8000 Hz"),
        (torch.zeros(0), 8000, "holds no samples"),
    ],
)
def test_a_bad_file_is_named_or_skipped(tmp_path, samples, rate, message):
    path = sounds.fsdd(tmp_path / "f", range(0, 11), "ann")
    sounds.write(path / "recordings" / "3_ann_7.wav", samples, rate)
    with pytest.raises(UserError, match=rf"3_ann_7\.wav: {message}"):
        fsdd.load(path=path)
    prepared = fsdd.prepare(path=path, skip_bad=True)
    assert len(prepared) == 109
    assert len(prepared.skipped) == 1
    with pytest.warns(UserWarning, match="1 bad file"):
        assert fsdd.load(path=path).meta.sizes == {"test": 50, "validation": 49, "train": 10}


def test_training_moves_and_disturbs_samples_by_its_generator_alone(digits):
    found = fsdd.load(path=digits)
    first = torch.cat([events for events, *_ in found.batches("train", generator(0))], 1)
    again = torch.cat([events for events, *_ in found.batches("train", generator(0))], 1)
    assert torch.equal(first, again)
    plain = fsdd.load(path=digits, shift=0, noise=0.0)
    still = torch.cat([events for events, *_ in plain.batches("train", generator(0))], 1)
    assert not torch.equal(first, still)
    kept = torch.cat([events for events, *_ in found.batches("test")], 1)
    assert torch.equal(kept, torch.cat([events for events, *_ in plain.batches("test")], 1))


def test_a_move_repeats_the_edge_or_lets_nothing_in():
    events = torch.arange(1.0, 6.0)[:, None, None].expand(5, 300, 2)
    moved = jitter(events, generator(0), frames=2, noise=0.0)
    seen = {tuple(row) for row in moved[..., 0].T.int().tolist()}
    assert seen == {
        (3, 4, 5, 5, 5),
        (2, 3, 4, 5, 5),
        (1, 2, 3, 4, 5),
        (1, 1, 2, 3, 4),
        (1, 1, 1, 2, 3),
    }
    empty = jitter(events, generator(0), frames=2, noise=0.0, edge=False)
    seen = {tuple(row) for row in empty[..., 1].T.int().tolist()}
    assert seen == {
        (3, 4, 5, 0, 0),
        (2, 3, 4, 5, 0),
        (1, 2, 3, 4, 5),
        (0, 1, 2, 3, 4),
        (0, 0, 1, 2, 3),
    }
    noisy = jitter(events, generator(0), frames=2, noise=0.5) - moved
    assert abs(noisy.std() - 0.5) < 0.02
    assert abs(noisy.mean()) < 0.03


@pytest.mark.skipif("SYNAPTRACE_TEST_DATA" not in os.environ, reason="needs SYNAPTRACE_TEST_DATA")
def test_the_real_recordings():
    found = fsdd.load(path=Path(os.environ["SYNAPTRACE_TEST_DATA"]) / "fsdd")
    assert found.meta.sizes == {"train": 2100, "validation": 300, "test": 300}
    assert found.meta.test_split == "development"
    assert len(found.meta.speakers) == 6
    for split, size in found.meta.sizes.items():
        assert found.labels[found.index[split]].bincount().tolist() == [size // 10] * 10
        assert found.speaker[found.index[split]].bincount().tolist() == [size // 6] * 6


def test_hidden_recordings_are_not_data(tmp_path):
    path = sounds.fsdd(tmp_path / "f", range(5, 7), "ann")
    whole = len(fsdd.prepare(path=path))
    (path / ".old").mkdir()
    (path / ".old" / "0_ann_9.wav").write_bytes(b"a copy")
    assert len(fsdd.prepare(path=path)) == whole == 20


def test_louder_clips_are_the_same_to_pcen_and_not_to_logarithms(tmp_path):
    path = sounds.fsdd(tmp_path / "f")
    for form, (low, high) in {"pcen": (0.0, 0.05), "causal": (0.2, 9.0)}.items():
        found = fsdd.load(path=path, form=form)
        plain, quiet = (
            next(each.batches("test"))[0] for each in (found, spoken.louder(found, -20.0))
        )
        assert low < (quiet - plain).norm() / plain.norm() < high
    with pytest.raises(UserError, match=r"--gain: nan dB is not from"):
        spoken.louder(found, float("nan"))
    with pytest.raises(UserError, match=r"--gain: digits is not sound"):
        spoken.louder(data.load("digits"), 3.0)
