"""Batches: every sample once, random only by the generator; wrapped DataLoaders; bad input."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from synaptrace import data
from synaptrace.data.dataset import ArrayDataset, group
from synaptrace.data.events.augment import shift
from synaptrace.data.loaders import Loaders
from synaptrace.errors import UserError
from synaptrace.seeds import generator

SAMPLES, STEPS, SHAPE, CLASSES = 33, 5, (2, 6, 4), ["a", "b", "c"]
INDEX = {"train": list(range(0, 17)), "test": list(range(17, 33))}


def frames() -> torch.Tensor:
    """Sample i holds the number i everywhere, so that a batch tells who is in it."""
    numbers = torch.arange(SAMPLES, dtype=torch.uint8)
    return numbers.view(-1, 1, 1, 1, 1).expand(-1, STEPS, *SHAPE).clone()


def labels() -> torch.Tensor:
    return torch.arange(SAMPLES) % len(CLASSES)


def dataset(**settings) -> ArrayDataset:
    settings = {"name": "numbers", "classes": CLASSES, "index": INDEX, "batch_size": 4} | settings
    return ArrayDataset(
        settings.pop("frames", frames()), settings.pop("labels", labels()), **settings
    )


def who(batches) -> list[int]:
    return [int(sample) for events, *_ in batches for sample in events[0, :, 0, 0, 0]]


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1]), (5, [5]), (0, [])],
)
def test_a_last_batch_of_one_joins_the_one_before(samples, sizes):
    batches = group(torch.arange(samples), 4)
    assert [len(batch) for batch in batches] == sizes
    assert [sample for batch in batches for sample in batch.tolist()] == list(range(samples))


def test_batches_of_one_stay_where_one_is_asked_for():
    assert [len(batch) for batch in group(torch.arange(3), 1)] == [1, 1, 1]
    ones = Loaders(train=loader(batch_size=1), classes=CLASSES)
    assert [len(batch[1]) for batch in ones.batches("train")] == [1] * SAMPLES


def test_without_a_generator_the_order_is_the_stored_one():
    assert who(dataset().batches("train")) == INDEX["train"]
    assert who(dataset().batches("test")) == INDEX["test"]


def test_with_a_generator_every_sample_comes_once_in_its_order():
    first = who(dataset().batches("train", generator(0)))
    assert sorted(first) == INDEX["train"]
    assert first != INDEX["train"]
    assert first == who(dataset().batches("train", generator(0)))
    assert first != who(dataset().batches("train", generator(1)))


def test_batches_have_the_shapes_and_types_of_the_protocol():
    sizes = []
    for events, batch_labels, lengths in dataset().batches("train"):
        assert events.shape == (STEPS, len(batch_labels), *SHAPE)
        assert events.dtype == torch.float32
        assert events.is_contiguous()
        assert batch_labels.dtype == torch.int64
        assert torch.equal(batch_labels, events[0, :, 0, 0, 0].long() % 3)
        assert lengths is None
        sizes.append(len(batch_labels))
    assert sizes == [4, 4, 4, 5]


def test_a_split_that_does_not_exist_yields_nothing():
    meta = dataset().meta
    assert list(dataset().batches("validation")) == []
    assert meta.sizes == {"train": 17, "test": 16}
    assert (meta.shape, meta.steps, meta.classes) == (SHAPE, STEPS, ("a", "b", "c"))
    assert dataset(index={"train": [0, 1]}, test_split="official").meta.test_split is None


def test_lengths_go_along_and_padding_is_cut():
    lengths = torch.arange(SAMPLES) % STEPS + 1
    data = dataset(lengths=lengths)
    assert data.meta.steps is None
    for events, _, told in data.batches("train", generator(0)):
        assert torch.equal(told, lengths[events[0, :, 0, 0, 0].long()])
        assert len(events) == told.max()


def test_augmentation_is_for_training_alone_and_drawn_from_the_generator():
    def add_noise(events, draws):
        return events + torch.randint(2, events.shape, generator=draws)

    noisy = dataset(augment=add_noise)
    plain = [events for events, *_ in noisy.batches("train")]
    assert all((events == events[:1, :, :1, :1, :1]).all() for events in plain)
    before = torch.get_rng_state()
    first = torch.cat([events for events, *_ in noisy.batches("train", generator(0))], 1)
    again = torch.cat([events for events, *_ in noisy.batches("train", generator(0))], 1)
    assert torch.equal(first, again)
    assert not (first == first[:1, :, :1, :1, :1]).all()
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(frames(), noisy.frames)


def test_a_shift_moves_each_sample_as_a_whole_and_nothing_comes_in():
    events = torch.zeros(3, 200, 2, 5, 5, dtype=torch.uint8)
    events[:, :, :, 2, 2] = 7
    events[:, :, :, 0, 0] = 1  # in the corner: lost by a move up or left
    moved = shift(events, generator(0), pixels=1)
    assert (moved.shape, moved.dtype) == (events.shape, events.dtype)
    assert torch.equal(moved, moved[:1, :, :1].expand_as(moved))  # steps and channels together
    centre = (moved[0, :, 0] == 7).nonzero()[:, 1:] - 2
    assert len(centre) == 200
    assert sorted(set(map(tuple, centre.tolist()))) == [
        (row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)
    ]
    lost = (moved[0, :, 0] == 1).sum((1, 2)) == 0
    assert torch.equal(lost, (centre < 0).any(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": torch.zeros(0, STEPS, 3)}, "not empty"),
        ({"frames": torch.zeros(SAMPLES, STEPS)}, "frames must be"),
        ({"labels": labels()[:-1]}, "33 samples, but labels of shape"),
        ({"labels": labels() + 1}, "label 3 is out of range"),
        ({"labels": labels() - 1}, "label -1 is out of range"),
        ({"labels": labels().float()}, "whole numbers"),
        ({"index": {"train": [0, 33]}}, "train split names samples beyond the 33"),
        ({"index": {"train": [-1, 3]}}, "train split names samples beyond the 33"),
        ({"lengths": torch.zeros(SAMPLES, dtype=torch.int64)}, "lengths"),
        ({"lengths": torch.full((SAMPLES,), STEPS + 1)}, "lengths"),
        ({"lengths": torch.ones(2, dtype=torch.int64)}, "lengths"),
        ({"batch_size": 0}, r"data\.batch_size"),
    ],
)
def test_data_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        dataset(**settings)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused_naming_the_sample(value):
    bad = frames().float()
    bad[5, 2] = value
    with pytest.raises(UserError, match="numbers: sample 5 holds NaN"):
        dataset(frames=bad)


# Wrapped DataLoaders.


def loader(**settings) -> DataLoader:
    return DataLoader(TensorDataset(frames(), labels()), **({"batch_size": 4} | settings))


def test_a_data_loader_becomes_a_data_set():
    wrapped = Loaders(train=loader(shuffle=True), test=loader(), classes=CLASSES)
    meta = wrapped.meta
    assert (meta.shape, meta.steps, meta.sizes) == (SHAPE, STEPS, {"train": 33, "test": 33})
    batches = list(wrapped.batches("test"))
    assert [len(batch_labels) for _, batch_labels, _ in batches] == [4] * 7 + [5]
    assert who(batches) == list(range(SAMPLES))
    for events, batch_labels, lengths in batches:
        assert events.shape == (STEPS, len(batch_labels), *SHAPE)
        assert (events.dtype, batch_labels.dtype) == (torch.float32, torch.int64)
        assert torch.equal(batch_labels, events[0, :, 0, 0, 0].long() % 3)
        assert lengths is None
    assert list(wrapped.batches("validation")) == []


@pytest.mark.parametrize("own", [None, "own"])
def test_a_data_loader_shuffles_by_the_generator_alone(own):
    draws = torch.Generator() if own else None
    wrapped = Loaders(train=loader(shuffle=True, generator=draws), classes=CLASSES)
    before = torch.get_rng_state()
    first = who(wrapped.batches("train", generator(0)))
    torch.rand(3)
    assert first == who(wrapped.batches("train", generator(0)))
    assert first != who(wrapped.batches("train", generator(1)))
    assert sorted(first) == list(range(SAMPLES))
    torch.set_rng_state(before)
    list(wrapped.batches("train", generator(0)))
    assert torch.equal(before, torch.get_rng_state())


class Noisy(Dataset):
    """A data set that draws from the default generator, as torchvision's transforms do."""

    def __len__(self):
        return 9

    def __getitem__(self, sample):
        return torch.rand(STEPS, 3), sample % 3


