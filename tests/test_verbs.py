"""`synaptrace data …`: what the verbs print, and that nothing bad passes in silence."""

import argparse
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread

import recordings
import sounds
from synaptrace import data
from synaptrace.cli import data as cli
from synaptrace.data import inspect as verbs
from synaptrace.data.events import picture
from synaptrace.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


def run(*words, **settings):
    """`synaptrace data`, with --data.key value for each of the settings."""
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    options = parser.parse_args(list(map(str, words)))
    options.settings = {f"data.{key}": str(value) for key, value in settings.items()}
    assert cli.run(options) == 0


def lines(capsys):
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_list_names_every_data_set(capsys):
    run("list")
    head, *rows = lines(capsys)
    assert head == ["name", "title", "licence", "files", "splits"]
    assert [row[0] for row in rows] == sorted(data.NAMES)
    assert all(len(row) == 5 and all(row) for row in rows)
    states = {row[0]: row[3] for row in rows}
    assert states["digits"] == "not needed"
    assert states["nmnist"] == "not fetched"


def test_every_loader_has_options_of_simple_types():
    for name in data.NAMES:
        for key, parameter in data.options(name).items():
            assert parameter.kind is parameter.KEYWORD_ONLY, f"{name}.{key}"
            assert data.check(name, {key: parameter.default}) == {key: parameter.default}


def test_fetch_prepare_and_inspect(tmp_path, capsys):
    recordings.nmnist(tmp_path / "mine")
    run("fetch", "nmnist", "--from", tmp_path / "mine")
    run("prepare", "nmnist", dt=5)
    assert any(line[:2] == ["nmnist", "100"] and line[3] == "0" for line in lines(capsys))
    run("inspect", "nmnist", "--out", tmp_path / "seen.png", saccades=3, dt=5)
    found = lines(capsys)
    table = {line[0]: line[1:] for line in found}
    assert table["shape"] == ["2×34×34"]
    assert table["step"] == ["5 ms"]
    assert table["test split"][0] == "development"
    assert table["train"][:2] == ["60", "63-63, mean 63.0 (315 ms)"]
    assert table["train"][2] == "200 to 200, mean 200"
    assert [table[str(digit)] for digit in range(10)] == [["6", "2", "2"]] * 10
    assert list(table["class"]) == ["train", "validation", "test"]
    picture = imread(tmp_path / "seen.png")
    assert picture.ndim == 3
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 3


def test_inspect_names_a_few_of_many_speakers(tmp_path, capsys, monkeypatch):
    path = sounds.speech_commands(tmp_path / "s", words=("yes", "no"), noise=0.3)
    monkeypatch.setattr(verbs, "SPEAKERS", 3)
    run("inspect", "speechcommands", "--out", tmp_path / "seen.png", path=path)
    table = {line[0]: line[1:] for line in lines(capsys)}
    assert table["speakers"] == ["5", " ".join(sorted(sounds.SPEAKERS)[:3]) + " …"]
    monkeypatch.setattr(verbs, "SPEAKERS", 5)
    run("inspect", "speechcommands", "--out", tmp_path / "seen.png", path=path)
    table = {line[0]: line[1:] for line in lines(capsys)}
    assert table["speakers"] == ["5", " ".join(sorted(sounds.SPEAKERS))]


def test_inspect_draws_rasters_too(tmp_path, capsys):
    pytest.importorskip("h5py", reason="h5py isn't installed")
    recordings.heidelberg(tmp_path / "shd_train.h5")
    recordings.heidelberg(tmp_path / "shd_test.h5", seed=1)
    run("inspect", "shd", "--out", tmp_path / "seen.png", path=tmp_path)
    table = {line[0]: line[1:] for line in lines(capsys)}
    assert table["shape"] == ["700"]
    assert table["speakers"] == ["2", "0 1"]
    assert imread(tmp_path / "seen.png").min() < 0.5


def test_inspect_counts_by_itself_what_the_batches_hold(tmp_path, capsys):
    run("inspect", "digits", "--out", tmp_path / "seen.png")
    table = {line[0]: line[1:] for line in lines(capsys)}
    digits = data.load("digits")
    total = sum(float(events.sum()) for events, _, _ in digits.batches("test"))
    samples = digits.meta.sizes["test"]
    assert table["test"][0] == str(samples)
    assert float(table["test"][2].split("mean ")[1]) == pytest.approx(total / samples, rel=1e-3)
    assert table["test"][1] == "30-30, mean 30.0"


def test_bad_files_are_listed_and_stay_known(tmp_path, capsys):
    path = recordings.nmnist(tmp_path / "mine")
    (path / "Train" / "0" / "00001.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"00001\.bin: the file is empty"):
        run("prepare", "nmnist", path=path)
    run("prepare", "nmnist", "--skip-bad", path=path)
    found = lines(capsys)
    assert [line[3] for line in found if line[0] == "nmnist"] == ["1"]
    assert [line[1] for line in found if line[0] == "skipped"] == [
        f"{path / 'Train' / '0' / '00001.bin'}: the file is empty"
    ]
    with pytest.warns(UserWarning, match="1 bad file"):
        run("inspect", "nmnist", "--out", tmp_path / "seen.png", path=path)
    assert any(line[0] == "skipped" for line in lines(capsys))


def test_data_that_need_no_preparation(capsys):
    run("prepare", "digits")
    assert lines(capsys) == [["digits", "needs no preparation"]]


@pytest.mark.parametrize(
    ("words", "settings", "match"),
    [
        ("inspect nothing", {}, "no data set 'nothing'; there are "),
        ("fetch nothing", {}, "no data set 'nothing'"),
        ("fetch digits", {}, "nothing to fetch"),
        ("inspect digits", {"hue": 3}, r"^data\.hue: no such option of digits; it has shift"),
        ("prepare nmnist", {"speed": 3}, r"^data\.speed: no such option"),
        ("inspect digits", {"shift": "far"}, r"^data\.shift: 'far' doesn't fit"),
        ("inspect digits", {"shift": "["}, r"^data\.shift: '\[' can't be read"),
        ("prepare nmnist", {}, "synaptrace data fetch nmnist"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, settings, match):
    with pytest.raises(UserError, match=match) as caught:
        run(*words.split(), **settings)
    assert "\n" not in str(caught.value)


def test_settings_of_other_sections_are_refused():
    with pytest.raises(UserError, match=r"^--train\.lr: "):
        cli.run(argparse.Namespace(verb="list", settings={"train.lr": "1"}))


def test_help_does_not_import_torch():
    code = (
        "import argparse, sys; from synaptrace.cli import data; p = argparse.ArgumentParser();"
        "data.add_arguments(p); p.format_help(); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        verbs.inspect("digits", out=tmp_path / "file" / "seen.png", say=lambda line: None)


def shown(events):
    """What `picture` paints for events (T, channels, rows, columns)."""

    class Axis:
        def imshow(self, image):
            self.image = image

        def set_title(self, *_, **__): ...
        def set_xticks(self, _): ...
        def set_yticks(self, _): ...

    row = [Axis(), Axis()]
    picture._maps(row, events)
    return np.stack([axis.image for axis in row])


def test_parts_seen_at_once_are_painted_over_one_another():
    events = torch.randint(5, (8, 6, 3, 4), generator=torch.Generator().manual_seed(0)).float()
    off, on = events[:, ::2].sum(1), events[:, 1::2].sum(1)
    np.testing.assert_allclose(shown(events), shown(torch.stack([off, on], 1)))
    assert np.ptp(shown(events)) > 0.1
    merged = events[:, :3]
    np.testing.assert_allclose(shown(merged), shown(merged.sum(1, keepdim=True)))
