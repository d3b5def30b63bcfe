"""Which words of Speech Commands are outputs, and what "unknown" and "silence" are drawn from."""

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

import sounds
from synaptrace import cli
from synaptrace.config import resolve
from synaptrace.data.sets import speechcommands
from synaptrace.data.sets.outputs import choose
from synaptrace.data.sets.speechcommands import CLASSES, WORDS
from synaptrace.errors import UserError
from synaptrace.training import checkpoint, job
from synaptrace.training.run import BEST, CONFIG, LAST, METRICS, SUMMARY

TEN = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
FEW = ("yes", "no", "up", "bed", "cat")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sounds.speech_commands(tmp_path_factory.mktemp("whole"), takes=3)


def part(path: Path, words=FEW) -> Path:
    """A copy without strange words or noise."""
    sounds.speech_commands(path, words=words, noise=0.3)
    for folder in ("parrot", "_background_noise_"):
        for file in (path / folder).iterdir():
            file.unlink()
        (path / folder).rmdir()
    return path


def heard(found, split):
    """The words of a split by class."""
    words: dict[str, Counter[str]] = {}
    for row in found.index.get(split, []):
        name = found.cache.notes["file"][row]
        label = found.meta.classes[found.labels[row]]
        words.setdefault(label, Counter())[name.split("/")[0]] += 1
    return words


def test_the_classes_are_the_words_that_are_there(tmp_path):
    found = speechcommands.load(path=part(tmp_path / "s"))
    assert found.meta.classes == ("bed", "cat", "no", "up", "yes")
    assert found.meta.sizes == {"train": 30, "validation": 10, "test": 10}
    for split in found.index:
        assert all(words.keys() == {label} for label, words in heard(found, split).items())
    sounds.write(tmp_path / "s" / "parrot" / "a_nohash_0.wav", sounds.tone(90.0))
    assert speechcommands.load(path=tmp_path / "s").meta.classes[5:] == ("unknown",)
    found = speechcommands.load(path=tmp_path / "s", words="all")
    assert found.meta.classes == CLASSES


def test_twelve_classes_as_published(whole):
    settings = resolve(preset="speechcommands12", overrides={"data.path": str(whole)})
    found = job.load_data(settings)
    assert found.meta.classes == (*TEN, "unknown", "silence")
    assert found.meta.test_split == "official"
    for split, each in {"train": 9, "validation": 3, "test": 3}.items():
        words = heard(found, split)
        assert all(words[word] == {word: each} for word in TEN)
        assert words["unknown"].total() == each
        assert words["unknown"].keys() <= {*WORDS, "parrot"} - set(TEN)
        assert words["unknown"].most_common(1)[0][1] == 1
        assert words["silence"] == {"_background_noise_": {"train": 8}.get(split, 1)}
    who = {k: set(found.speaker[rows].tolist()) - {-1} for k, rows in found.index.items()}
    assert who == {"train": {0, 1, 2}, "validation": {3}, "test": {4}}


def test_thirty_five_words_alone(whole):
    settings = resolve(preset="speechcommands35", overrides={"data.path": str(whole)})
    found = job.load_data(settings)
    assert found.meta.classes == WORDS
    assert found.meta.sizes == {"train": 35 * 9, "validation": 105, "test": 105}


def test_the_draw_is_fixed_balanced_and_of_the_stated_share(whole):
    def rows(**settings):
        found = speechcommands.load(path=whole, words="yes,no", **settings)
        assert found.meta.classes[:2] == ("yes", "no")
        return found, {k: v.tolist() for k, v in found.index.items()}

    one, first = rows()
    assert rows(form="causal")[1] == first
    more, second = rows(unknown=8.0)
    assert all(set(first[split]) < set(second[split]) for split in first)
    unknown = heard(more, "train")["unknown"]
    assert unknown.total() == 8 * 9
    assert unknown.pop("parrot") == 1
    assert set(unknown.values()) == {2, 3}
    assert len(unknown) == 33
    none, _ = rows(unknown=0.0, silence=0.0)
    assert none.meta.classes == ("yes", "no")
    assert none.meta.sizes == {"train": 18, "validation": 6, "test": 6}
    quiet, _ = rows(unknown=0.0, silence=0.5)
    assert quiet.meta.classes == ("yes", "no", "silence")
    assert heard(quiet, "train")["silence"].total() == round(0.5 * 9)
    assert one.meta.classes == ("yes", "no", "unknown", "silence")
    held = speechcommands.load(
        path=whole, words="yes,no", unknown=1.0, holdout_speaker=sounds.SPEAKERS[0]
    )
    assert set(held.speaker[held.index["test"]].tolist()) == {0}
    assert not set(held.speaker[held.index["train"]].tolist()) & {0}


