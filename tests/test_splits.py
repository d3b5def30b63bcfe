"""Split indices: stratified, the same everywhere, stored with a hash that notices any change."""

import json
import subprocess
import sys

import pytest

from synaptrace.data import splits
from synaptrace.errors import UserError

LABELS = [0] * 50 + [1] * 30 + [2] * 7
FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def test_every_sample_is_in_one_split():
    index = splits.make(LABELS, FRACTIONS, seed=1)
    held = [sample for samples in index.values() for sample in samples]
    assert sorted(held) == list(range(len(LABELS)))
    assert list(index) == list(FRACTIONS)


def test_each_class_is_cut_in_the_same_proportions():
    index = splits.make(LABELS, FRACTIONS, seed=1)
    for label in set(LABELS):
        count = LABELS.count(label)
        for name, fraction in FRACTIONS.items():
            held = sum(LABELS[sample] == label for sample in index[name])
            assert abs(held - fraction * count) <= 1


def test_what_the_fractions_leave_is_in_no_split():
    index = splits.make(LABELS, {"train": 0.5}, seed=1)
    assert len(index["train"]) == 44  # 25 + 15 + round(3.5)


def test_the_index_depends_on_the_seed_alone():
    assert splits.make(LABELS, FRACTIONS, 1) == splits.make(LABELS, FRACTIONS, 1)
    assert splits.make(LABELS, FRACTIONS, 1) != splits.make(LABELS, FRACTIONS, 2)
    known = splits.make([0, 0, 0, 0, 1, 1, 1, 1], {"train": 0.5, "test": 0.5}, seed=0)
    code = (
        "import torch; torch.manual_seed(5); from synaptrace.data import splits;"
        "print(splits.digest(splits.make([0]*4 + [1]*4, {'train': .5, 'test': .5}, 0)))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert elsewhere.stdout.strip() == splits.digest(known), elsewhere.stderr


def test_the_hash_is_that_of_the_canonical_form():
    assert splits.canonical({"b": [3, 1], "a": [2]}) == '{"a":[2],"b":[1,3]}'
    assert splits.digest({"b": [3, 1], "a": [2]}) == splits.digest({"a": [2], "b": [1, 3]})
    # printf '{"a":[2],"b":[1,3]}' | sha256sum
    known = "cb747c962519a8741946bb7d8845658c4b0531a93245df0db50849fe73766ac7"
    assert splits.digest({"a": [2], "b": [1, 3]}) == known


def test_a_stored_index_is_read_back(tmp_path):
    index = splits.make(LABELS, FRACTIONS, seed=1)
    key = splits.save(tmp_path / "split.json", index)
    assert key == splits.digest(index)
    assert splits.load(tmp_path / "split.json", samples=len(LABELS), expected=key) == index


def test_a_changed_file_is_noticed(tmp_path):
    path = tmp_path / "split.json"
    splits.save(path, {"train": [0, 1, 2], "test": [3]})
    path.write_text(path.read_text().replace("[3]", "[4]"))
    with pytest.raises(UserError, match=r"split\.json: the split index was changed"):
        splits.load(path)


def test_another_index_than_expected_is_noticed(tmp_path):
    splits.save(tmp_path / "split.json", {"train": [0, 1]})
    with pytest.raises(UserError, match="the split index was changed"):
        splits.load(tmp_path / "split.json", expected=splits.digest({"train": [0, 2]}))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"train": [0, 1], "test": [1]}, "split holds a sample that is there twice"),
        ({"train": [0, 0]}, "the train split holds a sample that is there twice"),
        ({"train": [0, 9]}, "doesn't fit data of 9 samples"),
        ({"train": [-1]}, "doesn't fit data of 9 samples"),
    ],
)
def test_an_index_that_cannot_be_is_refused(tmp_path, index, message):
    splits.save(tmp_path / "split.json", index)
    with pytest.raises(UserError, match=message):
        splits.load(tmp_path / "split.json", samples=9)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"sha256": "", "splits": 3}', "\x80"])
