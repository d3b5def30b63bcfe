"""The Spiking Heidelberg data sets: speech as the spikes of 700 channels of a model of the ear.

SHD: 10,420 digits in English and German by 12 speakers, 20 classes; SSC: 105,829 words of Speech
Commands, 35 classes. Cramer, Stradmann, Schemmel, Zenke, "The Heidelberg spiking data sets for
the systematic evaluation of spiking neural networks", IEEE Trans. Neural Netw. Learn. Syst.
33:2744 (2022). `shd` and `ssc` load them; here is what they share.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synaptrace.data import cache, hdf5, splits
from synaptrace.data.cache import Cache, Sample
from synaptrace.data.columns import Array
from synaptrace.data.events.frames import Frames
from synaptrace.data.events.recorded import EventDataset
from synaptrace.data.inputs import afford, check_file, reason
from synaptrace.data.source import Source
from synaptrace.errors import UserError

VERSION = 1
SEED = 0
"""Of the splits; the data don't change with a run's seed."""

CHANNELS = 700

SAMPLE = 200
"""Bytes that it takes to keep account of a sample while a file is read."""


def prepare(source: Source, files: Mapping[str, str], path: Path | None, skip_bad: bool) -> Cache:
    """The samples of those files that are there, in the cache.

    Args:
        source: whose files they are.
        files: the name of each split's file.

    Raises:
        UserError: no such file there, no h5py, a damaged file; bad samples, unless ``skip_bad``.
    """
    root = source.locate(path)
    there = {split: root / name for split, name in files.items() if (root / name).is_file()}
    if not there:
        raise UserError(f"{root}: no {source.name} here; it lies in {', '.join(source.layout)}")
    settings = {"files": cache.fingerprint(root, there.values())}
    ready = cache.open_cache(source.name, VERSION, settings)
    opened = {} if ready else {split: _Samples(file, split) for split, file in there.items()}
    items = [(split, i) for split, samples in opened.items() for i in range(len(samples))]
    try:
        return cache.prepare(
            source.name,
            VERSION,
            settings,
            items,
            lambda item: [opened[item[0]].read(item[1])],
            skip_bad=skip_bad,
        )
    finally:
        for samples in opened.values():
            samples.close()


def build(
    prepared: Cache,
    source: Source,
    classes: int,
    *,
    batch_size: int,
    dt: float,
    pool: int,
    binary: bool,
    shift: int,
    drop: float,
    validation: float,
    published: bool,
) -> EventDataset:
    """The data set of a cache, with the options that `shd.load` and `ssc.load` describe."""
    notes = prepared.notes
    words = dict(zip(prepared.labels.tolist(), notes["word"], strict=True))
    index, test_split = splits.complete(
        prepared.labels.tolist(),
        notes["split"],
        share=validation,
        seed=SEED,
        groups=notes["speaker"],
    )
    if published and "test" in index:
        index["test"] = index["test"][: max(len(index["test"]) // batch_size * batch_size, 1)]
    return EventDataset(
        prepared,
        Frames((1, CHANNELS), dt, polarities=1, pool=pool, binary=binary),
        name=source.name,
        classes=[words.get(label, str(label)) for label in range(classes)],
        index=index,
        batch_size=batch_size,
        shift=shift,
        drop=drop,
        masked=not published,
        test_split=test_split,
        split_hash=splits.digest(index),
        speakers=sorted(set(notes["speaker"]), key=int),
    )


class _Samples:
    """The samples of one HDF5 file.

    It holds spikes/times (seconds) and spikes/units for each sample, labels, extra/speaker, and
    the words that the labels stand for, extra/keys.
    """

    def __init__(self, path: Path, split: str) -> None:
        self.path, self.split = path, split
        self.size = check_file(path)
        self.file = hdf5.opened(path, "datasets", self._no)
        try:
            self.labels = self._whole("labels")
            self.speakers = self._whole("extra/speaker")
            self.words = [word.decode() for word in self._column("extra/keys")[:]]
            self.times, self.units = self._column("spikes/times"), self._column("spikes/units")
            found = {len(x) for x in (self.labels, self.speakers, self.times, self.units)}
            self.bytes = [self._bytes(self.times), self._bytes(self.units)]
        except UserError:
            self.close()
            raise
        except Exception as error:  # h5py passes on whatever HDF5 stumbles over
            self.close()
            raise self._no(reason(error)) from error
        if len(found) > 1:
            raise UserError(
                f"{path}: damaged, it holds {sorted(found)} labels, speakers and spikes"
            )

    def _no(self, why: str) -> UserError:
        return UserError(f"{self.path}: not a whole HDF5 file of spikes ({why})")

    def _column(self, name: str) -> Any:
        """A column of the file, one value a sample, that lies in the file and fits its size.

        Links to other places, in this file or another, and values kept in other files are refused:
        the data sets have none, and they lead out of the folder or in circles.
        """
        found: Any = self.file
        for part in name.split("/"):
            found = hdf5.member(found, part, name, self._no)
        found = hdf5.kept(found, name, self._no)
        if found.ndim != 1:
            raise self._no(f"{name} has {found.ndim} dimensions, not one value a sample")
        afford(self.path, len(found) * (SAMPLE + found.dtype.itemsize), self.size, name)
        return found

    def _whole(self, name: str) -> Array:
        """A column of whole numbers, read."""
        found = self._column(name)
        if found.dtype.kind not in "iu":
            raise self._no(f"{name} are no whole numbers, but {found.dtype}")
        read: Array = found[:].astype(np.int64)
        return read

    def _bytes(self, column: Any) -> Array:
        """Bytes that each sample's spikes are stated to take, (samples,); 0 where compressed."""
        import h5py

        base = h5py.check_vlen_dtype(column.dtype)
        if base is None:
            return np.zeros(len(column), np.int64)
        return hdf5.stated(self.path, column, int(base.itemsize))

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, i: int) -> Sample:
        """Sample ``i``, its spikes in the order of time, which the file doesn't promise."""
        where = f"{self.path}: sample {i}"
        stated = max(int(each[i]) for each in self.bytes)
        if stated > self.size:
            raise UserError(f"{where} states {stated} bytes of spikes, more than the file has")
        try:
            times, units = self.times[i].astype(np.float64), self.units[i]
            if times.ndim != 1 or units.ndim != 1 or units.dtype.kind not in "iu":
                raise TypeError(f"channels of {units.dtype}")
            units = units.astype(np.int64)
        except Exception as error:  # h5py passes on whatever HDF5 stumbles over
            raise UserError(
                f"{where} can't be read, the file is damaged ({reason(error)})"
            ) from error
        if not len(times) or len(times) != len(units):
            raise UserError(f"{where} has {len(times)} times of spikes and {len(units)} channels")
        if not (np.isfinite(times).all() and times.min() >= 0 and times.max() < 2000):
            raise UserError(f"{where} has spikes at times that are no seconds from its start")
        if units.min() < 0 or units.max() >= CHANNELS:
            off = units.min() if units.min() < 0 else units.max()
            raise UserError(f"{where} has a spike in channel {off} of {CHANNELS}")
        label = int(self.labels[i])
        if not 0 <= label < len(self.words):
            raise UserError(f"{where} has the label {label}, beyond the {len(self.words)} words")
        order = np.argsort(times, kind="stable")
        t = np.floor(times[order] * 1e6).astype(np.int32)
        columns: dict[str, Array] = {"t": t, "x": units[order].astype(np.uint16)}
        notes = {
            "split": self.split,
            "speaker": str(self.speakers[i]),
            "word": self.words[label],
            "file": f"{self.path.name}:{i}",
        }
        return Sample(columns, label, notes)

    def close(self) -> None:
        self.file.close()
