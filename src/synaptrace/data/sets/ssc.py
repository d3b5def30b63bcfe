"""SSC, the Spiking Speech Commands: 35 words by 2,618 speakers (`heidelberg`)."""

from __future__ import annotations

from pathlib import Path

from synaptrace.data.cache import Cache
from synaptrace.data.events.recorded import EventDataset
from synaptrace.data.sets import heidelberg, shd
from synaptrace.data.source import Download, Source
from synaptrace.meanings import said

SOURCE = Source(
    name="ssc",
    title="Spiking Speech Commands: spoken words as spikes, 700 channels, 35 classes",
    licence="CC BY 4.0",
    page="https://zenkelab.org/resources/spiking-heidelberg-datasets-shd",
    layout=("ssc_train.h5", "ssc_valid.h5", "ssc_test.h5"),
    downloads=(
        Download(
            "https://zenkelab.org/datasets/ssc_train.h5.zip",
            checksum="md5:d102be95e7144fcc0553d1f45ba94170",
            unpack=".",
        ),
        Download(
            "https://zenkelab.org/datasets/ssc_valid.h5.zip",
            checksum="md5:b4eee3516a4a90dd0c71a6ac23a8ae43",
            unpack=".",
        ),
        Download(
            "https://zenkelab.org/datasets/ssc_test.h5.zip",
            checksum="md5:a35ff1e9cffdd02a20eb850c17c37748",
            unpack=".",
        ),
    ),
    splits="official validation and test, no speaker in two of them",
)

FILES = {"train": "ssc_train.h5", "validation": "ssc_valid.h5", "test": "ssc_test.h5"}


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
) -> EventDataset:
    """SSC: events (T, B, 700), samples of different duration.

    Args:
        dt, pool, binary, shift, drop: as `shd.load` has them.

    Raises:
        UserError: no files there, bad files, an option out of range.
    """
    return heidelberg.build(
        prepare(path=path),
        SOURCE,
        35,
        batch_size=batch_size,
        dt=dt,
        pool=pool,
        binary=binary,
        shift=shift,
        drop=drop,
        validation=0.1,
        published=False,
    )


load.said = said(shd.load)  # type: ignore[attr-defined]
