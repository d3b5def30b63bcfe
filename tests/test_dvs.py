"""DVS128 Gesture and DVS-CIFAR10 from format-exact miniatures."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import recordings
from synaptrace import data
from synaptrace.data import splits
from synaptrace.data.sets import dvscifar10, dvsgesture
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


def test_gestures_in_the_official_form(tmp_path):
    found = data.load("dvsgesture", path=recordings.gestures(tmp_path / "g"))
    meta = found.meta
    assert meta.shape == (2, 32, 32)
    assert meta.test_split == "official"
    assert meta.speakers == tuple(f"user{i:02d}" for i in range(1, 7))
    # 3.3 s are 43 or 44 frames of 75 ms: two slices of 21 steps; 3 of 4 subjects train.
    assert meta.sizes == {"train": 3 * 11 * 2, "validation": 11, "test": 22}
    for events, labels, lengths in found.batches("train"):
        assert events.shape == (21, len(labels), 2, 32, 32)
        assert lengths is None
    events, labels, lengths = next(iter(found.batches("test")))
    assert labels.tolist() == 2 * list(range(11))
    assert 42 <= len(events) <= 43


def test_validation_subjects_do_not_train(tmp_path):
    found = dvsgesture.load(path=recordings.gestures(tmp_path / "g"))
    subjects = np.array(found.cache.notes["subject"])
    held = set(subjects[found.windows["validation"][:, 0]])
    assert len(held) == 1
    assert held.isdisjoint(subjects[found.windows["train"][:, 0]])
    assert "validation" not in dvsgesture.load(path=tmp_path / "g", validation=0.0).meta.sizes


def frames_by_hand(t, x, y, p, steps):
    picture = np.zeros((steps, 2, 128, 128), dtype=np.float32)
    for t1, x1, y1, p1 in zip(t, x, y, p, strict=True):
        if t1 // 75_000 < steps:
            picture[t1 // 75_000, p1, y1, x1] += 1
    return torch.from_numpy(picture)


@pytest.mark.parametrize("published", [False, True])
def test_gesture_frames_are_those_by_hand(tmp_path, published):
    recordings.gestures(tmp_path / "g", subjects=2, test=1)
    cache = dvsgesture.prepare(path=tmp_path / "g", published=published)
    seen = set()
    for i in range(len(cache)):
        subject, split = int(cache.notes["subject"][i][4:]), cache.notes["split"][i]
        given = recordings.events(100 * subject + cache.labels[i] + 1, 300, (128, 128), 3_300_000)
        found = torch.from_numpy(cache[i]["frames"].astype(np.float32))
        picture = frames_by_hand(*given, len(found))
        wanted = F.interpolate(
            picture, (32, 32), mode="bilinear", antialias=not published or split == "test"
        )
        assert picture.sum() > 280
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-6)
        seen.add(split)
    assert seen == {"train", "test"}


def test_gestures_in_files_of_their_own(tmp_path):
    found = dvsgesture.load(path=recordings.separate_gestures(tmp_path / "g"))
    assert found.meta.sizes == {"train": 2 * 11 * 2, "validation": 11, "test": 11}
    assert found.meta.test_split == "official"


def test_gestures_without_test_trials(tmp_path):
    found = dvsgesture.load(path=recordings.gestures(tmp_path / "g", subjects=5, test=0))
    assert found.meta.test_split == "development"
    assert found.meta.sizes["test"] == 11


def test_gestures_without_test_trials_share_no_subject(tmp_path):
    path = recordings.separate_gestures(tmp_path / "g", subjects=5, test=0)
    found = dvsgesture.load(path=path)
    subjects = found.cache.notes["subject"]
    who = {split: {subjects[i] for i, *_ in found.windows[split]} for split in found.meta.sizes}
    assert {split: len(names) for split, names in who.items()} == {
        "train": 3,
        "validation": 1,
        "test": 1,
    }
    assert len(set.union(*who.values())) == 5


def test_lists_of_trials_are_read_however_they_were_saved(tmp_path):
    path = recordings.gestures(tmp_path / "g")
    whole = dvsgesture.load(path=path).meta
    for split in ("train", "test"):
        listed = path / "DvsGesture" / f"trials_to_{split}.txt"
        names = listed.read_text().split()
        listed.write_text("\ufeff" + "\r\n".join(f".\\{name}" for name in names))
    assert dvsgesture.load(path=path).meta == whole
    listed.write_text("user99_led.aedat\n")
    with pytest.raises(UserError, match=r"trials_to_test\.txt: of the 1 files .* none is here"):
        dvsgesture.load(path=path)


def test_hidden_recordings_are_not_data(tmp_path):
    path = recordings.separate_gestures(tmp_path / "g", subjects=3)
    whole = dvsgesture.load(path=path).meta
    (path / "ibmGestureTrain/user01_led/._0.npy").write_bytes(b"a resource fork")
    assert dvsgesture.load(path=path).meta == whole


def test_short_gestures_are_used_whole(tmp_path):
    found = dvsgesture.load(path=recordings.gestures(tmp_path / "g", seconds=0.8))
    assert found.meta.sizes["train"] == 33
    assert all(len(events) <= 10 for events, _, _ in found.batches("train"))


def test_bad_trials_are_named_or_skipped(tmp_path):
    path = recordings.gestures(tmp_path / "g")
    folder = path / "DvsGesture"
    (folder / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n12,1,2\n")
    with pytest.raises(UserError, match=r"user01_led_labels\.csv: classes beyond"):
        dvsgesture.load(path=path)
    (folder / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,1,2\n")
    with pytest.raises(UserError, match=r"user01_led\.aedat: no event in gesture 0"):
        dvsgesture.load(path=path)
    (folder / "user01_led_labels.csv").write_text("nonsense\nmore, of it\n")
    with pytest.raises(UserError, match="not a table"):
        dvsgesture.load(path=path)
    cache = dvsgesture.prepare(path=path, skip_bad=True)
    assert len(cache) == 55
    (folder / "user01_led_labels.csv").unlink()
    with pytest.raises(UserError, match=r"user01_led_labels\.csv: can't be read"):
        dvsgesture.load(path=path)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (np.zeros((5, 3)), "not rows of x, y, p"),
        (np.zeros((0, 4)), "no event"),
        (np.array([[0, 0, 1, 5], [0, 0, 1, 4]]), "go back"),
        (np.array([[0, 128, 1, 5]]), "off the"),
        (np.array([[0, 0, 2, 5]]), "polarities"),
        (np.array([["a", "b", "c", "d"]]), "not rows"),
        (np.array([[0, 0, 1, 5], [0, 0, 1, np.inf]]), "times that are none"),
        (np.array([[0, 0, 1, 5], [0, 0, 1, np.nan]]), "times that are none"),
        (np.array([[0, 0, 1, 5], [0.5, 0, 1, 6]]), "fractions of pixels"),
        (np.array([[0, 0, 1, 5], [0, 0, 1, 4e6]]), "lasts an hour at most"),
        (np.array([[0, 0, 1, 5], [0, 0, 1, 3e6]]), "asks for 4.88 GiB"),
    ],
)
def test_bad_gesture_files_are_named(tmp_path, table, match):
    path = recordings.separate_gestures(tmp_path / "g")
    bad = path / "ibmGestureTrain" / "user02_led" / "4.npy"
    np.save(bad, table)
    with pytest.raises(UserError, match=match) as caught:
        dvsgesture.load(path=path)
    assert str(bad) in str(caught.value)


def test_pickled_gestures_are_not_loaded(tmp_path):
    path = recordings.separate_gestures(tmp_path / "g")
    np.save(path / "ibmGestureTrain" / "user01_led" / "0.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"0\.npy: truncated, or no array that NumPy saved"):
        dvsgesture.load(path=path)


NUMBERS = (0, 1, 2, 3, 799, 800, 899, 900, 999)


def test_cifar10_keeps_the_stored_split(tmp_path):
    path = recordings.cifar10(tmp_path / "c", NUMBERS, dvscifar10.CLASSES)
    found = data.load("dvscifar10", path=path)
    assert found.meta.sizes == {"train": 50, "validation": 20, "test": 20}
    assert found.meta.shape == (2, 48, 48)
    assert found.meta.steps == 10
    numbers = np.array([int(n) for n in found.cache.notes["number"]])
    assert set(numbers[found.windows["train"][:, 0]]) == {0, 1, 2, 3, 799}
    assert set(numbers[found.windows["test"][:, 0]]) == {900, 999}
    assert dvscifar10.load(path=path, validation=False).meta.sizes == {"train": 70, "test": 20}


def test_the_stored_split_is_the_published_one():
    known = "c8b6b6610178d9e6c0f9ffe08449e06d37075eb6a7237efea990ddea4e79b346"
    index = splits.load(dvscifar10.INDEX, samples=10_000, expected=known)
    for label in range(10):
        own = {k: [i - 1000 * label for i in v if i // 1000 == label] for k, v in index.items()}
        assert own["train"] == list(range(800))
        assert own["validation"] == list(range(800, 900))
        assert own["test"] == list(range(900, 1000))


def test_cifar10_frames_are_those_by_hand(tmp_path):
    path = recordings.cifar10(tmp_path / "c", (0, 850, 950), dvscifar10.CLASSES)
    found = dvscifar10.load(path=path)
    for split, number in (("train", 0), ("validation", 850), ("test", 950)):
        events, labels, _ = next(iter(found.batches(split)))
        assert sorted(labels.tolist()) == list(range(10))
        for b, label in enumerate(labels.tolist()):
            t, x, y, p = recordings.events(1000 * label + number, 300, (128, 128), 1_300_000)
            picture = np.zeros((10, 2, 128, 128), dtype=np.float32)
            np.add.at(picture, ((t - t[0]) * 10 // (t[-1] - t[0] + 1), p, y, x), 1)
            assert picture.sum() == 300
            wanted = F.interpolate(torch.from_numpy(picture), (48, 48), mode="bilinear")
            torch.testing.assert_close(events[:, b], wanted, rtol=1e-3, atol=1e-6)


def test_the_published_test_of_cifar10_is_a_part(tmp_path):
    path = recordings.cifar10(tmp_path / "c", (0, 850, 950, 951, 952), dvscifar10.CLASSES)
    assert dvscifar10.load(path=path, published=True).meta.sizes["test"] == 29  # of 30: 960 ‰


def test_a_copy_of_cifar10_without_test_recordings(tmp_path):
    path = recordings.cifar10(tmp_path / "c", range(5), dvscifar10.CLASSES)
    found = dvscifar10.load(path=path)
    assert found.meta.sizes == {"train": 30, "validation": 10, "test": 10}
    assert found.meta.test_split == "development"


def test_training_frames_are_cropped_and_mirrored(tmp_path):
    path = recordings.cifar10(tmp_path / "c", NUMBERS, dvscifar10.CLASSES)
    plain = dvscifar10.load(path=path, shift=0, flip=False)
    changed = dvscifar10.load(path=path)
    gen = [torch.Generator().manual_seed(0) for _ in range(2)]
    (a, labels_a, _), (b, labels_b, _) = (
        next(iter(d.batches("train", g))) for d, g in zip((plain, changed), gen, strict=True)
    )
    assert torch.equal(labels_a, labels_b)
    assert not torch.equal(a, b)
    assert b.sum() <= a.sum()


def test_bad_recordings_of_cifar10_are_named(tmp_path):
    path = recordings.cifar10(tmp_path / "c", range(5), dvscifar10.CLASSES)
    (path / "cat" / "cifar10_cat_1000.aedat").write_bytes(b"")
    with pytest.raises(UserError, match=r"cifar10_cat_1000\.aedat: its name"):
        dvscifar10.load(path=path)
    (path / "cat" / "cifar10_cat_1000.aedat").unlink()
    (path / "cat" / "cifar10_cat_7.aedat").write_bytes(b"#!AER-DAT2.0\r\n")
    with pytest.raises(UserError, match=r"cifar10_cat_7\.aedat: there is no event"):
        dvscifar10.load(path=path)


@pytest.mark.parametrize("source", [dvsgesture, dvscifar10])
def test_missing_files_and_options_out_of_range(tmp_path, source):
    with pytest.raises(UserError, match=f"synaptrace data fetch {source.SOURCE.name}"):
        source.load()
    with pytest.raises(UserError, match="here"):
        source.load(path=tmp_path)
    for options, key in (
        ({"size": 0}, "size"),
        ({"size": 129}, "size"),
        ({"shift": 48}, "shift"),
        ({"shift": -1}, "shift"),
    ):
        with pytest.raises(UserError, match=rf"^data\.{key}: "):
            source.load(path=tmp_path, **options)


def test_one_recording_is_read_as_the_data_set_reads_it(tmp_path):
    path = recordings.cifar10(tmp_path / "c", NUMBERS, dvscifar10.CLASSES)
    found = dvscifar10.load(path=path, batch_size=100)
    events, _, _ = next(iter(found.batches("test")))
    files = [found.cache.notes["file"][i] for i in found.windows["test"][:, 0]]
    for place, file in enumerate(files):
        alone = dvscifar10.read_file(path / file)
        torch.testing.assert_close(alone, events[:, place], rtol=1e-3, atol=1e-6)


def test_hidden_pictures_are_not_data(tmp_path):
    path = recordings.cifar10(tmp_path / "c", [0], dvscifar10.CLASSES)
    (path / dvscifar10.CLASSES[0] / f"._cifar10_{dvscifar10.CLASSES[0]}_0.aedat").write_bytes(
        b"fork"
    )
    assert len(dvscifar10.prepare(path=path)) == 10


def test_gestures_keep_fractions_of_milliseconds(tmp_path):
    path = recordings.separate_gestures(tmp_path / "g", subjects=1, test=0)
    file = path / "ibmGestureTrain" / "user01_led" / "4.npy"
    np.save(file, np.array([[0, 0, 1, 5.25], [1, 0, 1, 6.5]]))
    label, name, found = dvsgesture._read_array(file)
    assert (label, name, found.t.tolist(), found.x.tolist()) == (4, "4.npy", [0, 1250], [0, 1])


@pytest.mark.parametrize("name", ["0 (1).npy", "²4.npy", "a.npy", "11.npy"])
def test_gestures_by_other_names_are_named_or_skipped(tmp_path, name):
    path = recordings.separate_gestures(tmp_path / "g", subjects=2)
    file = path / "ibmGestureTrain" / "user02_led" / "4.npy"
    file.rename(file.with_name(name))
    with pytest.raises(UserError, match="its name is no class") as caught:
        dvsgesture.load(path=path)
    assert name in str(caught.value)
    assert len(dvsgesture.prepare(path=path, skip_bad=True)) == 32


@pytest.mark.parametrize("row", ["1,-5,2000000", f"1,0,{10**30}", ""])
def test_odd_times_of_gestures_are_named(tmp_path, row):
    path = recordings.gestures(tmp_path / "g", subjects=2, test=1, seconds=0.5)
    listed = path / "DvsGesture" / "user01_led_labels.csv"
    listed.write_text(f"class,startTime_usec,endTime_usec\n{row}\n")
    with pytest.raises(UserError, match=r"user01_led_labels\.csv: "):
        dvsgesture.load(path=path)
