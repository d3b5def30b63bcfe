"""A folder of one's own: sound or events, a split that hangs on names, bad files."""

import os

import numpy as np
import pytest
import torch

import sounds
from synaptrace import data
from synaptrace.data.sets import folder
from synaptrace.errors import UserError

WORDS = {"no": 300.0, "oui": 900.0, "yes": 2000.0}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


@pytest.fixture
def words(tmp_path):
    for word, pitch in WORDS.items():
        for take in range(10):
            tone = sounds.tone(pitch + 10 * take, 0.4, seed=take)
            sounds.write(tmp_path / "words" / word / f"{take}.wav", tone)
    (tmp_path / "words" / ".hidden").mkdir()
    (tmp_path / "words" / "yes" / "notes.txt").write_text("loud ones")
    (tmp_path / "words" / "yes" / "._0.wav").write_bytes(b"a resource fork")
    return tmp_path / "words"


def recording(seed: int, size: int = 50) -> np.ndarray:
    draws = np.random.default_rng(seed)
    t = np.sort(draws.integers(0, 30_000, size))
    return np.stack([t, draws.integers(0, 8, size), draws.integers(0, 6, size), t % 2], 1)


@pytest.fixture
def events(tmp_path):
    for label in ("left", "right"):
        (tmp_path / "events" / label).mkdir(parents=True)
        for take in range(5):
            array = recording(take)
            if take % 2:  # with fields, as many tools save events
                fields = [("x", "<u2"), ("y", "<u2"), ("p", "?"), ("t", "<i8")]
                named = np.empty(len(array), fields)
                for i, field in enumerate("txyp"):
                    named[field] = array[:, i]
                array = named
            np.save(tmp_path / "events" / label / f"{take}.npy", array)
    return tmp_path / "events"


def test_sound_becomes_features(words):
    found = data.load("folder", path=words)
    assert found.meta.classes == ("no", "oui", "yes")
    assert found.meta.sizes == {"train": 18, "validation": 6, "test": 6}
    assert found.meta.test_split == "development"
    assert (found.meta.shape, found.meta.steps) == ((120,), 50)
    assert found.meta.features["mel"]["rate"] == 16000
    assert found.meta.features["form"] == "causal"
    labels = torch.cat([labels for _, labels, _ in found.batches("test")])
    assert labels.bincount().tolist() == [2, 2, 2]


def test_events_become_frames(events):
    found = data.load("folder", path=events, rows=6, columns=8, dt=5.0)
    assert found.meta.classes == ("left", "right")
    assert found.meta.shape == (2, 6, 8)
    assert found.meta.sizes == {"train": 6, "validation": 2, "test": 2}
    total = 0
    for split in found.meta.sizes:
        for frames, labels, _ in found.batches(split):
            assert frames.shape == (len(frames), len(labels), 2, 6, 8)
            total += int(frames.sum())
    assert total == 10 * 50


def test_both_forms_of_events_are_read_alike(tmp_path, events):
    prepared = folder.prepare(path=events, rows=6, columns=8)
    for place, name in enumerate(prepared.notes["file"]):
        expected = recording(int(name[-5]))
        expected[:, 0] -= expected[0, 0]
        for i, column in enumerate("txyp"):
            assert prepared[place][column].tolist() == expected[:, i].tolist()


def test_files_keep_their_split_when_others_come(words):
    def where(found):
        names = found.cache.notes["file"]
        return {names[i]: split for split, rows in found.index.items() for i in rows.tolist()}

    before = where(folder.load(path=words))
    for take in range(10, 15):
        sounds.write(words / "no" / f"{take}.wav", sounds.tone(310.0, 0.4, seed=take))
    after = where(folder.load(path=words))
    assert all(after[name] == split for name, split in before.items() if "no/" not in name)
    assert sum(after[name] == split for name, split in before.items()) >= 26


def test_another_rate_or_stereo_is_an_error_unless_resampling_is_asked_for(words):
    tone = sounds.tone(2000.0, 0.4, rate=44100)
    sounds.write(words / "yes" / "a.wav", torch.stack([tone, tone], 1), rate=44100)
    with pytest.raises(UserError, match=r"yes/a\.wav: 2 channels"):
        folder.load(path=words)
    sounds.write(words / "yes" / "a.wav", tone, rate=44100)
    with pytest.raises(UserError, match=r"a\.wav: recorded at 44100 Hz, others at 16000 Hz"):
        folder.load(path=words)
    sounds.write(words / "yes" / "a.wav", torch.stack([tone, tone], 1), rate=44100)
    found = folder.load(path=words, rate=16000, form="clip", batch_size=64)
    names = found.cache.notes["file"]
    band = found.frames.sum(1).argmax(1)
    assert band[names.index("yes/a.wav")] == band[names.index("yes/0.wav")]


