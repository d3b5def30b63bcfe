"""The cache: what goes in comes out, whole or not at all, whoever else is writing."""

import multiprocessing
import os
import shutil
import signal
import time
from threading import Event

import numpy as np
import pytest
import torch

from patience import LIMIT, until
from synaptrace.data import claim, columns, draft
from synaptrace.data.cache import Sample, fingerprint, location, open_cache, prepare
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def samples(item):
    """Two samples an item, of item and item + 1 rows."""
    for rows in (item, item + 1):
        made = {
            "t": np.arange(rows, dtype=np.int32) + item,
            "features": np.full((rows, 3), item, dtype=np.float16),
        }
        yield Sample(made, label=item % 3, notes={"file": f"{item}.bin"})


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
            barrier.wait(LIMIT)  # both are inside at once
        return samples(item)

    made = prepare("toy", 1, {}, range(5), read)
    made.verify()
    results.put(len(made))


def test_two_processes_can_prepare_at_once(home):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=together, args=(barrier, results), daemon=True) for _ in range(2)
    ]
    for process in both:
        process.start()
    assert [results.get(timeout=LIMIT) for _ in both] == [10, 10]
    for process in both:
        process.join()
    assert [p.name for p in (home / "prepared").iterdir()] == [location("toy", 1, {}).name]


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_bytes_are_the_same_for_any_number_of_workers(home, monkeypatch, chunk):
    def slow(item):
        time.sleep(0.01 * (item % 3 == 0))  # so that later items are ready before
        return samples(item)

    made = []
    for workers in (1, 2, 5):
        monkeypatch.setenv("SYNAPTRACE_DATA", str(home / str(workers)))
        one = prepare("toy", 1, {}, range(20), slow, chunk=chunk, workers=workers)
        made.append({file.name: file.read_bytes() for file in one.folder.iterdir()})
    assert made[0] == made[1] == made[2]
    assert set(made[0]) == {
        "meta.json", "notes.json", "labels.npy", "offsets.npy", "t.npy", "features.npy"
    }  # fmt: skip


def test_what_comes_last_is_made_of_a_chunk_at_a_time():
    sizes = []

    def finish(some):
        sizes.append(len(some))
        return [Sample({"sum": s.columns["features"].sum(1)}, s.label, s.notes) for s in some]

    made = prepare("toy", 1, {}, range(5), fussy, skip_bad=True, finish=finish, chunk=2, workers=2)
    assert sorted(sizes) == [2, 2, 4]
    assert made.columns.keys() == {"sum"}
    assert [made[i]["sum"].tolist() for i in (6, 7)] == [[12.0] * 4, [12.0] * 5]


def test_threads_of_pytorch_are_as_before():
    before = torch.get_num_threads()
    seen = []
    prepare(
        "toy", 1, {}, range(3), lambda item: [seen.append(torch.get_num_threads())] and samples(1)
    )
    assert seen == [1, 1, 1]
    assert torch.get_num_threads() == before


def half(read, started):
    def stuck(item):
        if item == 3:
            started.set()
            time.sleep(2 * LIMIT)
        return read(item)

    prepare("toy", 1, {}, range(5), stuck, skip_bad=True, workers=1)


def left_by_a_kill(home, monkeypatch, read=samples):
    """The temporary folder of a process that was killed after three items of five."""
    monkeypatch.setattr(draft, "EVERY", 0.0)
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=half, args=(read, started), daemon=True)
    process.start()
    assert started.wait(LIMIT)
    (left,) = (home / "prepared").iterdir()
    journal = left / draft.JOURNAL
    until(lambda: journal.read_bytes().count(b"\n") >= 1 + (read is fussy))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert open_cache("toy", 1, {}) is None
    return left


def bytes_of(made):
    return {file.name: file.read_bytes() for file in made.folder.iterdir()}