def test_a_file_of_another_kind_is_refused(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(UserError, match=r"split\.json: this is not a stored split index"):
        splits.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.json: the split index can't be read"):
        splits.load(tmp_path / "none.json")


def test_the_stored_file_is_plain_json(tmp_path):
    splits.save(tmp_path / "split.json", {"train": [1, 0]})
    stored = json.loads((tmp_path / "split.json").read_text())
    assert stored == {"sha256": splits.digest({"train": [0, 1]}), "splits": {"train": [0, 1]}}


@pytest.mark.parametrize("fractions", [{}, {"a": -0.1}, {"a": 0.7, "b": 0.7}])
def test_fractions_out_of_range_are_refused(fractions):
    with pytest.raises(UserError, match="fractions"):
        splits.make(LABELS, fractions, seed=0)


def test_no_samples_are_refused():
    with pytest.raises(UserError, match="no samples"):
        splits.make([], FRACTIONS, seed=0)


SPEAKERS = [f"s{i % 10}" for i in range(100)]


def test_whole_speakers_are_held_out():
    held = splits.hold_out(SPEAKERS, 0.15, seed=0)
    names = {SPEAKERS[i] for i in held}
    assert len(names) == 2
    assert held == [i for i in range(100) if SPEAKERS[i] in names]
    assert splits.hold_out(SPEAKERS, 0.15, seed=0) == held
    assert any(splits.hold_out(SPEAKERS, 0.15, seed) != held for seed in range(1, 5))
    assert splits.hold_out(SPEAKERS, 0.0, seed=0) == []


def test_one_speaker_stays_for_training():
    assert len(splits.hold_out(["a", "b"], 0.9, seed=0)) == 1
    with pytest.raises(UserError, match="there must be two"):
        splits.hold_out(["a", "a"], 0.1, seed=0)


def complete(given, share=0.25, **options):
    labels = [i % 4 for i in range(len(given))]
    index, kind = splits.complete(labels, given, share=share, seed=0, **options)
    splits.verify(index, len(given))
    assert sorted(i for chosen in index.values() for i in chosen) == list(range(len(given)))
    return index, kind, labels


def test_the_official_test_stays_and_validation_is_cut_from_the_training():
    index, kind, labels = complete(["train"] * 80 + ["test"] * 20)
    assert kind == "official"
    assert index["test"] == list(range(80, 100))
    assert len(index["validation"]) == 20
    assert [sum(labels[i] == c for i in index["validation"]) for c in range(4)] == [5] * 4


def test_validation_speakers_do_not_train():
    index, _, _ = complete(["train"] * 80 + ["test"] * 20, groups=SPEAKERS)
    held = {SPEAKERS[i] for i in index["validation"]}
    assert len(held) == 3
    assert held.isdisjoint(SPEAKERS[i] for i in index["train"])


def test_official_validation_stays():
    index, kind, _ = complete(["train"] * 60 + ["validation"] * 20 + ["test"] * 20)
    assert kind == "official"
    assert index["validation"] == list(range(60, 80))


def test_without_test_samples_fifths_become_validation_and_test():
    index, kind, labels = complete(["train"] * 100)
    assert kind == "development"
    assert {split: len(chosen) for split, chosen in index.items()} == {
        "train": 60,
        "validation": 20,
        "test": 20,
    }
    assert [sum(labels[i] == c for i in index["test"]) for c in range(4)] == [5] * 4


@pytest.mark.parametrize("test", [0, 20])
def test_without_validation_its_samples_train(test):
    index, _, _ = complete(["train"] * 80 + ["test"] * test, share=0.0)
    assert set(index) == {"train", "test"}


def test_what_cannot_be_completed_is_an_error():
    with pytest.raises(UserError, match="no training samples"):
        complete(["test"] * 10)
    with pytest.raises(UserError, match=r"data\.validation"):
        complete(["train"] * 10, share=1.0)


def test_without_test_samples_whole_speakers_are_held_out():
    index, kind, _ = complete(["train"] * 80 + ["validation"] * 20, groups=SPEAKERS)
    who = {split: {SPEAKERS[i] for i in chosen} for split, chosen in index.items()}
    assert kind == "development"
    assert {split: len(names) for split, names in who.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert len(set.union(*who.values())) == 10
    index, _, _ = complete(["train"] * 100, share=0.0, groups=SPEAKERS)
    assert {split: len(chosen) for split, chosen in index.items()} == {"train": 80, "test": 20}


def test_samples_of_no_speaker_stay_where_they_were_given():
    given = ["train"] * 12 + ["validation", "test"]
    index, kind, _ = complete(given, groups=["a", "b", "c"] * 4 + ["", ""])
    assert kind == "development"
    assert [len(index[split]) for split in ("train", "validation", "test")] == [4, 5, 5]
    assert 12 in index["validation"]
    assert 13 in index["test"]
    index, kind, _ = complete(["train"] * 12 + ["test"] * 2, groups=["a", "b", ""] * 4 + ["c"] * 2)
    assert kind == "official"
    assert {2, 5, 8, 11} <= set(index["train"])


def test_too_few_speakers_are_not_shared_between_splits():
    with pytest.raises(UserError, match=r"2 speakers or subjects are too few .* it needs 3"):
        complete(["train"] * 8, groups=["a", "b"] * 4)
    index, _, _ = complete(["train"] * 8, groups=["a", "b"] * 4, share=0.0)
    assert [len(index[split]) for split in ("train", "test")] == [4, 4]
    # a small group is held out first: two more are left, for validation and training
    for names in ("abc", "acb", "bac", "bca", "cab", "cba"):
        groups = [names[0]] + [names[1]] * 10 + [names[2]] * 10
        index, _, _ = complete(["train"] * 21, groups=groups)
        assert len(index) == 3


def test_by_name_few_samples_change_places_when_one_is_added():
    names = [f"{number}.wav" for number in range(100)]
    before = splits.make([0] * 100, {"train": 0.6, "test": 0.4}, 0, names=names)
    after = splits.make([0] * 101, {"train": 0.6, "test": 0.4}, 0, names=["new.wav", *names])
    moved = {names[i] for i in before["test"]} ^ {(["new.wav", *names])[i] for i in after["test"]}
    assert len(moved) <= 2
    assert before != splits.make([0] * 100, {"train": 0.6, "test": 0.4}, 0)
