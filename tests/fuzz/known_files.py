"""Known bad archives, lists and names that must be refused, and odd inputs that must be read."""

from __future__ import annotations

import contextlib
import io
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import recordings
import sounds
from fuzz import targets
from fuzz.known import Bad, after, spoken, waves
from fuzz.targets import Accepted, fetched, loads
from synaptrace import config, data
from synaptrace.data import splits
from synaptrace.data.audio import wav
from synaptrace.errors import UserError

REFUSED: dict[str, Bad] = {}
READ: dict[str, Callable[[Path], object]] = {}


# Archives


def packed(info: tarfile.TarInfo, through: str = "") -> Callable[[Path], object]:
    """A tar of the data set and of one member more, and perhaps a file by way of that."""

    def make(folder: Path) -> None:
        targets.tarred("x.tar")(folder)
        with tarfile.open(folder / "x.tar", "a") as file:
            file.addfile(info)
            if through:
                inside = tarfile.TarInfo(through)
                inside.size = 4
                file.addfile(inside, io.BytesIO(b"evil"))

    return make


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


for name, info, through in (
    ("a link that leads out", member("kws01/l", tarfile.SYMTYPE, "../../.."), "kws01/l/escape.txt"),
    ("a symbolic link within", member("kws01/l", tarfile.SYMTYPE, "y_labels.csv"), ""),
    ("a hard link that leads out", member("kws01/l", tarfile.LNKTYPE, "../../escape.txt"), ""),
    ("a hard link within", member("kws01/l", tarfile.LNKTYPE, "kws01/y_labels.csv"), ""),
    ("a device", member("kws01/l", tarfile.CHRTYPE), ""),
    ("a pipe", member("kws01/l", tarfile.FIFOTYPE), ""),
    ("a name above", member("../l", tarfile.REGTYPE), ""),
    ("an absolute name", member("/tmp/synaptrace-escape-l", tarfile.REGTYPE), ""),
):  # fmt: skip
    REFUSED[f"tar: {name}"] = Bad(after(packed(info, through), fetched("x.tar", False)), r"\bl\b")


def zip_with(name: str, mode: int = 0o100644, patch: tuple[int, int] | None = None) -> (
    Callable[[Path], object]
):  # fmt: skip
    """A zip of the data set and of one member more; ``patch``: a byte of its header, its value."""

    def make(folder: Path) -> None:
        targets.zipped(folder)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        with zipfile.ZipFile(folder / "x.zip", "a") as file:
            file.writestr(info, b"../../escape.txt")
        if patch is not None:
            content = bytearray((folder / "x.zip").read_bytes())
            at, value = patch
            content[content.rindex(b"PK\x03\x04") + at] = value
            content[content.rindex(b"PK\x01\x02") + at + 2] = value
            (folder / "x.zip").write_bytes(content)

    return make


for name, made in {
    "a symbolic link": zip_with("kws01/l", 0o120777),
    "a name above": zip_with("../l"),
    "an absolute name": zip_with("/tmp/synaptrace-escape-l"),
    "Deflate64": zip_with("kws01/l", patch=(8, 9)),
    "encrypted": zip_with("kws01/l", patch=(6, 1)),
}.items():
    REFUSED[f"zip: {name}"] = Bad(after(made, fetched("x.zip", False)), r"\bl\b|x\.zip")


def one_bit(name: str) -> Callable[[Path], object]:
    """An archive with a turned bit in the middle."""

    def make(folder: Path) -> None:
        (targets.zipped if name == "x.zip" else targets.tarred(name))(folder)
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 4
        (folder / name).write_bytes(content)

    return make


for name in ("x.tar.gz", "x.tar.xz", "x.tar.bz2", "x.zip"):
    REFUSED[f"one bit of {name}"] = Bad(after(one_bit(name), fetched(name, True)), name)


# Lists and names


def lists(line: str) -> Callable[[Path], object]:
    """Speech Commands with a validation list of ``line`` alone."""

    def make(folder: Path) -> None:
        targets.words(folder)
        (folder / "in/validation_list.txt").write_text(line)

    return make


SPEECH = loads("speechcommands")
REFUSED["a list that names nothing present"] = Bad(
    after(lists("yes/nobody_nohash_0.wav\n"), SPEECH), r"validation_list\.txt"
)


def twice(folder: Path) -> None:
    targets.clips(folder)
    labels = folder / "in/y_labels.csv"
    first = labels.read_text().splitlines()[0]
    labels.write_text(f"{labels.read_text()}{first}\n")


REFUSED["kws01: a clip listed twice"] = Bad(after(twice, loads("kws01")), r"y_labels\.csv")


# What must be read


def read(function: Callable[[Path], object]) -> Callable[[Path], object]:
    READ[(function.__doc__ or "").rstrip(".").lower()] = function
    return function


