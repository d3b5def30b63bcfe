"""Lists of a data set's files: forms of names, and what they may not name."""

import os
from pathlib import Path

import pytest

from synaptrace.data import lists
from synaptrace.errors import UserError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "yes").mkdir()
    for name in "abc":
        (tmp_path / "yes" / f"{name}.wav").touch()
    return tmp_path


def read(root, **texts):
    for split, text in texts.items():
        (root / f"{split}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    return lists.read(root, {split: f"{split}.txt" for split in texts})


@pytest.mark.parametrize(
    "name",
    ["yes/a.wav", "./yes/a.wav", "yes\\a.wav", ".\\yes\\a.wav", "\ufeffyes/a.wav", " yes/a.wav\r"],
)
def test_names_are_plain(root, name):
    assert read(root, test=f"{name}\n\nyes/gone.wav\n") == {"yes/a.wav": "test"}


def test_an_empty_list_is_a_list(root):
    assert read(root, test="", train="yes/b.wav\nyes/a.wav\n") == {
        "yes/b.wav": "train",
        "yes/a.wav": "train",
    }


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.wav", "yes/../../a.wav", "C:\\a.wav"])
def test_names_stay_below_the_folder(root, name):
    with pytest.raises(UserError, match=r"test\.txt: .* is no file below its folder"):
        read(root, test=name)


def test_what_is_wrong_with_a_list_is_said(root):
    with pytest.raises(UserError, match=r"test\.txt: of the 2 files that it names none is here"):
        read(root, test="yes/x.wav\nyes/y.wav")
    with pytest.raises(
        UserError, match=r"test\.txt: 'yes/a.wav' is in the list of the train split"
    ):
        read(root, train="yes/a.wav", test="yes/b.wav\nyes/a.wav")
    with pytest.raises(UserError, match=r"test\.txt: this list is no UTF-8 text"):
        read(root, test="yes/a.wav".encode("utf-16"))
    with pytest.raises(UserError, match=r"none\.txt: can't be read"):
        lists.read(root, {"test": "none.txt"})


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(UserError, match=r"list\.txt: "):
        lists.read(tmp_path, {"test": "list.txt"})
