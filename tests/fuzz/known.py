"""Single bad inputs, each of a kind that was once taken for good or ended in a traceback.

`REFUSED` holds what must be refused, with what the message must say. Archives, lists and names are
in `known_files`, which also has `READ`: what is odd and must be read, each with its check.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import recordings
from fuzz import targets
from fuzz.targets import loads, tried
from synaptrace import config
from synaptrace.data.audio import resample, wav
from synaptrace.data.simulate import idx


class Bad(NamedTuple):
    read: Callable[[Path], object]
    message: str
    """A regular expression: the name of the file or the key, at least."""


REFUSED: dict[str, Bad] = {}


def refused(name: str, message: str, read: Callable[[Path], object]) -> None:
    REFUSED[name] = Bad(read, message)


def after(
    make: Callable[[Path], object], read: Callable[[Path], object]
) -> Callable[[Path], object]:
    """Make, then read."""

    def both(folder: Path) -> None:
        make(folder)
        read(folder)

    return both


# Settings

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)

for value in ("2001-99-99", "!!int abc", "9" * 5000, "[" * 3000, "!!python/object:os.system x"):
    refused(f"override {value[:12]}", "model.hidden",
            lambda f, v=value: tried(config.resolve(overrides={"model.hidden": v})))  # fmt: skip
for key, value in (
    ("model.hidden", "[1000000000]"), ("neuron.threshold", "1e39"), ("train.threads", "100000"),
    ("neuron.threshold", ".nan"), ("train.lr", "1e400"), ("neuron.decay", "[.nan]"),
):  # fmt: skip
    refused(f"{key} {value}", key.replace(".", r"\."),
            lambda f, k=key, v=value: tried(config.resolve(overrides={k: v})))  # fmt: skip


def text(content: str | bytes) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "own.yaml").write_bytes(raw)
        tried(config.resolve(file=folder / "own.yaml"))

    return read


for name, content in {
    "a key twice": "train:\n  epochs: 1\n  epochs: 2\n",
    "a section twice": "train: {epochs: 1}\ntrain: {epochs: 2}\n",
    "a key that is a number": "train: {1: 2}\n",
    "a key that is nothing": "train: {~: 2}\n",
    "a date that is none": "train: {epochs: 2001-99-99}\n",
    "no integer": "train: {epochs: !!int abc}\n",
    "5,000 digits": f"train: {{epochs: {'9' * 5000}}}\n",
    "deep nesting": f"train: {{epochs: {'[' * 3000}}}\n",
    "aliases of aliases": f"{LAUGHS}train: {{epochs: *a11}}\n",
    "aliases in the name": f"{LAUGHS}name: *a11\n",
    "not UTF-8": "train: {device: é}\n".encode("latin-1"),
}.items():
    refused(f"config: {name}", r"own\.yaml|train|name|a0", text(content))

# Recordings


def saved(array: Any) -> Callable[[Path], object]:
    """A folder of events in which one file is ``array``."""

    def make(folder: Path) -> None:
        targets.arrays(folder)
        np.save(folder / "in/left/0.npy", array, allow_pickle=False)

    return make


EVENTS = np.array([[0, 1, 1, 0], [900, 2, 2, 1]])
EPOCH = np.array([[0, 1, 1, 0], [1_700_000_000_000_000, 2, 2, 1]])
EVENT_FOLDER = loads("folder", rows=16, columns=16)
refused("events: an absurd duration", r"0\.npy", after(saved(EPOCH), EVENT_FOLDER))
for name, content in {
    "2**34 rows": b"{'descr': '<i8', 'fortran_order': False, 'shape': (17179869184, 4), }",
    "odd descr": b"{'descr': 'zz', 'fortran_order': False, 'shape': (2, 4), }",
    "cut header": b"{'descr': '<i8', 'fortran",
    "nested header": b"(" * 500,
}.items():

    def header(folder: Path, content: bytes = content) -> None:
        targets.arrays(folder)
        made = b"\x93NUMPY\1\0" + struct.pack("<H", len(content) + 1) + content + b"\n"
        (folder / "in/left/0.npy").write_bytes(made + bytes(64))

    refused(f"npy: {name}", r"0\.npy", after(header, EVENT_FOLDER))


def zip_as_npy(folder: Path) -> None:
    targets.arrays(folder)
    with (folder / "in/left/0.npy").open("wb") as file:
        np.savez(file, EVENTS)


refused("npy: a zip", r"0\.npy", after(zip_as_npy, EVENT_FOLDER))


def gesture(values: list[list[float]]) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        recordings.separate_gestures(folder / "in", subjects=2, test=1)
        np.save(folder / "in/ibmGestureTrain/user01_led/0.npy", np.array(values))

    return make


GESTURES = loads("dvsgesture")
for name, row in {
    "an infinite time": [1.0, 1, 1, np.inf], "a fractional pixel": [1.5, 1, 1, 5],
    "NaN": [np.nan, 1, 1, 5], "polarity 2": [1.0, 1, 2, 5],
}.items():  # fmt: skip
    refused(f"gesture: {name}", r"0\.npy", after(gesture([[1, 1, 1, 0], row]), GESTURES))


def spoken(name: str, values: Any) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        import h5py

        for file, seed in (("shd_train.h5", 0), ("shd_test.h5", 1)):
            recordings.heidelberg(folder / "in" / file, samples=40, seed=seed)
        with h5py.File(folder / "in/shd_train.h5", "r+") as opened:
            del opened[name]
            if isinstance(values, h5py.ExternalLink | h5py.SoftLink):
                opened[name] = values
            elif isinstance(values, int):
                opened.create_dataset(name, (values,), "u2", chunks=(1024,))
            else:
                opened[name] = values

    return make


SHD = loads("shd")
for name, where, values in (
    ("labels of 1.7", "labels", np.full(40, 1.7)),
    ("labels that are text", "labels", np.array([b"1"] * 40)),
    ("labels in two dimensions", "labels", np.ones((40, 2), int)),
    ("2**34 labels", "labels", 2**34),
    ("times that are numbers", "spikes/times", np.ones(40)),
):
    refused(f"shd: {name}", r"shd_train\.h5", after(spoken(where, values), SHD))


def waves(**fields: tuple[int, int, int]) -> Callable[[Path], object]:
    """A sound file in which fields (place, width, value) are other ones."""

    def make(folder: Path) -> None:
        targets.sound_file(folder)
        content = bytearray((folder / "x.wav").read_bytes())
        for at, width, value in fields.values():
            content[at : at + width] = value.to_bytes(width, "little")
        (folder / "x.wav").write_bytes(content)

    return make


def resampled(folder: Path) -> None:
    samples, rate = wav.channels(folder / "x.wav")
    resample.convert(samples, rate, 8000)


for bits in (0, 33, 40, 48, 56, 72):
    refused(f"wav: {bits} bits", r"x\.wav", after(waves(bits=(34, 2, bits)), resampled))
for rate in (0, 2**32 - 1):
    refused(f"wav: {rate} Hz", r"x\.wav", after(waves(rate=(24, 4, rate)), resampled))


def bomb(folder: Path) -> None:
    """Four labels, and 1 GiB of zeros after them."""
    import gzip

    with gzip.open(folder / "x.gz", "wb", compresslevel=1) as file:
        file.write(struct.pack(">II", 0x801, 4))
        for _ in range(256):
            file.write(bytes(2**22))


refused("idx: a bomb", r"x\.gz", after(bomb, lambda f: idx.read(f / "x.gz", 1)))
