"""Speech Commands v2 from a format-exact miniature: lists, 36 classes, a speaker held out."""

import pytest
import torch

import sounds
from synaptrace import data
from synaptrace.data.sets import speechcommands
from synaptrace.data.sets.speechcommands import CLASSES, WORDS
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return sounds.speech_commands(tmp_path_factory.mktemp("speech"))


def test_the_lists_make_the_splits_and_noise_the_last_class(clips):
    found = data.load("speechcommands", path=clips)
    # 35 words by 5 speakers twice, a word that is none of them, 10 seconds of noise
    assert found.meta.sizes == {"train": 35 * 6 + 1 + 8, "validation": 71, "test": 71}
    assert found.meta.test_split == "official"
    assert found.meta.classes == CLASSES
    assert len(CLASSES) == 36
    assert (found.meta.shape, found.meta.steps) == ((120,), 100)
    assert found.meta.features["form"] == "clip"
    counts = found.labels[found.index["test"]].bincount(minlength=36)
    assert counts.tolist() == [2] * 35 + [1]
    who = {k: set(found.speaker[rows].tolist()) - {-1} for k, rows in found.index.items()}
    assert who == {"train": {0, 1, 2}, "validation": {3}, "test": {4}}
    for events, labels, _ in found.batches("test"):
        assert events.shape == (100, len(labels), 120)
        assert events.isfinite().all()


def test_a_held_out_speaker_is_heard_by_the_test_alone(clips):
    found = speechcommands.load(path=clips, holdout_speaker=sounds.SPEAKERS[1])
    assert found.meta.sizes == {
        "train": 35 * 4 + 1 + 8,
        "validation": 71,
        "general": 71,
        "test": 70,
    }
    assert found.meta.test_split == "development"
    assert set(found.speaker[found.index["test"]].tolist()) == {1}
    with pytest.raises(UserError, match="speechcommands has no speaker 'theo'"):
        speechcommands.load(path=clips, holdout_speaker="theo")


def test_a_copy_without_test_clips_is_split_anew(tmp_path):
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:2])
    for clip in path.glob(f"*/{sounds.SPEAKERS[4]}_*.wav"):
        clip.unlink()
    for noise in path.glob("_*/*.wav"):
        noise.unlink()
    with pytest.raises(UserError, match=r"testing_list\.txt: of the 4 files .* none is here"):
        speechcommands.load(path=path, hop=20.0)
    (path / "testing_list.txt").write_text("")
    found = speechcommands.load(path=path, hop=20.0)
    assert found.meta.sizes == {"train": 8, "validation": 5, "test": 4}
    assert found.meta.test_split == "development"
    speakers = [set(found.speaker[rows].tolist()) for rows in found.index.values()]
    assert not set.intersection(*speakers)
    assert sum(map(len, speakers)) == 4


def test_noise_alone_is_no_official_test(tmp_path):
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:1])
    (path / "testing_list.txt").write_text("")
    found = speechcommands.load(path=path)
    assert found.meta.test_split == "development"
    assert (found.speaker[found.index["test"]] >= 0).any()


@pytest.mark.parametrize(
    "form", ["\ufeff{}", "./{}", "{}\r\n"], ids=["byte order mark", "dot", "carriage return"]
)
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_lists_are_read_however_they_were_saved(tmp_path, form, slash):
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:2], noise=0.3)
    whole = speechcommands.load(path=path).meta
    for name in speechcommands.LISTS.values():
        names = (path / name).read_text().replace("/", slash).split()
        if form.startswith("\ufeff"):
            text = form.format("\n".join(names))
        else:
            text = "\n".join(form.format(each) for each in names)
        (path / name).write_bytes(text.encode())
    assert speechcommands.load(path=path).meta == whole


def test_hidden_files_are_not_data(tmp_path):
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:2], noise=0.3)
    whole = speechcommands.load(path=path).meta
    clip = (path / "bed" / f"{sounds.SPEAKERS[0]}_nohash_0.wav").read_bytes()
    (path / "bed" / "._a_nohash_0.wav").write_bytes(b"resource fork")
    (path / ".ipynb_checkpoints").mkdir()
    (path / ".ipynb_checkpoints" / "a_nohash_0.wav").write_bytes(clip)
    assert speechcommands.load(path=path).meta == whole


def test_what_is_missing_is_named(tmp_path, clips):
    with pytest.raises(UserError, match="synaptrace data fetch speechcommands"):
        speechcommands.load()
    with pytest.raises(UserError, match="no Speech Commands here"):
        speechcommands.load(path=tmp_path)
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:1])
    (path / "testing_list.txt").unlink()
    with pytest.raises(UserError, match=r"testing_list\.txt: can't be read"):
        speechcommands.load(path=path)


def test_a_bad_file_is_named_or_skipped(tmp_path):
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:2])
    bad = path / "bed" / f"{sounds.SPEAKERS[0]}_nohash_1.wav"
    sounds.write(bad, torch.zeros(8000), rate=8000)
    with pytest.raises(UserError, match=r"bed.*nohash_1\.wav: recorded at 8000 Hz"):
        speechcommands.load(path=path)
    assert len(speechcommands.prepare(path=path, skip_bad=True).skipped) == 1
    with pytest.warns(UserWarning, match="1 bad file"):
        assert sum(speechcommands.load(path=path).meta.sizes.values()) == 19 + 1 + 10


def test_short_noise_is_one_cut(tmp_path):
    path = sounds.speech_commands(tmp_path / "s", words=WORDS[:1], noise=0.3)
    assert speechcommands.load(path=path).meta.sizes == {
        "train": 6 + 1 + 1,
        "validation": 2,
        "test": 2,
    }