@pytest.mark.parametrize("workers", [0, 1])
def test_transforms_of_a_data_loader_are_seeded_too(workers):
    many = DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=workers)
    wrapped = Loaders(train=many, classes=CLASSES)
    first = [events for events, *_ in wrapped.batches("train", generator(0))]
    for use_in_between in (torch.rand(3), torch.rand(5)):
        assert len(use_in_between)
        again = [events for events, *_ in wrapped.batches("train", generator(0))]
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = next(wrapped.batches("train", generator(1)))[0]
    assert not torch.equal(first[0], other)


def test_time_first_loaders_and_lengths_of_different_batches():
    lengths = [torch.tensor([3, 2]), torch.tensor([5])]
    items = [
        (torch.ones(3, 2, 4), torch.tensor([0, 1]), lengths[0]),
        (torch.full((5, 1, 4), 2.0), torch.tensor([2]), lengths[1]),
    ]
    wrapped = Loaders(train=DataLoader(items, batch_size=None), classes=CLASSES, time_first=True)
    assert wrapped.meta.steps is None
    ((events, batch_labels, told),) = wrapped.batches("train")
    assert events.shape == (5, 3, 4)
    assert told.tolist() == [3, 2, 5]
    assert batch_labels.tolist() == [0, 1, 2]
    assert (events[3:, :2] == 0).all()
    assert (events[:, 2] == 2).all()


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(STEPS, 3), 0


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "yields nothing"),
        ([(torch.zeros(2, 5, 3),)], "must yield"),
        ([torch.zeros(2, 5, 3)], "must yield"),
        ([("text", torch.zeros(2))], "must yield tensors"),
        ([(torch.zeros(2, 5), torch.zeros(2).long())], "frames must be"),
        ([(torch.zeros(2, 5, 3), torch.tensor([0, 3]))], "label 3 is out of range"),
        ([(torch.zeros(2, 5, 3), torch.tensor([0]))], "2 samples, but labels"),
        ([(torch.zeros(2, 5, 3) / 0, torch.tensor([0, 1]))], "NaN"),
        ([(torch.zeros(2, 5, 3), torch.tensor([0, 1]), torch.tensor([5, 6]))], "lengths"),
    ],
)
def test_loaders_that_yield_something_else_are_refused(items, message):
    with pytest.raises(UserError, match=message):
        Loaders(train=DataLoader(items, batch_size=None), classes=CLASSES)


def test_a_loader_without_length_or_of_changing_shape_is_refused():
    with pytest.raises(UserError, match="the train loader has no length"):
        Loaders(train=DataLoader(Endless()), classes=CLASSES)
    items = [(torch.zeros(2, 5, n), torch.tensor([0, 1])) for n in (3, 4)]
    wrapped = Loaders(train=DataLoader(items, batch_size=None), classes=CLASSES)
    with pytest.raises(UserError, match=r"yields \(4,\) a step, not \(3,\)"):
        list(wrapped.batches("train"))


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UserError, match=r"data\.name: no data set 'digit'; there are .*digits"):
        data.load("digit")
    with pytest.raises(UserError, match=r"data\.shfit: no such option of digits; it has shift"):
        data.load("digits", shfit=2)