def same(found: object, expected: object) -> None:
    if found != expected:
        raise Accepted(f"{found!r}, not {expected!r}")


@read
def mark(folder: Path) -> None:
    """A byte order mark before a list and other ways to write its paths."""
    targets.words(folder)
    before = data.load("speechcommands", path=folder / "in").meta.split_hash
    path = folder / "in/validation_list.txt"
    lines = path.read_text().splitlines()
    odd = [f"./{lines[0]}", lines[1].replace("/", "\\"), *lines[2:]]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(odd).encode())
    same(data.load("speechcommands", path=folder / "in").meta.split_hash, before)


@read
def hidden(folder: Path) -> None:
    """Files whose names start with a dot are not data."""
    targets.tones(folder)
    before = data.load("folder", path=folder / "in", seconds=0.2).meta
    for name in ("in/yes/._0.wav", "in/yes/.DS_Store", "in/.DS_Store"):
        (folder / name).write_bytes(b"\0\5\x16\7Mac OS X")
    (folder / "in/.ipynb_checkpoints").mkdir()
    shutil.copy(folder / "in/yes/0.wav", folder / "in/.ipynb_checkpoints/0.wav")
    same(data.load("folder", path=folder / "in", seconds=0.2).meta, before)


@read
def late(folder: Path) -> None:
    """A clock that starts at ten seconds."""
    targets.arrays(folder)
    before = list(data.load("folder", path=folder / "in", rows=16, columns=16).batches("train"))
    for path in folder.glob("in/*/*.npy"):
        np.save(path, np.load(path) + np.array([10_000_000, 0, 0, 0]))
    after_ = list(data.load("folder", path=folder / "in", rows=16, columns=16).batches("train"))
    if abs(len(after_[0][0]) - len(before[0][0])) > 1:
        raise Accepted(f"{len(after_[0][0])} steps, not {len(before[0][0])}")


@read
def streamed(folder: Path) -> None:
    """A sound of unknown size, as streams have it."""
    waves(riff=(4, 4, 2**32 - 1), data=(40, 4, 2**32 - 1))(folder)
    same(len(wav.channels(folder / "x.wav")[0]), 1600)


@read
def extensible(folder: Path) -> None:
    """PCM of the extensible form."""
    targets.sound_file(folder)
    content = (folder / "x.wav").read_bytes()
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + guid
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + content[36:]
    (folder / "x.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    same(len(wav.channels(folder / "x.wav")[0]), 1600)


@read
def long_list(folder: Path) -> None:
    """A sound with other chunks before its samples."""
    targets.sound_file(folder)
    content = (folder / "x.wav").read_bytes()
    chunk = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    size = struct.pack("<I", len(content) - 8 + len(chunk))
    (folder / "x.wav").write_bytes(content[:4] + size + content[8:36] + chunk + content[36:])
    same(len(wav.channels(folder / "x.wav")[0]), 1600)


@read
def wide_labels(folder: Path) -> None:
    """Labels of other whole types."""
    for kind in ("u2", "u4", "u8", "i8"):
        spoken("labels", (np.arange(40) % 20).astype(kind))(folder)
        data.load("shd", path=folder / "in")


@read
def names(folder: Path) -> None:
    """Names that look like numbers stay names."""
    for text in ("00000017", "1e5", "no"):
        given = {"data.name": "fsdd", "data.holdout_speaker": text}
        same(config.resolve(overrides=given).data["holdout_speaker"], text)


@read
def home(folder: Path) -> None:
    """A user's home that isn't there is a path like another, or refused."""
    with contextlib.suppress(UserError):
        config.resolve(overrides={"data.path": "~nosuchuser/x"})


@read
def marked(folder: Path) -> None:
    """A split index with a byte order mark is read or refused."""
    targets.splits.save(folder / "x.json", {"train": [0, 2], "test": [1]})
    (folder / "x.json").write_bytes(b"\xef\xbb\xbf" + (folder / "x.json").read_bytes())
    with contextlib.suppress(UserError):
        same(splits.load(folder / "x.json"), {"train": [0, 2], "test": [1]})


@read
def gestures(folder: Path) -> None:
    """A byte order mark before the list of gestures' trials."""
    recordings.gestures(folder / "in", subjects=2, test=1, seconds=1.6)
    before = data.load("dvsgesture", path=folder / "in").meta.sizes
    path = folder / "in/DvsGesture/trials_to_train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    same(data.load("dvsgesture", path=folder / "in").meta.sizes, before)


@read
def stereo(folder: Path) -> None:
    """Two channels are mixed down where a rate is asked for."""
    targets.tones(folder)
    tone = sounds.tone(500.0, 0.2, 8000)
    sounds.write(folder / "in/yes/0.wav", tone[:, None].expand(-1, 2).contiguous(), 8000)
    data.load("folder", path=folder / "in", seconds=0.2, rate=8000)
