"""N-MNIST from format-exact miniatures: layout, splits, options, bad files."""

import pytest
import torch

import recordings
from synaptrace import data
from synaptrace.data.sets import nmnist
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


def test_a_partial_copy_without_test_files(tmp_path):
    found = data.load("nmnist", path=recordings.nmnist(tmp_path / "n"))
    assert found.meta.sizes == {"train": 60, "validation": 20, "test": 20}
    assert found.meta.test_split == "development"
    assert found.meta.shape == (2, 34, 34)
    assert found.meta.steps == 100
    assert len(found.meta.split_hash) == 64
    for split in ("train", "validation", "test"):
        labels = torch.cat([labels for _, labels, _ in found.batches(split)])
        assert labels.bincount().tolist() == [found.meta.sizes[split] // 10] * 10


def test_the_official_test_is_kept(tmp_path):
    found = nmnist.load(path=recordings.nmnist(tmp_path / "n", train=10, test=3))
    assert found.meta.sizes == {"train": 90, "validation": 10, "test": 30}
    assert found.meta.test_split == "official"
    published = nmnist.load(path=tmp_path / "n", validation=0.0)
    assert published.meta.sizes == {"train": 100, "test": 30}


def test_frames_show_the_recordings(tmp_path):
    found = nmnist.load(path=recordings.nmnist(tmp_path / "n"), saccades=3)
    for events, labels, lengths in found.batches("test"):
        assert lengths is None
        assert len(events) == 315
        assert events.sum() == 200 * len(labels)  # every event of every recording
        columns = events.sum((0, 2, 3)).argmax(1)
        assert ((columns - 3 * labels).abs() <= 3).all()  # where the miniature shows the digit


def test_options(tmp_path):
    path = recordings.nmnist(tmp_path / "n")
    shapes = {
        (100, 2, 34, 34): {},
        (50, 2, 34, 34): {"dt": 2.0},
        (210, 2, 34, 34): {"saccades": 2},
        (100, 1, 34, 34): {"merge": True},
        (100, 2, 17, 17): {"pool": 2},
        (100, 2, 28, 28): {"crop": 28},
        (35, 6, 34, 34): {"saccades": 3, "stack": True, "dt": 3.0},
        (105, 2, 34, 34): {"saccades": 2, "stack": True, "merge": True},
    }
    for shape, options in shapes.items():
        events, labels, _ = next(iter(nmnist.load(path=path, **options).batches("train")))
        assert events.shape == (shape[0], len(labels), *shape[1:])
    binary = next(iter(nmnist.load(path=path, binary=True, dt=50.0).batches("train")))[0]
    counts = next(iter(nmnist.load(path=path, dt=50.0).batches("train")))[0]
    assert counts.max() > 1
    assert torch.equal(binary, counts.clamp(max=1))


def test_stacked_saccades_are_the_same_events(tmp_path):
    path = recordings.nmnist(tmp_path / "n")
    stacked = nmnist.load(path=path, saccades=3, stack=True)
    plain = nmnist.load(path=path, saccades=3)
    for (a, _, _), (b, _, _) in zip(stacked.batches("test"), plain.batches("test"), strict=True):
        one_after_another = a.unflatten(2, (3, 2)).movedim(2, 0).flatten(0, 1)
        assert torch.equal(one_after_another, b)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"saccades": 4}, "saccades"),
        ({"dt": 0.0}, "dt"),
        ({"pool": 3}, "pool"),
        ({"shift": 40}, "shift"),
    ],
)
def test_options_out_of_range_are_named(tmp_path, options, key):
    path = recordings.nmnist(tmp_path / "n", train=2)
    with pytest.raises(UserError, match=rf"^data\.{key}: "):
        nmnist.load(path=path, **options)


def test_missing_files_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="synaptrace data fetch nmnist"):
        nmnist.load()
    (tmp_path / "n").mkdir()
    with pytest.raises(UserError, match="no N-MNIST here"):
        nmnist.load(path=tmp_path / "n")


def test_a_bad_file_is_named_or_skipped(tmp_path):
    path = recordings.nmnist(tmp_path / "n")
    bad = path / "Train" / "3" / "00004.bin"
    bad.write_bytes(bad.read_bytes()[:-2])
    with pytest.raises(UserError, match=r"00004\.bin: cut short"):
        nmnist.load(path=path)
    cache = nmnist.prepare(path=path, skip_bad=True)
    assert len(cache) == 99
    assert len(cache.skipped) == 1
    with pytest.warns(UserWarning, match="1 bad file"):
        assert sum(nmnist.load(path=path).meta.sizes.values()) == 99


def test_new_files_are_noticed(tmp_path):
    path = recordings.nmnist(tmp_path / "n", train=3)
    assert len(nmnist.prepare(path=path)) == 30
    recordings.nmnist(tmp_path / "n", train=4)
    assert len(nmnist.prepare(path=path)) == 40


@pytest.mark.parametrize(
    "options",
    [
        {"dt": 5.0, "merge": True, "crop": 32, "pool": 2},
        {"saccades": 2, "stack": True, "align": True},
    ],
)
def test_one_recording_is_read_as_the_data_set_reads_it(tmp_path, options):
    path = recordings.nmnist(tmp_path / "n", train=5)
    found = nmnist.load(path=path, batch_size=100, **options)
    events, _, _ = next(iter(found.batches("validation")))
    files = [found.cache.notes["file"][i] for i in found.index["validation"]]
    for place, file in enumerate(files):
        assert torch.equal(nmnist.read_file(path / file, **options), events[:, place])


def test_hidden_files_are_not_data(tmp_path):
    path = recordings.nmnist(tmp_path / "n", train=5)
    whole = nmnist.load(path=path).meta
    (path / "Train" / "0" / "._00001.bin").write_bytes(b"a resource fork")
    assert nmnist.load(path=path).meta == whole


def test_a_clock_that_runs_beyond_32_bits_is_named(tmp_path):
    path = recordings.nmnist(tmp_path / "n", train=2)
    bad = path / "Train" / "3" / "00004.bin"
    whole = bad.read_bytes()
    bad.write_bytes(bytes([0, 240, 0, 0, 0]) * 2**10 + whole)  # 8 s later: fine
    assert nmnist.prepare(path=path)[6]["t"][0] > 2**23
    bad.write_bytes(bytes([0, 240, 0, 0, 0]) * 2**18 + whole)  # 2³¹ µs later
    with pytest.raises(UserError, match=r"00004\.bin: its clock runs on to 214\d+ µs"):
        nmnist.prepare(path=path)
    assert len(nmnist.prepare(path=path, skip_bad=True)) == 19
