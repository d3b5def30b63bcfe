"""SHD, the Spiking Heidelberg Digits: spoken digits in English and German (`heidelberg`)."""

from __future__ import annotations

from pathlib import Path

from synaptrace.data.cache import Cache
from synaptrace.data.events.recorded import EventDataset
from synaptrace.data.sets import heidelberg
from synaptrace.data.source import Download, Source

SOURCE = Source(
    name="shd",
    title="Spiking Heidelberg Digits: spoken digits as spikes, 700 channels, 20 classes",
    licence="CC BY 4.0",
    page="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd",
    layout=("shd_train.h5", "shd_test.h5"),
    downloads=(
        Download(
            "https://zenkelab.org/datasets/shd_train.h5.zip",
            checksum="md5:f3252aeb598ac776c1b526422d90eecb",
            unpack=".",
        ),
        Download(
            "https://zenkelab.org/datasets/shd_test.h5.zip",
            checksum="md5:1503a5064faa34311c398fb0a1ed0a6f",
            unpack=".",
        ),
    ),
    splits="official test, with speakers of its own; validation whole speakers of the training",
)

FILES = {"train": "shd_train.h5", "test": "shd_test.h5"}


def prepare(*, path: Path | None = None, skip_bad: bool = False) -> Cache:
    """The samples in the cache. Raises UserError as `heidelberg.prepare` does."""
    return heidelberg.prepare(SOURCE, FILES, path, skip_bad)


def load(
    *,
    path: Path | None = None,
    batch_size: int = 64,
    dt: float = 10.0,
    pool: int = 1,
    binary: bool = False,
    shift: int = 0,
    drop: float = 0.0,
    validation: float = 0.1,
    published: bool = False,
) -> EventDataset:
    """SHD: events (T, B, 700), samples of different duration.

    Args:
        dt: milliseconds a step.
        pool: the spikes of so many neighbouring channels come together; it divides 700.
        binary: 1 where there is any spike, in place of how many.
        shift: training samples move by up to so many channels, either way.
        drop: share of the spikes that training samples lose.
        validation: share of the training samples, at least, that validate: whole speakers.
            Published: 0.
        published: as in the published experiment, all samples of a batch run as long as its
            longest, and the test leaves out its last, incomplete batch. Else a sample ends where
            it ends, whoever is in its batch, and all are tested.

    Raises:
        UserError: no files there, bad files, an option out of range.
    """
    return heidelberg.build(
        prepare(path=path),
        SOURCE,
        20,
        batch_size=batch_size,
        dt=dt,
        pool=pool,
        binary=binary,
        shift=shift,
        drop=drop,
        validation=validation,
        published=published,
    )
