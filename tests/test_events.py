"""Readers of recordings: format-exact files, Tonic's readers as the judge, damaged files."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recordings
from synaptrace.data.events.formats import read_aedat2, read_aedat3, read_bin
from synaptrace.data.events.frames import Frames
from synaptrace.errors import UserError

REAL = os.environ.get("SYNAPTRACE_TEST_DATA")
real = pytest.mark.skipif(not REAL, reason="SYNAPTRACE_TEST_DATA names no folder of real data")


def same(found, t, x, y, p):
    assert len(found.t) == len(t)
    for name, wanted in zip("txyp", (t, x, y, p), strict=True):
        np.testing.assert_array_equal(getattr(found, name), wanted, err_msg=name)
    assert [found.t.dtype, found.x.dtype, found.y.dtype, found.p.dtype] == [
        np.int64,
        np.uint16,
        np.uint16,
        np.uint8,
    ]


def test_five_bytes(tmp_path):
    drawn = recordings.events()
    same(read_bin(recordings.bin5(tmp_path / "a.bin", *drawn), (34, 34)), *drawn)


def test_five_bytes_hold_eight_seconds(tmp_path):
    drawn = [np.array(column) for column in ([0, 2**23 - 1], [0, 33], [33, 0], [1, 0])]
    same(read_bin(recordings.bin5(tmp_path / "a.bin", *drawn), (34, 34)), *drawn)


def test_marks_of_the_clock_move_what_follows(tmp_path):
    t, x, y, p = np.array([[5, 0, 6, 0, 0, 7], [1] * 6, [2, 240, 2, 240, 240, 3], [1] * 6])
    found = read_bin(recordings.bin5(tmp_path / "a.bin", t, x, y, p), (34, 34))
    assert found.t.tolist() == [5, 6 + 2**13, 7 + 3 * 2**13]
    assert found.y.tolist() == [2, 2, 3]


def test_aedat2(tmp_path):
    drawn = recordings.events(sensor=(128, 128))
    same(read_aedat2(recordings.aedat2(tmp_path / "a.aedat", *drawn)), *drawn)


def test_aedat2_leaves_out_what_is_no_pixel(tmp_path):
    drawn = recordings.events(count=20, sensor=(128, 128))
    path = recordings.aedat2(tmp_path / "a.aedat", *drawn)
    sync = (1 << 15 | 0x0102).to_bytes(4, "big") + int(drawn[0][-1]).to_bytes(4, "big")
    path.write_bytes(path.read_bytes() + sync)
    same(read_aedat2(path), *drawn)


def test_aedat3(tmp_path):
    drawn = recordings.events(sensor=(128, 128))
    same(read_aedat3(recordings.aedat3(tmp_path / "a.aedat", *drawn)), *drawn)


def test_aedat3_leaves_out_invalid_events_and_other_packets(tmp_path):
    t, x, y, p = recordings.events(count=20, sensor=(128, 128))
    valid = np.arange(20) % 3 > 0
    path = tmp_path / "a.aedat"
    path.write_bytes(
        recordings.HEADER3
        + recordings.packet(t[:3], x[:3], y[:3], p[:3], kind=6)  # inertial sensor
        + recordings.packet(t, x, y, p, valid.astype(int))
    )
    same(read_aedat3(path), t[valid], x[valid], y[valid], p[valid])


def test_aedat3_clock_that_overflows(tmp_path):
    t, x, y, p = recordings.events(count=20, sensor=(128, 128))
    path = tmp_path / "a.aedat"
    second = recordings.packet(t, x, y, p, overflow=1)
    path.write_bytes(recordings.HEADER3 + recordings.packet(t, x, y, p) + second)
    np.testing.assert_array_equal(read_aedat3(path).t, np.concatenate([t, t + 2**31]))


def test_as_tonic_reads(tmp_path):
    io = pytest.importorskip("tonic.io", reason="tonic isn't installed")
    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    path = recordings.bin5(tmp_path / "a.bin", *recordings.events())
    theirs = io.read_mnist_file(str(path), kind)
    same(read_bin(path, (34, 34)), *(theirs[name] for name in "txyp"))

    path = recordings.aedat2(tmp_path / "2.aedat", *recordings.events(sensor=(128, 128)))
    version, start, *_ = io.read_aedat_header_from_file(str(path))
    raw = io.get_aer_events_from_file(str(path), version, start)
    ours, address = read_aedat2(path), raw["address"]
    np.testing.assert_array_equal(ours.t, raw["timeStamp"])
    np.testing.assert_array_equal(127 - ours.x, address >> 8 & 127)  # as its read_dvs_128 does
    np.testing.assert_array_equal(127 - ours.y, address >> 1 & 127)
    np.testing.assert_array_equal(1 - ours.p, address & 1)

    path = recordings.aedat3(tmp_path / "3.aedat", *recordings.events(sensor=(128, 128)))
    version, start, *_ = io.read_aedat_header_from_file(str(path))
    raw = io.get_aer_events_from_file(str(path), version, start)
    ours, address = read_aedat3(path), raw["address"]
    np.testing.assert_array_equal(ours.t, raw["timeStamp"])
    np.testing.assert_array_equal(ours.x, address >> 17 & 0x1FFF)  # as its read_dvs_ibm does
    np.testing.assert_array_equal(ours.y, address >> 2 & 0x1FFF)
    np.testing.assert_array_equal(ours.p, address >> 1 & 1)


@real
def test_as_tonic_reads_real_recordings():
    io = pytest.importorskip("tonic.io", reason="tonic isn't installed")
    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    digits = sorted(Path(REAL).glob("nmnist/Train/*/*.bin"))[::50]
    gestures = sorted(Path(REAL).glob("dvsgesture/*.bs2"))
    assert len(digits) == 20
    assert len(gestures) == 10
    for files, sensor in ((digits, (34, 34)), (gestures, (128, 128))):
        for path in files:
            theirs = io.read_mnist_file(str(path), kind)
            same(read_bin(path, sensor), *(theirs[name] for name in "txyp"))


@real
def test_real_recordings_hold_what_is_known_of_them():
    digits = [read_bin(f, (34, 34)) for f in sorted(Path(REAL).glob("nmnist/Train/*/*.bin"))[::20]]
    assert all(290_000 < r.t[-1] < 320_000 for r in digits)  # three saccades of about 100 ms
    assert 3000 < np.mean([len(r.t) for r in digits]) < 5000
    gestures = [read_bin(f, (128, 128)) for f in sorted(Path(REAL).glob("dvsgesture/*.bs2"))]
    for recording in gestures:
        frames = Frames((128, 128), 75.0).of(recording)
        assert frames.shape == (20, 2, 128, 128)
        assert frames.sum() == len(recording.t)
        assert frames[:, 1].sum() == recording.p.sum()
    assert all(1_449_000 < r.t[-1] < 1_451_000 for r in gestures)


def fails(read, path, match):
    with pytest.raises(UserError, match=match) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


READERS = {
    "bin": (lambda path: read_bin(path, (128, 128)), recordings.bin5),
    "aedat2": (read_aedat2, recordings.aedat2),
    "aedat3": (read_aedat3, recordings.aedat3),
}


@pytest.mark.parametrize("kind", READERS)
def test_bad_files_are_named(kind, tmp_path):
    read, write = READERS[kind]
    path = tmp_path / "bad"
    fails(read, path, "can't be read")
    path.write_bytes(b"")
    fails(read, path, "is empty")
    t, x, y, p = recordings.events(sensor=(128, 128))
    write(path, t, x, y, p)
    path.write_bytes(path.read_bytes()[:-3])
    fails(read, path, "cut short")
    write(path, t[::-1], x, y, p)
    fails(read, path, "go back, event 1 ")
    nothing = np.empty(0, dtype=int)
    if kind != "bin":
        write(path, nothing, nothing, nothing, nothing)
        fails(read, path, "no event")


def test_pixels_off_the_sensor_are_named(tmp_path):
    t, x, y, p = recordings.events(sensor=(34, 34))
    x[7] = 34
    fails(lambda f: read_bin(f, (34, 34)), recordings.bin5(tmp_path / "a", t, x, y, p), "event 7 ")
    x[7], y[9] = 0, 200
    fails(read_aedat3, recordings.aedat3(tmp_path / "b", t, x, y, p), "column .*, row 200, off")


def test_marks_alone_are_no_events(tmp_path):
    path = recordings.bin5(tmp_path / "a", [0, 0], [0, 0], [240, 240], [0, 0])
    fails(lambda f: read_bin(f, (34, 34)), path, "no event")


def test_other_formats_are_refused(tmp_path):
    drawn = recordings.events(sensor=(128, 128))
    fails(read_aedat2, recordings.aedat3(tmp_path / "3", *drawn), r"its version is 3\.1")
    fails(read_aedat3, recordings.aedat2(tmp_path / "2", *drawn), r"its version is 2\.0")
    (tmp_path / "text").write_text("no recording")
    fails(read_aedat3, tmp_path / "text", "its version is missing")
    (tmp_path / "head").write_bytes(b"#!AER-DAT2.0")
    fails(read_aedat2, tmp_path / "head", "cut short in its header")


def test_times_before_the_start_are_named(tmp_path):
    drawn = recordings.events(count=20, sensor=(128, 128))
    path = tmp_path / "a.aedat"
    path.write_bytes(recordings.HEADER3 + recordings.packet(*drawn, overflow=-1))
    fails(read_aedat3, path, "before the recording began")


def test_a_recording_of_more_than_an_hour_is_named(tmp_path):
    t, x, y, p = recordings.events(count=20, sensor=(128, 128))
    path, until = tmp_path / "a.aedat", recordings.packet(t, x, y, p, overflow=1)
    head = recordings.HEADER3 + recordings.packet(t, x, y, p)
    path.write_bytes(head + until)
    assert len(read_aedat3(path).t) == 40
    path.write_bytes(head + recordings.packet(t, x, y, p, overflow=2**31 - 1))
    fails(read_aedat3, path, "a recording lasts an hour at most")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans(), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_get_through_but_recordings(tmp_path_factory, noise, pure, place, value):
    folder = tmp_path_factory.mktemp("noise")
    for kind, (read, write) in READERS.items():
        path = folder / kind
        if pure:
            path.write_bytes(noise)
        else:
            write(path, *recordings.events(count=30, sensor=(128, 128)))
            content = bytearray(path.read_bytes())
            content[min(place, len(content) - 1)] = value
            path.write_bytes(content)
        try:
            found = read(path)
        except UserError as error:
            said = str(error)
        else:
            said = str(path)
            assert len(found.t) == len(found.x) == len(found.y) == len(found.p) > 0
            assert found.t[0] >= 0
            assert (np.diff(found.t) >= 0).all()
            assert max(found.x.max(), found.y.max()) < 128
            assert found.p.max() <= 1
        assert str(path) in said


def test_a_damaged_packet_is_refused(tmp_path):
    path = recordings.aedat3(tmp_path / "a", *recordings.events(sensor=(128, 128)))
    content, at = bytearray(path.read_bytes()), len(recordings.HEADER3)
    content[at + 4 : at + 8] = (-8).to_bytes(4, "little", signed=True)
    path.write_bytes(content)
    fails(read_aedat3, path, "damaged")
    content[at + 4 : at + 8] = (2**30).to_bytes(4, "little")
    path.write_bytes(content)
    fails(read_aedat3, path, "damaged")