def test_the_words_come_in_the_order_asked(tmp_path):
    path = part(tmp_path / "s")
    found = speechcommands.load(path=path, words="up, bed,yes")
    assert found.meta.classes == ("up", "bed", "yes", "unknown")
    assert heard(found, "test")["unknown"] == {"cat": 1, "no": 1}


def test_a_copy_without_test_clips_is_cut_alike_whatever_the_words(tmp_path):
    path = part(tmp_path / "s")
    (path / "testing_list.txt").write_text("")
    (path / "validation_list.txt").write_text("")
    every = speechcommands.load(path=path)
    some = speechcommands.load(path=path, words="yes,no", unknown=1.0)
    for split, rows in some.index.items():
        assert set(rows.tolist()) < set(every.index[split].tolist())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"words": "yes,dog"}, "data.words: there is no word 'dog'; there are bed, cat, no, up"),
        ({"words": "yes,"}, "data.words: there is no word ''"),
        ({"words": "yes,yes"}, "data.words: 'yes' is there twice"),
        ({"words": "yes", "silence": 1.0}, "data.silence: there is no noise"),
        ({"words": "yes", "unknown": -1.0}, "data.unknown: -1.0 is not a share"),
        ({"unknown": 1.0}, "data.unknown: there is no word but those"),
        ({"words": "yes", "unknown": float("nan")}, "data.unknown: nan is not a share"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        speechcommands.load(path=part(tmp_path / "s"), **settings)


def test_every_sample_of_no_class_is_left_out():
    made = choose(["a", "b", "", "c"], list("pqrs"), {"train": [0, 1, 2, 3]}, ("a", "b"),
                  words="b", unknown=0, silence=0)  # fmt: skip
    assert (made.classes, made.kept) == (("b",), {"train": [1]})
    assert made.labels[1] == 0


def rewrite(run, change):
    """Let ``change`` change what the checkpoints of ``run`` say."""
    for name in (LAST, BEST):
        tensors, meta = checkpoint.load(run / name)
        change(meta)
        names = {key.split(".")[0] for key in tensors}
        parts = {name: checkpoint.part(tensors, name) for name in names}
        checkpoint.save(run / name, parts, meta)


@pytest.fixture
def old(tmp_path):
    """A run as it was trained before ``words`` came: on a part of the words, with 36 outputs."""
    path = part(tmp_path / "s")
    words = ["train", "--preset", "speechcommands", "--data.path", str(path), "--data.words", "all",
             "--model.hidden", "[16]", "--train.epochs", "1", "--out", str(tmp_path / "runs"),
             "--data.holdout_speaker", sounds.SPEAKERS[0], "--quiet"]  # fmt: skip
    assert cli.main(words) == 0
    (run,) = (tmp_path / "runs").iterdir()
    settings = yaml.safe_load((run / CONFIG).read_text())
    assert settings["data"].pop("words") == "all"
    (run / CONFIG).write_text(yaml.safe_dump(settings))
    rewrite(run, lambda meta: meta["config"]["data"].pop("words"))
    return run


def test_an_older_run_keeps_its_36_outputs(old, capsys):
    capsys.readouterr()
    assert cli.main(["evaluate", str(old), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["confusion"]) == 36
    tune = ["finetune", str(old), "--shots", "1", "--batch", "2", "--epochs", "1", "--json",
            "--quiet"]  # fmt: skip
    assert cli.main(tune) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert cli.main(["evaluate", found["run"], "--split", "general", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["confusion"]) == 36


def test_an_older_run_goes_on(old):
    def longer(meta):
        meta["train"]["epochs"] = meta["config"]["train"]["epochs"] = 2

    rewrite(old, longer)
    text = (old / CONFIG).read_text()
    assert "epochs: 1\n" in text
    (old / CONFIG).write_text(text.replace("epochs: 1\n", "epochs: 2\n"))
    (old / SUMMARY).unlink()
    assert cli.main(["resume", str(old), "--quiet"]) == 0
    assert len((old / METRICS).read_text().splitlines()) == 2
    meta = checkpoint.load(old / LAST)[1]
    assert len(meta["data"]["classes"]) == 36
    assert "words" not in meta["config"]["data"]
