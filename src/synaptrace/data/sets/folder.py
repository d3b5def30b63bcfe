"""Your own data: a folder for each class, with .wav files of sound or .npy files of events.

    words/yes/1.wav   words/yes/2.wav   words/no/1.wav   …

Sound becomes log-mel features (`audio`), events become frames (`frames`). An event file is an
array of whole numbers that NumPy saved: (events, 4) in the order t, x, y, p, or one dimension with
fields of these names; t in microseconds and ascending, counted from the first event, p 0 or 1.

A fifth of every class is a development test, a fifth validates. Which files these are hangs on
their names alone, by a fixed seed, so few change places when files are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from synaptrace.data import cache, npy, splits
from synaptrace.data.audio import resample, wav
from synaptrace.data.audio.augment import Augmentation, augmented
from synaptrace.data.audio.clips import Clips
from synaptrace.data.audio.clips import read_file as read_clip
from synaptrace.data.audio.features import Form
from synaptrace.data.audio.mel import Mel
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.columns import Array
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.events.formats import Recording, check
from synaptrace.data.events.frames import Frames
from synaptrace.data.events.recorded import EventDataset
from synaptrace.data.inputs import afford
from synaptrace.data.sets import fsdd, spoken
from synaptrace.data.source import Source, find
from synaptrace.errors import UserError
from synaptrace.meanings import said

SOURCE = Source(
    name="folder",
    title="your own data: one folder per class, .wav sound or .npy events",
    licence="yours",
    page="",
    layout=("<class>/<name>.wav or .npy",),
    manual="make a folder for each class, and set data.path to where they are",
    splits="a development test and validation, a fifth each of every class by a fixed seed",
)

VERSION = 2
SEED = 0
"""Of the split; it doesn't change with a run's seed."""

FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def prepare(
    *,
    path: Path | None = None,
    skip_bad: bool = False,
    rate: int | None = None,
    window: float = 30.0,
    hop: float = 20.0,
    bands: int = 40,
    seconds: float = 1.0,
    rows: int = 128,
    columns: int = 128,
) -> Cache:
    """The files in the cache, in the order of their names; options as in `load`.

    Raises:
        UserError: no such files there; bad ones, unless ``skip_bad`` leaves them out.
    """
    root, files = _find(path)
    classes = _classes(files)
    if files[0].suffix.lower() == ".npy":
        settings = {"files": cache.fingerprint(root, files), "rows": rows, "columns": columns}

        def read_events(file: Path) -> Iterator[Sample]:
            t, x, y, p = _events(file, (rows, columns))
            made: dict[str, Array] = {"t": t, "x": x, "y": y, "p": p}
            yield Sample(made, classes.index(file.parent.name), {"file": _name(file)})

        return cache.prepare("folder", VERSION, settings, files, read_events, skip_bad=skip_bad)

    clips = _clips(files, rate, window, hop, bands, seconds)

    def read(file: Path) -> Iterator[Sample]:
        if rate is None:
            samples, found = wav.read(file)
            if found != clips.mel.rate:
                raise UserError(
                    f"{file}: recorded at {found} Hz, others at {clips.mel.rate} Hz; "
                    "data.rate resamples them all"
                )
        else:
            recorded, found = wav.channels(file)
            size = recorded.element_size() * len(recorded)
            afford(file, size * rate // found, size, f"{found} Hz resampled to {rate} Hz")
            samples = resample.convert(recorded, found, rate)
        yield clips.sample(samples, classes.index(file.parent.name), file=_name(file))

    return clips.prepare("folder", root, files, files, read, skip_bad, convert=rate is not None)


@augmented
def load(
    *,
    path: Path | None = None,
    batch_size: int = 16,
    shift: int = 4,
    rate: int | None = None,
    form: Form = "causal",
    encoding: Literal["features", "delta", "lif"] = "features",
    threshold: float = 0.5,
    floor: float = -60.0,
    window: float = 30.0,
    hop: float = 20.0,
    bands: int = 40,
    seconds: float = 1.0,
    noise: float = 0.4,
    rows: int = 128,
    columns: int = 128,
    dt: float = 10.0,
    pool: int = 1,
    **augment: Any,
) -> ArrayDataset | EventDataset:
    """A folder's sound, events (50, B, 120), or its events, (T, B, 2, rows, columns).

    Args:
        shift: training samples move by up to so many frames of sound, or pixels of events.
        rate: sound is mixed down to one channel and resampled to so many Hz
            (`resample.convert`); None: all files must be mono and of one rate.
        form, encoding, threshold, floor, window, hop, bands, seconds, noise: as `fsdd.load` has
            them, of sound.
        rows, columns: pixels of the events' sensor.
        dt: milliseconds a step of events.
        pool: the events of pool × pool pixels come together.
        augment: what else is done to training samples of sound (`Augmentation`).

    Raises:
        UserError: no path, no files there, bad files, an option out of range.
    """
    prepared = prepare(
        path=path, rate=rate, window=window, hop=hop, bands=bands, seconds=seconds,
        rows=rows, columns=columns,
    )  # fmt: skip
    _, files = _find(path)
    classes, labels = _classes(files), prepared.labels.tolist()
    index = splits.make(labels, FRACTIONS, SEED, names=prepared.notes["file"])
    index = {split: samples for split, samples in index.items() if samples}
    more = Augmentation(shift=shift, noise=noise, **augment)
    if files[0].suffix.lower() == ".npy":
        if more != Augmentation(shift=shift, noise=noise):
            names = ", ".join(f"data.{key}" for key, value in augment.items() if value)
            raise UserError(f"{names}: for sound, and these are events; leave it out")
        return EventDataset(
            prepared,
            Frames((rows, columns), dt, pool=pool),
            name="folder",
            classes=classes,
            index=index,
            batch_size=batch_size,
            shift=shift,
            test_split="development",
            split_hash=splits.digest(index),
        )
    return spoken.dataset(
        prepared,
        _clips(files, rate, window, hop, bands, seconds),
        index,
        name="folder",
        classes=classes,
        batch_size=batch_size,
        form=form,
        encoding=encoding,
        threshold=threshold,
        floor=floor,
        augmentation=more,
        test_split="development",
    )


load.said = said(fsdd.load)  # type: ignore[attr-defined]


def read_file(path: Path, features: dict[str, Any] | None, seconds: float = 1.0) -> Tensor:
    """A sound file as events (T, channels). Raises UserError as `audio.clips.read_file` does."""
    return read_clip(path, features, seconds)


def read_npy(
    path: Path, rows: int = 128, columns: int = 128, dt: float = 10.0, pool: int = 1
) -> Tensor | None:
    """A .npy file of events as frames (T, 2, rows, columns); None where it is no list of events.

    Raises:
        UserError: events that are no recording, an option out of range.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        listed = array.dtype.names is not None or (array.ndim == 2 and array.shape[1] == 4)
    except (OSError, ValueError, EOFError, AttributeError, SyntaxError):
        return None
    if not listed:
        return None
    return Frames((rows, columns), dt, pool=pool).of(_events(path, (rows, columns)))


