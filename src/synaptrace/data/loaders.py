"""Any PyTorch DataLoader as a data set that can be trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from synaptrace.data.dataset import Batch, Meta, check_frames, check_labels
from synaptrace.errors import UserError


class Loaders:
    """DataLoaders that yield (events, labels) or (events, labels, lengths), as a data set.

        data = Loaders(train=DataLoader(…, shuffle=True), test=DataLoader(…), classes=["a", "b"])
        st.fit(net, rule, data)

    Whether a split is shuffled or augmented is its DataLoader's matter. What it draws from
    PyTorch's default generator, or from its own, is seeded anew by each call of `batches`, so that
    an epoch can be repeated; the default generator's state is put back after each batch.

    Args:
        train, validation, test: each yields events (B, T, …), labels (B,), and perhaps lengths
            (B,) in steps.
        classes: the classes' names; labels are indices into them.
        time_first: events are (T, B, …).
        name: what reports call the data.
        test_split: "official", "development" or None, as in `Meta`.

    Raises:
        UserError: no training samples, a loader that can't tell how many it has or that has
            ``persistent_workers`` (its epochs can't be repeated exactly on resume); while it
            yields: items of another form, NaN, labels out of range, shapes that don't fit.
    """

    def __init__(
        self,
        *,
        train: DataLoader[Any],
        validation: DataLoader[Any] | None = None,
        test: DataLoader[Any] | None = None,
        classes: Sequence[str],
        time_first: bool = False,
        name: str = "loaders",
        test_split: str | None = "official",
    ) -> None:
        given = {"train": train, "validation": validation, "test": test}
        for split, each in given.items():
            if each is not None:
                check_loader(each, f"{name}: the {split} loader")
        self.loaders = {split: each for split, each in given.items() if each is not None}
        self.time_first, self.name, self.classes = time_first, name, len(classes)
        self._shape: tuple[int, ...] | None = None
        sizes = {split: self._count(split) for split in self.loaders}
        first = next(self._read("train", None), None)
        if first is None:
            raise UserError(f"{name}: the train loader yields nothing")
        events, _, lengths = first
        self._shape = tuple(events.shape[2:])
        self.meta = Meta(
            name=name,
            classes=tuple(classes),
            shape=self._shape,
            steps=len(events) if lengths is None else None,
            sizes=sizes,
            test_split=test_split if test is not None else None,
            split_hash="",
        )

    def batches(self, split: str, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """The loader's batches, time first; a last batch of one joins the one before."""
        waiting: Batch | None = None
        for batch in self._read(split, generator) if split in self.loaders else ():
            if waiting is not None and len(batch[1]) == 1 < len(waiting[1]):
                waiting = _join(waiting, batch)
                continue
            if waiting is not None:
                yield waiting
            waiting = batch
        if waiting is not None:
            yield waiting

    def _count(self, split: str) -> int:
        loader = self.loaders[split]
        try:
            size = len(loader.sampler)  # type: ignore[arg-type]
        except TypeError as error:
            raise UserError(f"{self.name}: the {split} loader has no length") from error
        return size - size % (loader.batch_size or 1) if loader.drop_last else size

    def _read(self, split: str, generator: torch.Generator | None) -> Iterator[Batch]:
        """The loader's own batches, drawn as if the default generator had been seeded for them."""
        seed = 0
        if generator is not None:
            seed = int(torch.randint(2**62, (), generator=generator))
        loader, items = self.loaders[split], None
        if loader.generator is not None:
            loader.generator.manual_seed(seed)
        state = torch.Generator().manual_seed(seed).get_state()
        while True:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(state)
                items = iter(loader) if items is None else items
                item = next(items, None)
                state = torch.get_rng_state()
            if item is None:
                return
            yield self._batch(item, split)

    def _batch(self, item: Any, split: str) -> Batch:
        """An item of the loader, checked and time first."""
        where = f"{self.name}: the {split} loader"
        if not isinstance(item, list | tuple) or len(item) not in (2, 3):
            raise UserError(f"{where} must yield (events, labels) or (events, labels, lengths)")
        events, labels, lengths = (*item, None) if len(item) == 2 else item
        if not (isinstance(events, Tensor) and isinstance(labels, Tensor)):
            raise UserError(f"{where} must yield tensors")
        if self.time_first and events.dim() > 1:
            events = events.transpose(0, 1)
        check_frames(events, where)
        if not (labels.is_floating_point() or labels.is_complex()):
            labels = labels.long()  # PyTorch can't compare unsigned ones
        check_labels(labels, len(events), self.classes, where)
        if self._shape is not None and tuple(events.shape[2:]) != self._shape:
            raise UserError(f"{where} yields {tuple(events.shape[2:])} a step, not {self._shape}")
        if lengths is not None:
            lengths, steps = torch.as_tensor(lengths).long().contiguous(), events.shape[1]
            if lengths.shape != labels.shape or lengths.min() < 1 or lengths.max() > steps:
                raise UserError(f"{where} yields lengths that don't fit its {steps} steps")
        events = events.transpose(0, 1).to(torch.float32).contiguous()
        return events, labels.contiguous(), lengths


def check_loader(loader: Any, where: str) -> None:
    """Raises UserError unless it is a DataLoader whose epochs can be repeated."""
    if not isinstance(loader, DataLoader):
        raise UserError(f"{where} is a {type(loader).__name__}; wrap it in a torch DataLoader")
    if loader.persistent_workers:
        raise UserError(
            f"{where} has persistent_workers=True: workers that live on draw random numbers that "
            "no resumed run can repeat; leave it False"
        )


def _join(first: Batch, last: Batch) -> Batch:
    """Two batches as one, the shorter padded with steps that its lengths leave out."""
    steps = max(len(first[0]), len(last[0]))
    lengths = None
    if first[2] is not None and last[2] is not None:
        lengths = torch.cat([first[2], last[2]])
    elif len(first[0]) != len(last[0]):
        raise UserError("loaders: samples of different duration need lengths")
    padded = [
        F.pad(events, (*[0, 0] * (events.dim() - 1), 0, steps - len(events)))
        for events, _, _ in (first, last)
    ]
    return torch.cat(padded, 1), torch.cat([first[1], last[1]]), lengths
