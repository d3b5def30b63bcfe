"""Archives that are damaged, or made to do harm: refused with a line, and nothing comes out."""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from synaptrace.data import archive
from synaptrace.data.fetch import fetch
from synaptrace.data.source import Source
from synaptrace.errors import UserError

TOY = Source("toy", "", "", "", ("Train/<label>/<id>.bin",))
CONTENT = np.random.default_rng(0).integers(256, size=1500, dtype=np.uint8).tobytes()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def member(name, kind=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar(*members, mode="w:gz", content=CONTENT, **options):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode, **options) as packed:
        for info in (member("Train/0/a.bin"), *members):
            info.size = len(content) if info.type == tarfile.REGTYPE else 0
            packed.addfile(info, io.BytesIO(content) if info.size else None)
    return made.getvalue()


def zipped(*members, content=CONTENT):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        for info in ("Train/0/a.bin", *members):
            packed.writestr(info, content)
    return made.getvalue()


def files(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*.bin")}


def refused(tmp_path, content, match, name="mine.archive"):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=match) as caught:
        fetch(TOY, local=tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert files(tmp_path) == {}
    assert list((tmp_path / "home" / "toy").iterdir()) == []


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_sound_archives_are_unpacked(home, tmp_path, mode, form):
    long = "Train/1/" + "x" * 95 + "/y.bin"
    packed = tar(
        member("./Train/1/", tarfile.DIRTYPE),
        member("Train/1/b.bin"),
        member(long),
        mode=mode,
        format=form,
    )
    (tmp_path / "mine.tar").write_bytes(packed)
    fetch(TOY, local=tmp_path / "mine.tar")
    wanted = ["Train/0/a.bin", "Train/1/b.bin", long]
    assert files(home / "toy") == dict.fromkeys(wanted, CONTENT)


def test_a_single_packed_file_is_unpacked(home, tmp_path):
    (tmp_path / "a.bin.gz").write_bytes(gzip.compress(CONTENT))
    fetch(Source("toy", "", "", "", ("<id>.bin",)), local=tmp_path / "a.bin.gz")
    assert files(home / "toy") == {"a.bin": CONTENT}


def test_no_flipped_bit_of_a_packed_tar_is_installed(tmp_path):
    packed, count = tar(), 0
    for place in range(len(packed)):
        changed = bytearray(packed)
        changed[place] ^= 1 << place % 8
        (tmp_path / "mine.tar.gz").write_bytes(changed)
        out = tmp_path / str(place)
        try:
            archive.unpack(tmp_path / "mine.tar.gz", out)
        except UserError:
            count += 1
        else:  # the time in gzip's header and the like: no checksum covers it, no content changes
            assert files(out) == {"Train/0/a.bin": CONTENT}
    assert count > len(packed) - 20


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_half_an_archive_is_refused(tmp_path, mode):
    packed = tar(member("Train/1/b.bin"), mode=mode)
    for share in (0.3, 0.6, 0.99):
        cut = round(share * (len(packed) if mode != "w" else 2 * 2048 + 512))
        refused(tmp_path, packed[:cut], "the archive is damaged", "mine.tar")


def test_a_tar_does_not_end_at_a_damaged_header(tmp_path):
    packed = bytearray(tar(member("Train/1/b.bin"), mode="w"))
    packed[2048 + 3] ^= 1
    refused(tmp_path, packed, "the archive is damaged")


@pytest.mark.parametrize("magic", [lzma.compress(CONTENT), bz2.compress(CONTENT)])
def test_a_damaged_stream_is_refused(tmp_path, magic):
    refused(tmp_path, magic[:30] + b"\0" * 50, "the archive is damaged")


OUTSIDE = [
    "../x.bin",
    "/x.bin",
    "Train/../../x.bin",
    "..\\x.bin",
    "C:\\x.bin",
    "C:x.bin",
    "\\x.bin",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_outside_are_refused(tmp_path, name):
    match = r"x\.bin' is no name below a folder"
    refused(tmp_path, tar(member(name)), match)
    refused(tmp_path, zipped(name), match)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path, kind):
    odd = member("Train/0/odd", kind, linkname="a.bin")
    refused(tmp_path, tar(odd, member("Train/0/odd/b.bin")), "'Train/0/odd' is neither")


def test_links_in_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("Train/0/odd")
    link.external_attr = 0o120777 << 16
    refused(tmp_path, zipped(link), "'Train/0/odd' is neither")


def test_a_name_is_printed_plainly(tmp_path):
    refused(tmp_path, tar(member("../\x1b[31m\n.bin")), r"'\.\./\\x1b\[31m\\n\.bin'")


def test_a_file_that_is_a_folder_is_refused(tmp_path):
    refused(tmp_path, tar(member("Train/0/a.bin/b.bin")), "is a file and a folder")
    refused(tmp_path, zipped("Train/0/a.bin/b.bin"), "is a file and a folder")


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "FLOOR", 2**18)
    zeros = bytes(2**20)
    for packed in (tar(content=zeros), tar(content=zeros, mode="w:xz"), zipped(content=zeros)):
        refused(tmp_path, packed, r"more than \d+ bytes would come of it")
    refused(tmp_path, gzip.compress(zeros), "more than", "a.bin.gz")
    many = [member("Train", tarfile.DIRTYPE)] * 2000
    refused(tmp_path, tar(*many), "more than")


def test_a_header_has_a_bound(tmp_path):
    long = member("x", tarfile.XHDTYPE)
    long.size = 2**32
    raw = tar(mode="w")[:2048] + long.tobuf() + bytes(2**12)
    refused(tmp_path, raw, "a header of 4294967296 bytes")


def test_a_file_with_holes_is_refused(tmp_path):
    sparse = member("Train/0/b.bin", tarfile.GNUTYPE_SPARSE)
    raw = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"77777777777\0"  # its size with its holes: 8 GiB
    raw[148:156] = b"%06o\0 " % (256 + sum(raw[:148]) + sum(raw[156:]))
    refused(tmp_path, tar(mode="w")[:2048] + raw + bytes(2**12), "'Train/0/b.bin' is neither")


def patched(method=None, flags=None, size=None):
    """A zip whose directory and headers say otherwise than its content."""
    raw = bytearray(zipped())
    for place, offset in ((0, 0), (raw.index(b"PK\1\2"), 2)):
        for value, at, form in ((flags, 6, "<H"), (method, 8, "<H"), (size, 22, "<I")):
            if value is not None:
                struct.pack_into(form, raw, place + offset + at, value)
    return raw


def test_zips_that_cannot_be_read_are_named(tmp_path):
    refused(tmp_path, patched(method=9), "packed in a way that isn't read here")  # Deflate64
    refused(tmp_path, patched(flags=1), r"'Train/0/a\.bin' is encrypted")
    refused(tmp_path, patched(size=2000), "the archive is damaged")
    refused(tmp_path, patched(size=2**31), "more than")
    raw = patched()
    raw[200] ^= 1
    refused(tmp_path, raw, "the archive is damaged")


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UserError, match="neither a regular file nor a folder"):
            fetch(TOY, local=type(tmp_path)(odd))
    (tmp_path / "mine" / "Train" / "0").mkdir(parents=True)
    (tmp_path / "mine" / "Train" / "0" / "a.bin").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"a\.bin: neither a regular file nor a folder"):
        fetch(TOY, local=tmp_path / "mine")