def test_what_is_wrong_with_the_folder_is_said(tmp_path, words, events):
    with pytest.raises(UserError, match=r"data\.path: needs the folder"):
        folder.load()
    with pytest.raises(UserError, match="no such folder"):
        folder.load(path=tmp_path / "gone")
    with pytest.raises(UserError, match="two classes at least"):
        folder.load(path=words / "yes")
    (words / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: holds no \.wav or \.npy"):
        folder.load(path=words)
    np.save(words / "empty" / "0.npy", recording(0))
    with pytest.raises(UserError, match=r"sound and events, as .* don't mix"):
        folder.load(path=words)


def test_bad_sound_is_named_or_skipped(words):
    (words / "no" / "0.wav").write_bytes(b"no sound at all" * 9)
    with pytest.raises(UserError, match=r"no/0\.wav: "):
        folder.load(path=words)
    assert len(folder.prepare(path=words, skip_bad=True)) == 29
    for file in words.glob("*/*.wav"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"\.wav: "):
        folder.prepare(path=words, skip_bad=True)


BAD = {
    "truncated, or no array": lambda file: file.write_bytes(file.read_bytes()[:200]),
    "or no array that NumPy": lambda file: file.write_bytes(b""),
    "there is no event": lambda file: np.save(file, recording(0)[:0]),
    "its times go back": lambda file: np.save(file, recording(0)[::-1]),
    "off the 8×6 pixels": lambda file: np.save(file, recording(0) - [0, -65536, 0, 0]),
    "can't be negative": lambda file: np.save(file, recording(0) - [0, 5, 0, 0]),
    "p is 0 or 1": lambda file: np.save(file, recording(0) - [0, 0, 0, -1]),
    "whole numbers": lambda file: np.save(file, recording(0).astype(float)),
    r"events are \(events, 4\)": lambda file: np.save(file, recording(0)[:, :3]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_events_are_named_or_skipped(events, message):
    BAD[message](events / "left" / "2.npy")
    with pytest.raises(UserError, match=rf"left/2\.npy: .*{message}") as caught:
        folder.load(path=events, rows=6, columns=8)
    assert "\n" not in str(caught.value)
    assert len(folder.prepare(path=events, rows=6, columns=8, skip_bad=True)) == 9


def test_a_pickled_array_is_not_executed(events):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(events / "harmed"),)

    np.save(events / "left" / "2.npy", np.array([Harm()], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"2\.npy: truncated, or no array"):
        folder.load(path=events, rows=6, columns=8)
    assert not (events / "harmed").exists()


@pytest.mark.parametrize("form", [np.int64, np.uint64])
@pytest.mark.parametrize("start", [10_000_000, 1_764_000_000_000_000, 2**62])
def test_clocks_may_start_anywhere(events, form, start):
    for file in events.glob("*/*.npy"):
        np.save(file, (recording(int(file.stem)) + np.array([start, 0, 0, 0])).astype(form))
    prepared = folder.prepare(path=events, rows=6, columns=8)
    for place, name in enumerate(prepared.notes["file"]):
        expected = recording(int(name[-5]))[:, 0]
        assert prepared[place]["t"].tolist() == (expected - expected[0]).tolist()
    found = folder.load(path=events, rows=6, columns=8, dt=5.0)
    assert all(len(frames) <= 6 for frames, _, _ in found.batches("train"))


def test_an_absurd_duration_names_the_file(events):
    late = recording(2)
    late[-1, 0] = 3_600_000_000 + late[0, 0] + 1
    np.save(events / "left" / "2.npy", late)
    with pytest.raises(UserError, match=r"left/2\.npy: it lasts 3600 s"):
        folder.load(path=events, rows=6, columns=8)
    assert len(folder.prepare(path=events, rows=6, columns=8, skip_bad=True)) == 9
    late[-1, 0] -= 1
    np.save(events / "left" / "2.npy", late)
    with pytest.raises(UserError, match=r"^left/2\.npy: 36000001 steps .* GiB"):
        folder.load(path=events, rows=6, columns=8, dt=0.1)


def test_fields_of_many_numbers_are_named(events):
    fields = [("x", "<u2"), ("y", "<u2"), ("p", "?"), ("t", "<i8", (2,))]
    np.save(events / "left" / "2.npy", np.zeros(3, fields))
    with pytest.raises(UserError, match=r"left/2\.npy: fields t, x, y, p hold one number each"):
        folder.load(path=events, rows=6, columns=8)


def test_sound_of_absurd_rates_is_named_or_skipped(words):
    for rate in (0, 1, 2**32 - 1):
        content = bytearray((words / "no" / "1.wav").read_bytes())
        content[24:28] = rate.to_bytes(4, "little")
        (words / "no" / "0.wav").write_bytes(content)
        for asked in (None, 16000):
            with pytest.raises(UserError, match=rf"no/0\.wav: .* a rate of {rate} Hz"):
                folder.load(path=words, rate=asked)
    assert len(folder.prepare(path=words, skip_bad=True)) == 29


def test_resampling_out_of_proportion_is_refused(words):
    sounds.write(words / "no" / "0.wav", sounds.tone(20.0, 400.0, rate=100), rate=100)
    with pytest.raises(UserError, match=r"no/0\.wav: 100 Hz resampled to 1000000 Hz asks for"):
        folder.prepare(path=words, rate=1_000_000)