@pytest.fixture
def whole(home, monkeypatch):
    """The bytes of the cache as it is made without a break."""
    monkeypatch.setenv("SYNAPTRACE_DATA", str(home / "whole"))
    found = bytes_of(prepare("toy", 1, {}, range(5), samples))
    monkeypatch.setenv("SYNAPTRACE_DATA", str(home))
    return found


def test_a_killed_preparation_goes_on_where_it_stopped(home, monkeypatch, whole):
    left = left_by_a_kill(home, monkeypatch)
    read = []

    def counted(item):
        read.append(item)
        return samples(item)

    made = prepare("toy", 1, {}, range(5), counted, workers=2)
    assert 0 not in read
    assert {3, 4} <= set(read)
    made.verify()
    assert bytes_of(made) == whole
    assert not left.exists()
    assert list((home / "prepared").iterdir()) == [made.folder]


def test_what_is_damaged_of_it_is_made_again(home, monkeypatch, whole):
    left = left_by_a_kill(home, monkeypatch)
    content = bytearray((left / "features.npy").read_bytes())
    content[draft.HEADER] ^= 1  # the first row there is, of item 0
    (left / "features.npy").write_bytes(content)
    made = prepare("toy", 1, {}, range(5), samples)
    assert bytes_of(made) == whole


@pytest.mark.parametrize("text", [b"", b"deadbeef {}\n", b"0"])
def test_half_a_line_of_its_journal_counts_for_nothing(home, monkeypatch, whole, text):
    left = left_by_a_kill(home, monkeypatch)
    lines = (left / draft.JOURNAL).read_bytes().splitlines(keepends=True)
    (left / draft.JOURNAL).write_bytes(lines[0] + text)
    assert bytes_of(prepare("toy", 1, {}, range(5), samples)) == whole


def test_bad_items_that_were_left_out_are_found_again(home, monkeypatch):
    left_by_a_kill(home, monkeypatch, fussy)
    with pytest.raises(UserError, match=r"^2\.bin: this file is bad$"):
        prepare("toy", 1, {}, range(5), fussy)
    left_by_a_kill(home, monkeypatch, fussy)
    made = prepare("toy", 1, {}, range(5), fussy, skip_bad=True)
    assert len(made) == 8
    assert made.skipped == ["2.bin: this file is bad"]


def test_what_others_left_long_ago_is_removed(home, monkeypatch):
    left = left_by_a_kill(home, monkeypatch)
    shutil.copytree(left, left.with_name(left.name + "2"))
    monkeypatch.setattr(claim, "STALE", 0.0)
    made = prepare("toy", 1, {}, range(5), samples)
    assert list((home / "prepared").iterdir()) == [made.folder]


@pytest.fixture
def interruptible():
    """As in a terminal: a shell starts what is in its background deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_it_soon_and_loses_nothing(home, monkeypatch, whole):
    monkeypatch.setattr(draft, "EVERY", 0.0)
    read: list[int] = []
    stops: list[Event] = []
    chunk_of = columns.chunk_of

    def watched(items, stop, **options):
        stops.append(stop)
        return chunk_of(items, stop, **options)

    def slow(item):
        read.append(item)
        if item == 4:
            (journal,) = (home / "prepared").glob(f".*/{draft.JOURNAL}")
            until(lambda: journal.stat().st_size)
            os.kill(os.getpid(), signal.SIGINT)
        if item >= 4:
            assert stops[0].wait(LIMIT)  # however long the interrupt takes to be heard
        return samples(item)

    monkeypatch.setattr(columns, "chunk_of", watched)
    with pytest.raises(KeyboardInterrupt):
        prepare("toy", 1, {}, range(500), slow, chunk=4, workers=2)
    assert set(read) <= {0, 1, 2, 3, 4, 8}
    (left,) = (home / "prepared").glob(".*")
    made = prepare("toy", 1, {}, range(5), lambda item: samples(item) if item > 3 else 1 / 0)
    assert bytes_of(made) == whole
    assert not left.exists()


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
