"""SHD and SSC from format-exact miniatures: times, splits by speaker, corrupt files."""

import numpy as np
import pytest
import torch

import recordings
from synaptrace import data
from synaptrace.data.sets import shd, ssc
from synaptrace.errors import UserError

h5py = pytest.importorskip("h5py", reason="h5py isn't installed")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


@pytest.fixture
def path(tmp_path):
    recordings.heidelberg(tmp_path / "shd" / "shd_train.h5", samples=160, speakers=8)
    recordings.heidelberg(tmp_path / "shd" / "shd_test.h5", samples=40, speakers=2, seed=1)
    return tmp_path / "shd"


def test_shd(path):
    found = data.load("shd", path=path)
    assert found.meta.shape == (700,)
    assert found.meta.steps is None
    assert found.meta.test_split == "official"
    assert found.meta.sizes == {"train": 140, "validation": 20, "test": 40}
    assert found.meta.classes[:3] == ("word0", "word1", "word2")
    assert found.meta.speakers == tuple("01234567")


def test_validation_speakers_do_not_train(path):
    found = shd.load(path=path, validation=0.2)
    speakers = np.array(found.cache.notes["speaker"])
    held = set(speakers[found.index["validation"]])
    assert len(held) == 2
    assert held.isdisjoint(speakers[found.index["train"]])
    assert set(shd.load(path=path, validation=0.0).meta.sizes) == {"train", "test"}


def test_every_spike_is_where_the_file_has_it(tmp_path):
    times, units = recordings.heidelberg(tmp_path / "shd_test.h5", seed=1, sort=False)
    recordings.heidelberg(tmp_path / "shd_train.h5")
    found = shd.load(path=tmp_path, dt=10.0, batch_size=16)
    place = 0
    for events, labels, lengths in found.batches("test"):
        for b in range(len(labels)):
            wanted = torch.zeros(len(events), 700)
            for t, unit in zip(times[place], units[place], strict=True):
                wanted[int(np.floor(float(t) * 1e6)) // 10_000, int(unit)] += 1
            assert torch.equal(events[:, b], wanted)
            assert labels[b] == place % 20
            assert lengths[b] == wanted.any(1).nonzero().max() + 1
            place += 1
    assert place == 40


def test_as_tonic_reads(path):
    hsd = pytest.importorskip("tonic.datasets.hsd", reason="tonic isn't installed")
    theirs = hsd.HSD.__new__(hsd.HSD)
    theirs.location_on_system, theirs.data_filename = str(path), "shd_test.h5"
    theirs.transform = theirs.target_transform = None
    ours = shd.prepare(path=path)
    start = ours.notes["split"].index("test")
    for i in range(40):
        events, target = theirs[i]
        np.testing.assert_array_equal(ours[start + i]["t"], events["t"])
        np.testing.assert_array_equal(ours[start + i]["x"], events["x"])
        assert ours.labels[start + i] == target


def test_options(path):
    events, labels, _ = next(iter(shd.load(path=path, pool=7, dt=20.0).batches("train")))
    assert events.shape[1:] == (len(labels), 100)
    assert next(iter(shd.load(path=path, binary=True, pool=700).batches("test")))[0].max() == 1
    with pytest.raises(UserError, match=r"^data\.pool: "):
        shd.load(path=path, pool=3)


def test_the_published_form(path):
    found = shd.load(path=path, published=True, batch_size=16)
    batches = list(found.batches("test"))
    assert [len(labels) for _, labels, _ in batches] == [16, 16]  # the last 8 are left out
    assert all(lengths is None for _, _, lengths in batches)
    corrected = list(shd.load(path=path, batch_size=16).batches("test"))
    assert sum(len(labels) for _, labels, _ in corrected) == 40
    assert torch.equal(corrected[0][0], batches[0][0])


def test_ssc(tmp_path):
    for seed, split in enumerate(("train", "valid", "test")):
        recordings.heidelberg(tmp_path / f"ssc_{split}.h5", 70, classes=35, seed=seed)
    found = data.load("ssc", path=tmp_path)
    assert found.meta.sizes == {"train": 70, "validation": 70, "test": 70}
    assert len(found.meta.classes) == 35
    assert found.meta.test_split == "official"


def test_a_copy_without_test_file(tmp_path):
    recordings.heidelberg(tmp_path / "ssc_train.h5", 350, classes=35)
    found = ssc.load(path=tmp_path)
    assert found.meta.test_split == "development"
    speakers = np.array(found.cache.notes["speaker"])
    who = [set(speakers[rows]) for rows in found.index.values()]
    assert len(who) == 3
    assert sum(map(len, who)) == len(set.union(*who)) == 4


def fails(path, match):
    with pytest.raises(UserError, match=match) as caught:
        shd.load(path=path)
    assert "shd_train.h5" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_corrupt_files_are_named(path):
    file = path / "shd_train.h5"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    fails(path, "not a whole HDF5 file")
    file.write_bytes(b"no HDF5 at all")
    fails(path, "not a whole HDF5 file")
    file.write_bytes(b"")
    fails(path, "not a whole HDF5 file")
    with h5py.File(file, "w") as other:
        other["something"] = 1
    fails(path, "not a whole HDF5 file")


def change(path, name, i, value):
    with h5py.File(path / "shd_train.h5", "r+") as file:
        file[name][i] = value


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("spikes/times", np.array([], dtype=np.float16), "sample 3 has 0 times"),
        ("spikes/times", np.array([0.1], dtype=np.float16), "sample 3 has 1 times"),
        ("spikes/units", np.full(38, 700, dtype=np.uint16), "channel 700"),
        ("labels", 20, "label 20"),
    ],
)
def test_bad_samples_are_named_or_skipped(path, name, value, match):
    if name == "spikes/units":
        with h5py.File(path / "shd_train.h5") as file:
            value = np.full(len(file["spikes/times"][3]), 700, dtype=np.uint16)
    change(path, name, 3, value)
    fails(path, match)
    cache = shd.prepare(path=path, skip_bad=True)
    assert len(cache) == 199
    assert "sample 3" in cache.skipped[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_times_that_are_none_are_named(path, bad):
    with h5py.File(path / "shd_train.h5", "r+") as file:
        times = file["spikes/times"][5]
        times[0] = bad
        file["spikes/times"][5] = times
    fails(path, "sample 5 has spikes at times")


def replaced(path, name, value=None):
    """The training file with another column in place of ``name``; opened to be written to."""
    file = h5py.File(path / "shd_train.h5", "r+")
    old = file[name][:]
    del file[name]
    if value is not None:
        file[name] = value(old)
    return file


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("labels", lambda old: old + 0.7, "labels are no whole numbers"),
        ("labels", lambda old: np.array([b"one"] * len(old)), "labels are no whole numbers"),
        ("labels", lambda old: np.stack([old, old], 1), "labels has 2 dimensions"),
        ("labels", lambda old: 3, "labels has 0 dimensions"),
        ("extra/speaker", lambda old: old + 0.5, "speaker are no whole numbers"),
        ("extra/keys", lambda old: np.array([b"\xff"] * 20), "invalid start byte"),
        ("extra/keys", lambda old: np.arange(20), "decode"),
        ("spikes/times", lambda old: 1.0, "times has 0 dimensions"),
        ("spikes/times", lambda old: np.zeros((len(old), 2)), "times has 2 dimensions"),
        ("spikes/units", lambda old: np.zeros(3), "it holds .* labels"),
    ],
)
def test_columns_of_other_kinds_are_named(path, name, value, match):
    replaced(path, name, value).close()
    fails(path, match)