def _find(path: Path | None) -> tuple[Path, list[Path]]:
    """The root, and the files in the folders of the classes, all sound or all events."""
    if path is None:
        raise UserError("data.path: needs the folder that holds a folder for each class")
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; it is to hold a folder for each class")
    classes = sorted(each for each in path.iterdir() if each.is_dir() and each.name[0] not in "._")
    if not classes:
        raise UserError(f"{path}: needs two classes at least, a folder for each")
    files: list[Path] = []
    for each in classes:
        own = [f for f in find(each, "*") if f.suffix.lower() in (".wav", ".npy")]
        if not own:
            raise UserError(f"{each}: holds no .wav or .npy file; fill or remove it")
        files += own
    kinds = {file.suffix.lower(): file for file in files}
    if len(kinds) > 1:
        raise UserError(
            f"{path}: sound and events, as {_name(kinds['.wav'])} and {_name(kinds['.npy'])}, "
            "don't mix; keep one kind"
        )
    return path, files


def _classes(files: list[Path]) -> list[str]:
    return sorted({file.parent.name for file in files})


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def _clips(
    files: list[Path], rate: int | None, window: float, hop: float, bands: int, seconds: float
) -> Clips:
    """How the sound becomes clips: at ``rate``, or that of the first file that can be read."""
    if rate is None:
        for file in files:
            try:
                _, rate = wav.channels(file)
                break
            except UserError as error:
                bad = error
        else:
            raise bad
    return Clips(Mel(rate, window, hop, bands, high=min(4000.0, rate / 2)), seconds)


def _events(file: Path, sensor: tuple[int, int]) -> Recording:
    """The events of a .npy file, their time counted from the first one.

    Raises:
        UserError: the file can't be read, is no such array, or no recording (`events.check`).
    """
    array = npy.read(file)
    fields = array.dtype.names or ()
    if not (array.ndim == 1 and {"t", "x", "y", "p"} <= set(fields)) and (
        array.ndim != 2 or array.shape[1] != 4
    ):
        raise UserError(f"{file}: events are (events, 4) or have fields t, x, y, p")
    t, x, y, p = (array[name] for name in "txyp") if fields else array.T
    if any(each.dtype.kind not in "iub" for each in (t, x, y, p)):
        raise UserError(f"{file}: events are whole numbers, t in microseconds")
    if any(each.ndim != 1 for each in (t, x, y, p)):
        raise UserError(f"{file}: fields t, x, y, p hold one number each")
    if len(t) and (min(each.min() for each in (t, x, y, p)) < 0 or p.max() > 1):
        raise UserError(f"{file}: t, x and y can't be negative, and p is 0 or 1")
    check(file, Recording(t, x, y, p), sensor)
    t = (t - t[0]).astype(np.int64)  # in its own type, which may count beyond 2⁶³
    return Recording(t, x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8))
