"""What the fuzz reads: for each a small valid input in the exact format, and its public reader.

A reader either reads, raises UserError, or raises `Accepted` where it took what it shouldn't.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recordings
import sounds
import toy
from fuzz.mutators import TEXTS, Mutator
from synaptrace import cli, config, data
from synaptrace.build import mlp
from synaptrace.data import splits
from synaptrace.data.audio import resample, wav
from synaptrace.data.dataset import Dataset
from synaptrace.data.sets import kws01
from synaptrace.data.simulate import nmnist_sim
from synaptrace.errors import UserError
from synaptrace.ship.from_nir import from_nir
from synaptrace.training import checks, job

STEPS = 200_000
"""More than any input of some kilobytes can last."""


class Accepted(Exception):
    """Something was read that should have been refused."""


@dataclass(frozen=True)
class Target:
    """One thing to read.

    Args:
        make: writes a valid input into an empty folder.
        files: patterns of the files in it, one of which is broken.
        read: reads the input, in a copy of that folder; it may write into ``folder/home``.
        mutators: by name.
        count: how many seeds each mutator gets.
    """

    name: str
    make: Callable[[Path], object]
    files: tuple[str, ...]
    read: Callable[[Path], object]
    mutators: dict[str, Mutator]
    count: int = 12


def walk(dataset: Dataset) -> None:
    """See that all batches are finite, of a plausible length, and of known classes."""
    for split in dataset.meta.sizes:
        for x, labels, lengths in dataset.batches(split):
            if not x.float().isfinite().all():
                raise Accepted(f"{split}: values that aren't finite")
            if len(x) > STEPS or (lengths is not None and int(lengths.max()) > len(x)):
                raise Accepted(f"{split}: {len(x)} steps")
            if not 0 <= int(labels.min()) <= int(labels.max()) < len(dataset.meta.classes):
                raise Accepted(f"{split}: labels {labels.unique().tolist()}")


def loads(name: str, **options: Any) -> Callable[[Path], object]:
    """A reader: the data set ``name`` in ``folder/in``, all its batches."""
    return lambda folder: walk(data.load(name, path=folder / "in", batch_size=8, **options))


def command(*words: object) -> None:
    """The command line, in this process: raises UserError where it ends with 2.

    Raises Accepted where it ends with another code than 0, 2 or 3, says more than one line, or
    sends a control character to the terminal.
    """
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    if any(ord(c) < 32 and c not in "\n\t\r" for c in out.getvalue() + err.getvalue()):
        raise Accepted("a control character reached the terminal")
    last = err.getvalue().strip("\n").rpartition("\n")[2].rpartition("\r")[2]
    if code == 2:
        if not last.startswith("synaptrace: "):
            raise Accepted(f"exit code 2, but {err.getvalue()[:200]!r}")
        raise UserError(last)
    if code not in (0, 3):
        raise Accepted(f"exit code {code}: {err.getvalue()[:200]!r}")


# Data sets


def tones(folder: Path) -> None:
    for word, pitch in (("no", 300.0), ("yes", 900.0)):
        for i in range(3):
            sounds.write(folder / "in" / word / f"{i}.wav", sounds.tone(pitch + i, 0.2, 8000), 8000)


def arrays(folder: Path, fields: bool = False) -> None:
    for label, word in enumerate(("left", "right")):
        for i in range(3):
            columns = recordings.events(10 * label + i, 200, (16, 16), 100_000)
            made = np.stack(columns, 1).astype(np.int64)
            if fields:
                made = np.array([tuple(row) for row in made], [(c, "<i4") for c in "txyp"])
            (folder / "in" / word).mkdir(parents=True, exist_ok=True)
            np.save(folder / "in" / word / f"{i}.npy", made)


def clips(folder: Path) -> None:
    (folder / "in").mkdir()
    lines, draws = [], np.random.default_rng(0)
    numbers = [n for some in splits.load(kws01.INDEX).values() for n in some[:12]]
    for place, number in enumerate(numbers):
        label = place % 12
        name = f"tst_{number:06}_{kws01.CLASSES[label].title()}_{label}.bin"
        (folder / "in" / name).write_bytes(draws.bytes(490))
        lines.append(f"{name},12,{label}\n")
    (folder / "in" / kws01.LABELS).write_text("".join(lines))


def images(folder: Path, packed: bool = True) -> None:
    draws = np.random.default_rng(0)
    pixels = draws.integers(256, size=(40, 28, 28), dtype=np.uint8).tobytes()
    for name, head, body in (
        (nmnist_sim.IMAGES, [0x803, 40, 28, 28], pixels),
        (nmnist_sim.LABELS, [0x801, 40], bytes(i % 10 for i in range(40))),
    ):
        content = b"".join(n.to_bytes(4, "big") for n in head) + body
        path = folder / "in" / (name if packed else name.removesuffix(".gz"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def cuts(folder: Path) -> None:
    recordings.gestures(folder / "in", subjects=2, test=1, seconds=1.6)


def words(folder: Path) -> None:
    sounds.speech_commands(folder / "in", ("yes", "no"), noise=1.0)


def written(write: Callable[..., Path], name: str) -> Callable[[Path], object]:
    return lambda folder: write(folder / name, *recordings.events(1, 400, (128, 128), 300_000))


def prediction(suffix: str) -> Callable[[Path], object]:
    """A reader: one file that `predict` is given."""
    net = mlp(512, [4], 10)
    settings = {"name": "digits", "dt": 10}
    return lambda folder: data.read_file(folder / f"x{suffix}", net, settings)


def drawn(folder: Path) -> None:
    from PIL import Image, ImageDraw

    picture = Image.new("L", (20, 20))
    ImageDraw.Draw(picture).line([(10, 2), (10, 17)], fill=255, width=3)
    picture.save(folder / "x.png")


def sound_file(folder: Path) -> None:
    sounds.write(folder / "x.wav", sounds.tone(440.0, 0.2, 8000), 8000)


def sound(folder: Path) -> None:
    list(wav.blocks(folder / "x.wav", 8000, 500))
    samples, rate = wav.channels(folder / "x.wav")
    if not 0 < rate < 2**24:
        raise Accepted(f"a rate of {rate} Hz")
    resample.convert(samples, rate, 8000)


def index(folder: Path) -> None:
    if splits.load(folder / "x.json") != {"train": [0, 2], "test": [1]}:
        raise Accepted("another split")


# Settings


def tried(settings: config.Config) -> None:
    """Everything that is checked before a training begins, on the toy's data."""
    dataset = toy.Toy()
    net, rule = job.build(settings, dataset)
    checks.check(net, dataset, **settings.train)
    if not all(p.isfinite().all() for p in [*net.parameters(), *rule.parameters()]):
        raise Accepted("weights that aren't finite")