def test_scalar_times_are_named(path):
    replaced(path, "spikes/times", lambda old: np.zeros(len(old))).close()
    fails(path, "sample 0 can't be read")


def test_fractions_of_channels_are_named(path):
    with replaced(path, "spikes/units") as file:
        column = file.create_dataset("spikes/units", (160,), dtype=h5py.vlen_dtype(np.float32))
        for i in range(160):
            column[i] = np.full(len(file["spikes/times"][i]), 1.7, np.float32)
    fails(path, "sample 0 can't be read.*channels of float32")


def test_links_and_values_in_other_files_are_refused(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(320))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["labels"] = np.zeros(160, np.uint16)
    layout = h5py.VirtualLayout((160,), np.uint16)
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "labels", (160,))
    makers = {
        "a link": lambda file: file.__setitem__(
            "labels", h5py.ExternalLink(str(tmp_path / "other.h5"), "labels")
        ),
        "missing or a link": lambda file: file.__setitem__("labels", h5py.SoftLink("/labels")),
        "kept in it": lambda file: file.create_virtual_dataset("labels", layout),
        "isn't kept": lambda file: file.create_dataset(
            "labels", (160,), np.uint16, external=[(str(secret), 0, 320)]
        ),
        "labels isn't": lambda file: file.create_group("labels"),
    }
    for match, make in makers.items():
        with replaced(path, "labels", lambda old: old) as file:
            del file["labels"]
            make(file)
        fails(path, match)
        with h5py.File(path / "shd_train.h5", "r+") as file:
            del file["labels"]
            file["labels"] = np.zeros(160, np.uint16)


def test_rows_that_the_file_cannot_hold_are_refused(path):
    with replaced(path, "labels") as file:
        file.create_dataset("labels", (2**34,), np.uint8, chunks=(2**20,))
    fails(path, "labels asks for .* GiB")


@pytest.mark.parametrize("chunks", [None, (50,)])
def test_spikes_that_the_file_cannot_hold_are_named_or_skipped(path, chunks):
    with replaced(path, "spikes/times") as file:
        kind = h5py.vlen_dtype(np.float16)
        column = file.create_dataset("spikes/times", (160,), dtype=kind, chunks=chunks)
        for i in range(160):
            column[i] = np.linspace(0, 1, len(file["spikes/units"][i])).astype(np.float16)
        file.flush()
        at, place = column.id.get_offset(), 70
        if chunks:
            at, place = column.id.get_chunk_info(1).byte_offset, 20
    content = bytearray((path / "shd_train.h5").read_bytes())
    content[at + 16 * place : at + 16 * place + 4] = (2**31).to_bytes(4, "little")
    (path / "shd_train.h5").write_bytes(content)
    fails(path, "sample 70 states 4294967296 bytes of spikes")
    assert len(shd.prepare(path=path, skip_bad=True)) == 199


def test_a_late_spike_is_named(path):
    with h5py.File(path / "shd_train.h5", "r+") as file:
        times = file["spikes/times"][5].astype(np.float64)
        times[0] = 1990.0
        file["spikes/times"][5] = times
    with pytest.raises(UserError, match=r"^shd_train\.h5:5: 199\d+ steps .* asks for 33"):
        shd.load(path=path, dt=1.0)


def test_missing_files_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="synaptrace data fetch shd"):
        shd.load()
    with pytest.raises(UserError, match=r"shd_train\.h5, shd_test\.h5"):
        shd.load(path=tmp_path)
