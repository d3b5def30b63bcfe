"""The cache: what goes in comes out, whole or not at all, whoever else is writing."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from synaptrace.data import cache
from synaptrace.data.cache import Sample, fingerprint, location, open_cache, prepare
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def samples(item):
    """Two samples an item, of item and item + 1 rows."""
    for rows in (item, item + 1):
        columns = {
            "t": np.arange(rows, dtype=np.int32) + item,
            "features": np.full((rows, 3), item, dtype=np.float16),
        }
        yield Sample(columns, label=item % 3, notes={"file": f"{item}.bin"})


def fussy(item):
    if item == 2:
        raise UserError("2.bin: this file is bad")
    yield from samples(item)


def test_samples_come_back_as_they_went_in():
    made = prepare("toy", 1, {"dt": 2}, range(5), samples)
    wanted = [sample for item in range(5) for sample in samples(item)]
    assert len(made) == len(wanted) == 10
    assert made.labels.tolist() == [sample.label for sample in wanted]
    assert made.notes == {"file": [sample.notes["file"] for sample in wanted]}
    for i, sample in enumerate(wanted):
        for name, column in sample.columns.items():
            assert made[i][name].dtype == column.dtype
            np.testing.assert_array_equal(made[i][name], column)
    made.verify()


def test_columns_are_mapped_not_read():
    made = prepare("toy", 1, {}, range(5), samples)
    assert isinstance(made.columns["t"], np.memmap)
    assert not made.columns["t"].flags.writeable
    assert made[4]["t"].base is not None


def test_a_column_is_an_ordinary_npy_file():
    made = prepare("toy", 1, {}, range(5), samples)
    plain = np.load(made.folder / "features.npy", allow_pickle=False)
    np.testing.assert_array_equal(plain, made.columns["features"])


def test_a_prepared_cache_is_not_read_again():
    prepare("toy", 1, {}, range(5), samples)
    again = prepare("toy", 1, {}, range(5), lambda item: pytest.fail("read again"))
    assert len(again) == 10


def test_name_version_and_settings_each_make_another():
    assert open_cache("toy", 1, {}) is None
    places = {
        location(*key) for key in [("a", 1, {}), ("b", 1, {}), ("a", 2, {}), ("a", 1, {"x": 1})]
    }
    assert len(places) == 4
    assert location("a", 1, {"x": 1, "y": 2}) == location("a", 1, {"y": 2, "x": 1})


def test_the_fingerprint_sees_names_sizes_and_changes(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"12")
    os.utime(file, (1, 1))
    first = fingerprint(tmp_path, [file])
    assert first == fingerprint(tmp_path, [file])
    os.utime(file, (2, 2))
    assert first != fingerprint(tmp_path, [file])
    with pytest.raises(UserError, match=r"b\.bin"):
        fingerprint(tmp_path, [tmp_path / "b.bin"])


def test_a_bad_item_ends_it_and_leaves_nothing(home):
    with pytest.raises(UserError, match=r"^2\.bin: this file is bad$"):
        prepare("toy", 1, {}, range(5), fussy)
    assert list((home / "prepared").iterdir()) == []


def test_a_bad_item_can_be_left_out_but_is_named(home):
    made = prepare("toy", 1, {}, range(5), fussy, skip_bad=True)
    assert len(made) == 8
    assert made.skipped == ["2.bin: this file is bad"]
    with pytest.warns(UserWarning, match="1 bad file"):
        prepare("toy", 1, {}, range(5), fussy)


def test_no_sample_is_an_error(home):
    with pytest.raises(UserError, match=r"no readable sample; 2\.bin"):
        prepare("toy", 1, {}, [2], fussy, skip_bad=True)
    with pytest.raises(UserError, match="no readable sample"):
        prepare("toy", 1, {}, [], samples)
    assert list((home / "prepared").iterdir()) == []


def test_columns_that_change_their_kind_are_refused():
    def read(item):
        yield Sample({"t": np.zeros(3, dtype=np.int32 if item else np.int64)}, 0)

    with pytest.raises(TypeError, match=r"int32 .* after int64"):
        prepare("toy", 1, {}, range(2), read)


def test_damage_is_noticed():
    made = prepare("toy", 1, {}, range(5), samples)
    file = made.folder / "t.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"t\.npy: damaged"):
        open_cache("toy", 1, {}).verify()
    file.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"are damaged .*another size"):
        open_cache("toy", 1, {})
    (made.folder / "meta.json").unlink()
    with pytest.raises(UserError, match="prepare"):
        prepare("toy", 1, {}, range(5), samples)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "file"))
    with pytest.raises(UserError, match="SYNAPTRACE_DATA"):
        prepare("toy", 1, {}, range(5), samples)


def together(barrier, results):
    def read(item):
        if item == 0:
            barrier.wait(30)  # both are inside at once
        return samples(item)

    made = prepare("toy", 1, {}, range(5), read)
    made.verify()
    results.put(len(made))


def test_two_processes_can_prepare_at_once(home):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    both = [context.Process(target=together, args=(barrier, results)) for _ in range(2)]
    for process in both:
        process.start()
    assert [results.get(timeout=30) for _ in both] == [10, 10]
    for process in both:
        process.join()
    assert [p.name for p in (home / "prepared").iterdir()] == [location("toy", 1, {}).name]


def half(started):
    def read(item):
        if item == 3:
            started.set()
            time.sleep(60)
        return samples(item)

    prepare("toy", 1, {}, range(5), read)


def test_what_a_killed_process_left_is_never_used(home, monkeypatch):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=half, args=(started,))
    process.start()
    assert started.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = list((home / "prepared").iterdir())
    assert len(left) == 1  # the temporary folder
    assert open_cache("toy", 1, {}) is None
    monkeypatch.setattr(cache, "STALE", 0.0)
    made = prepare("toy", 1, {}, range(5), samples)
    made.verify()
    assert list((home / "prepared").iterdir()) == [made.folder]


@pytest.mark.parametrize("error", [KeyError("t"), RuntimeError("a\nb"), MemoryError()])
def test_whatever_a_reader_stumbles_over_is_named_or_left_out(tmp_path, error):
    files = [(tmp_path / f"{place}.bin", "train") for place in range(3)]

    def read(item):
        if item == files[1]:
            raise error
        yield from samples(2)

    kind = type(error).__name__
    with pytest.raises(UserError, match=rf"1\.bin: can't be read \({kind}") as caught:
        prepare("toy", 1, {}, files, read)
    assert "\n" not in str(caught.value)
    made = prepare("toy", 1, {}, files, read, skip_bad=True)
    assert len(made) == 4
    assert len(made.skipped) == 1
    assert str(files[1][0]) in made.skipped[0]
