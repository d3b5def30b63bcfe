"""Tensors of the caller as a data set, and the file that keeps them beside a run.

One safetensors file holds ``events`` (N, T, *shape), ``labels`` (N,), perhaps ``lengths`` (N,), and
for each split its samples, ``train``, ``validation`` and ``test``; its metadata say name, classes
and where the test samples come from. `synaptrace train --data.name tensors --data.path FILE` reads
it too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from synaptrace.data import splits
from synaptrace.data.dataset import SPLITS, ArrayDataset, check_frames, check_labels
from synaptrace.data.inputs import check_file
from synaptrace.errors import UserError
from synaptrace.files import replace_atomic

FILE = "data.safetensors"
"""The name of the file in a run."""
MOST = 2**28
"""Bytes of events that a run keeps without being asked."""
KEY = "synaptrace-data"
"""Of its metadata, JSON."""

Given = Sequence[Tensor]
"""(events, labels) or (events, labels, lengths)."""


class TensorData(ArrayDataset):
    """Tensors as a data set, cut into training, validation and test.

        data = st.TensorData(events, labels)                         # 70 %, 15 %, 15 %
        data = st.TensorData(events, labels, test=(more, labels_of_more))
        st.fit(net, rule, data)

    Args:
        events: (N, T, *shape), N samples of T steps; numbers or flags. Whole numbers from 0 to 255
            are kept in a byte each.
        labels: (N,) whole numbers, indices into ``classes``.
        lengths: (N,) steps of each sample, where they differ.
        validation, test: a share of ``events``, 0 for none, or tensors of their own, (events,
            labels) or (events, labels, lengths). Shares are cut out of every class alike.
        classes: the classes' names; None: "0", "1", … up to the largest label.
        batch_size: samples in a batch.
        time_first: all events are (T, N, *shape).
        seed: of the cut, which is the same on every machine.
        name: what reports call the data.

    Raises:
        UserError: no tensors, shapes or dtypes that don't fit, NaN, labels or lengths out of
            range, shares that leave nothing to train on.
    """

    def __init__(
        self,
        events: Tensor,
        labels: Tensor,
        *,
        lengths: Tensor | None = None,
        validation: float | Given = 0.15,
        test: float | Given = 0.15,
        classes: Sequence[str] | None = None,
        batch_size: int = 64,
        time_first: bool = False,
        seed: int = 0,
        name: str = "tensors",
    ) -> None:
        first = (events, labels) if lengths is None else (events, labels, lengths)
        own = {"validation": validation, "test": test}
        parts = {"train": checked(first, name, time_first)}
        shares: dict[str, float] = {}
        for split, given in own.items():
            if isinstance(given, int | float):
                shares |= {split: float(given)} if given else {}
            else:
                parts[split] = checked(given, f"{name}: {split}", time_first)
        index = cut(parts["train"][1], shares, seed, name)
        found = list(parts.values())
        shape = found[0][0].shape[1:]
        for split, (frames, *_) in parts.items():
            if frames.shape[1:] != shape:
                have, need = tuple(frames.shape[1:]), tuple(shape)
                raise UserError(f"{name}: a {split} sample is {have}, one to train on {need}")
        before = len(found[0][1])
        for split, (_, each, _) in list(parts.items())[1:]:
            index[split] = list(range(before, before + len(each)))
            before += len(each)
        ends = [
            torch.full((len(frames),), shape[0]) if each is None else each
            for frames, _, each in found
        ]
        every = torch.cat([each for _, each, _ in found])
        known = [str(i) for i in range(int(every.max()) + 1)] if classes is None else classes
        index = {split: index[split] for split in SPLITS if split in index}
        super().__init__(
            torch.cat([compact(frames) for frames, _, _ in found]),
            every,
            name=name,
            classes=list(known),
            index=index,
            lengths=None if all(each is None for _, _, each in found) else torch.cat(ends),
            batch_size=batch_size,
            test_split="official" if "test" in parts else "development",
            split_hash=splits.digest(index),
        )

    def save(self, path: str | Path) -> None:
        """Write them to a file, or to the run directory ``path``, where they are found again.

        Raises:
            UserError: it can't be written.
        """
        file = Path(path)
        save(self, file / FILE if file.is_dir() else file)


def keep(data: TensorData, run: Path, warn: Callable[[str], None]) -> None:
    """Write ``data`` beside a run that has none yet; a warning where they are too many."""
    if (run / FILE).exists():
        return
    if (size := data.frames.nbytes) > MOST:
        warn(
            f"{run}: {data.meta.name} holds {size / 2**20:.0f} MiB and isn't kept beside the run; "
            f"data.save({str(run)!r}) does so, for `synaptrace evaluate` and `plot`"
        )
        return
    data.save(run)


def checked(given: Given, name: str, time_first: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """Events (N, T, …), labels and lengths, or None. Raises UserError where they are none."""
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise UserError(f"{name}: needs (events, labels) or (events, labels, lengths)")
    for what, each in zip(("events", "labels", "lengths"), given, strict=False):
        if not isinstance(each, Tensor):
            raise UserError(f"{name}: {what} must be a tensor, not {type(each).__name__}")
    events, labels, lengths = (*given, None) if len(given) == 2 else given
    assert events is not None
    assert labels is not None
    if events.is_complex() or events.layout != torch.strided:
        raise UserError(f"{name}: events must be plain numbers, not {events.dtype} {events.layout}")
    if time_first and events.dim() > 1:
        events = events.transpose(0, 1)
    check_frames(events, name)
    largest = int(labels.max()) + 1 if len(labels) and not labels.is_floating_point() else 1
    check_labels(labels, len(events), largest, name)
    if lengths is not None and (lengths.shape != labels.shape or lengths.is_floating_point()):
        raise UserError(f"{name}: lengths must be ({len(labels)},) whole numbers of steps")
    return events.detach().cpu(), labels.cpu().long(), None if lengths is None else lengths.cpu()


def cut(labels: Tensor, shares: dict[str, float], seed: int, name: str) -> splits.Index:
    """The samples of each split, ``shares`` of every class alike, the rest to train on."""
    if any(share < 0 for share in shares.values()) or not sum(shares.values()) < 1:
        said = ", ".join(f"{split} {share:g}" for split, share in shares.items())
        raise UserError(f"{name}: shares of {said} leave nothing to train on")
    fractions = {**shares, "train": 1 - sum(shares.values())}
    index = splits.make(labels.tolist(), fractions, seed)
    for split, samples in index.items():
        if not samples:
            raise UserError(f"{name}: {len(labels)} samples are too few for a {split} split")
    return index


def compact(events: Tensor) -> Tensor:
    """The same numbers, in a byte each where they are whole ones from 0 to 255."""
    small = events.to(torch.uint8)
    return small if torch.equal(small.to(events.dtype), events) else events.to(torch.float32)


def save(data: ArrayDataset, file: Path) -> None:
    """Write a data set's tensors to ``file`` in one move. Raises UserError where it can't be."""
    tensors = {"events": data.frames, "labels": data.labels, **data.index}
    if data.lengths is not None:
        tensors["lengths"] = data.lengths
    meta = data.meta
    about = {"name": meta.name, "classes": list(meta.classes), "test_split": meta.test_split}
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    replace_atomic(file, lambda path: save_file(whole, path, {KEY: json.dumps(about)}))


def read(file: Path, batch_size: int = 64) -> ArrayDataset:
    """The data set of a file that `save` wrote.

    Nothing is allocated that the file's own size doesn't justify, and nothing of it is executed.

    Raises:
        UserError: it is missing, damaged, or another kind of file.
    """
    check_file(file)
    try:
        with safe_open(file, "pt") as opened:
            about: Any = json.loads((opened.metadata() or {}).get(KEY, "null"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if not isinstance(about, dict) or not all(isinstance(c, str) for c in about["classes"]):
            raise ValueError("it doesn't say its classes")
        index = {split: tensors[split].tolist() for split in SPLITS if split in tensors}
        splits.verify(index, len(tensors["labels"]), str(file))
        return ArrayDataset(
            tensors["events"],
            tensors["labels"],
            name=str(about["name"]),
            classes=about["classes"],
            index=index,
            lengths=tensors.get("lengths"),
            batch_size=batch_size,
            test_split=None if about["test_split"] is None else str(about["test_split"]),
            split_hash=splits.digest(index),
        )
    except OSError as error:
        raise UserError(f"{file}: can't be read ({error.strerror or error})") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, RecursionError) as e:
        raise UserError(f"{file}: damaged, or no data of synaptrace ({e})") from e
