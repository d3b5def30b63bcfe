"""A user's support, query and shots, and views of a data set."""

import pytest
import torch

import sounds
from synaptrace.data.audio.features import Features
from synaptrace.data.sets import fsdd
from synaptrace.errors import UserError
from synaptrace.keyword import fewshot
from synaptrace.seeds import generator


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    root = tmp_path_factory.mktemp("shots")
    path = sounds.fsdd(root / "fsdd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNAPTRACE_DATA", str(root / "home"))
        found = fsdd.load(path=path, holdout_speaker="bob")
        found.cache_root = path
        yield found


def test_support_and_query_share_nothing_and_cut_every_word_alike(digits):
    user = fewshot.user(digits, "bob")
    assert sorted(user.support + user.query) == sorted(digits.index["test"].tolist())
    assert digits.labels[user.support].bincount().tolist() == [16] * 10
    assert digits.labels[user.query].bincount().tolist() == [4] * 10
    assert not set(user.general + user.known) & set(user.support + user.query)
    assert set(digits.speaker[user.general].tolist()) == {0}
    assert not set(user.general) & set(user.known)


def test_shots_are_nested_and_hang_on_the_seed(digits):
    support = fewshot.user(digits, "bob").support
    few = [fewshot.draw(digits, support, number, seed=1) for number in (1, 5, 40)]
    for rows, number in zip(few, (1, 5, 16), strict=True):
        assert digits.labels[rows].bincount().tolist() == [number] * 10
    assert set(few[0]) < set(few[1]) < set(few[2])
    assert few[2] == fewshot.draw(digits, support, None, seed=2) == sorted(support)
    assert few[1] != fewshot.draw(digits, support, 5, seed=2)
    # in whatever order the rows come
    assert few[1] == fewshot.draw(digits, support[::-1], 5, seed=1)


def test_a_speaker_must_have_been_held_out(digits):
    with pytest.raises(UserError, match=r"ann's samples are trained on; train with --data\.hold"):
        fewshot.user(digits, "ann")
    with pytest.raises(UserError, match="no speaker 'theo'; it has ann, bob, eve"):
        fewshot.user(digits, "theo")


def test_a_view_leaves_the_data_set_alone(digits):
    before, labels = dict(digits.meta.sizes), digits.labels.clone()
    classes = [*map(str, range(9, -1, -1)), "ten"]
    seen = fewshot.view(digits, {"query": [3, 1], "none": []}, batch_size=1, classes=classes)
    assert seen.meta.sizes == {"query": 2}
    assert seen.meta.classes == tuple(classes)
    assert seen.meta.split_hash != digits.meta.split_hash
    assert (digits.meta.sizes, digits.batch_size) == (before, 16)
    assert torch.equal(digits.labels, labels)
    batches = list(seen.batches("query"))
    assert [classes[int(batch[1])] for batch in batches] == [str(int(labels[i])) for i in (3, 1)]
    assert torch.equal(batches[1][0], digits.gather(torch.tensor([1]))[0])
    draws = [digits.gather(torch.tensor([1]), generator(0))[0] for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], batches[1][0])


def test_a_view_can_have_the_features_of_another_training_set(digits):
    spec = Features.from_spec(digits.meta.features).spec
    doubled = spec | {"deviation": [2 * d for d in spec["deviation"]]}
    seen = fewshot.view(digits, {"query": [0]}, features=doubled)
    (events, *_), (half, *_) = (d.gather(torch.tensor([0])) for d in (digits, seen))
    torch.testing.assert_close(half, events / 2)
    assert seen.meta.features == doubled
    other = spec | {"mel": spec["mel"] | {"rate": 16000}}
    with pytest.raises(UserError, match="other mel bands than the network was trained with"):
        fewshot.view(digits, {"query": [0]}, features=other)


def test_all_other_speakers_can_train(digits):
    found = fsdd.load(
        path=digits.cache_root, holdout_speaker="bob", holdout_validation="utterances"
    )
    assert found.meta.sizes == {"train": 200, "validation": 100, "general": 100, "test": 200}
    assert set(found.speaker[found.index["train"]].tolist()) == {0, 2}


@pytest.mark.parametrize("word", ["3", 9])
def test_a_word_can_be_left_out(digits, word):
    found = fsdd.load(path=digits.cache_root, leave_out=word)
    rest = [str(digit) for digit in range(10) if digit != int(word)]
    assert found.meta.classes == tuple(rest)
    assert found.meta.sizes == {"train": 270, "validation": 135, "test": 135}
    everything = fsdd.load(path=digits.cache_root)
    for rows in found.index.values():
        same = [rest[i] for i in found.labels[rows]]
        assert same == [str(int(i)) for i in everything.labels[rows]]
    # what it sees is standardised without the word, too
    assert found.meta.features["mean"] != everything.meta.features["mean"]
    with pytest.raises(UserError, match="leave_out: 'ten' is none of 0, 1"):
        fsdd.load(path=digits.cache_root, leave_out="ten")