def overridden(folder: Path) -> None:
    given = json.loads((folder / "x.json").read_text("utf-8", "surrogateescape"))
    tried(config.resolve(overrides=given))


OVERRIDES = (
    "data.batch_size", "data.dt", "data.shift", "model.hidden", "model.kind", "model.recurrent",
    "model.gain", "neuron.threshold", "neuron.decay", "neuron.reset", "neuron.scale", "rule.name",
    "rule.contrast", "rule.train_label", "train.epochs", "train.lr", "train.lr_final", "train.ema",
    "train.update", "train.seed", "train.threads", "train.device", "data.name", "data.path",
)  # fmt: skip


def override(data_: bytes, rng: np.random.Generator) -> bytes:
    """One or two settings of the command line with odd values."""
    keys = rng.choice(OVERRIDES, size=int(rng.integers(1, 3)), replace=False)
    return json.dumps({str(k): TEXTS[int(rng.integers(len(TEXTS)))] for k in keys}).encode()


# Archives


def members(folder: Path) -> list[Path]:
    """Files of kws01, as old as each other, so that archives of them are the same each time."""
    clips(folder)
    found = sorted((folder / "in").iterdir())[-20:]
    for path in found:
        os.utime(path, (10**9, 10**9))
    return found


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": lambda data: gzip.compress(data, mtime=0), ".xz": lzma.compress,
    ".bz2": bz2.compress,
}  # fmt: skip


def tarred(name: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as file:
            for path in members(folder):
                file.add(path, f"kws01/{path.name}")
        (folder / name).write_bytes(PACK[name.partition(".tar")[2]](out.getvalue()))
        (folder / "in").rename(folder / "was")

    return make


def zipped(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in members(folder):
            file.write(path, f"kws01/{path.name}")
    (folder / "in").rename(folder / "was")


def escaped() -> set[Path]:
    """What lies where an absolute name of `formats` or `known_files` would be written."""
    return set(Path("/tmp").glob("synaptrace-escape*"))


def fetched(name: str, checked: bool) -> Callable[[Path], object]:
    """A reader: `data fetch --from` the archive; nothing may appear beside the data set's folder.

    ``checked``: the format has checksums, so what is installed must be what was packed.
    """

    def read(folder: Path) -> None:
        there, outside = listing(folder), escaped()
        try:
            command("data", "fetch", "kws01", "--from", folder / name)
        finally:
            more = sorted(listing(folder) - there)
            if found := escaped() - outside:
                raise Accepted(f"wrote {found}")
            if (folder.parent / "escape.txt").exists() or more:
                raise Accepted(f"wrote {more or '../escape.txt'}")
            for path in (folder / "home").rglob("*"):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise Accepted(f"installed {path.name!r}, no regular file")
        for path in (folder / "home").rglob("tst_*.bin") if checked else ():
            if path.is_file() and path.read_bytes() != (folder / "was" / path.name).read_bytes():
                raise Accepted(f"installed a damaged {path.name}")

    return read


def listing(folder: Path) -> set[str]:
    return {
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.parts[len(folder.parts)] != "home"
    }


def graph(folder: Path) -> None:
    """`from_nir`; it has to run."""
    net = from_nir(folder / "x.nir")
    net(torch.zeros(2, 1, *net.in_shape))
