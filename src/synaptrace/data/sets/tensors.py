"""Tensors of a Python program, as `st.fit` keeps them beside a run (`data.tensors`)."""

from __future__ import annotations

from pathlib import Path

from synaptrace.data import tensors
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.source import Source
from synaptrace.errors import UserError

SOURCE = Source(
    name="tensors",
    title="your own tensors, as a run that was trained from Python keeps them",
    licence="your own",
    page="",
    splits="stored with the tensors",
)


def load(*, path: Path | None = None, batch_size: int = 64) -> ArrayDataset:
    """The tensors of ``path``, a file or the run that it lies in.

    Raises:
        UserError: no path, or a file that can't be read.
    """
    if path is None:
        raise UserError("data.path: is needed, a run trained from Python or its data.safetensors")
    return tensors.read(path / tensors.FILE if path.is_dir() else path, batch_size)
