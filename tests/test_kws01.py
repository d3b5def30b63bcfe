"""kws01 from format-exact miniatures: the stored split, the list of labels, bad files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from synaptrace import data
from synaptrace.data import splits
from synaptrace.data.sets import kws01
from synaptrace.errors import UserError
from synaptrace.seeds import generator

STORED = splits.load(kws01.INDEX)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


def write(root: Path, numbers: list[int]) -> Path:
    """Clips whose first coefficient is their label's, and a list in which one file is missing."""
    root.mkdir()
    draws = np.random.default_rng(0)
    lines = ["tst_009999_Go_1.bin,12,1\n"]
    for place, number in enumerate(numbers):
        label = place % 12
        clip = draws.integers(-20, 20, (49, 10), dtype=np.int8)
        clip[:, 0] = 10 * label - 60
        name = f"tst_{number:06}_{kws01.CLASSES[label].title()}_{label}.bin"
        (root / name).write_bytes(clip.tobytes())
        lines.append(f"{name},12,{label}\n")
    (root / "y_labels.csv").write_text("".join(lines))
    return root


@pytest.fixture
def clips(tmp_path):
    numbers = [*STORED["train"][:48], *STORED["validation"][:12], *STORED["test"][:12], 99999]
    return write(tmp_path / "k", numbers)


def test_the_stored_index_is_six_to_one_to_one():
    assert {name: len(numbers) for name, numbers in STORED.items()} == {
        "train": 600,
        "validation": 100,
        "test": 100,
    }


def test_clips_lie_where_the_stored_index_puts_them(clips):
    found = data.load("kws01", path=clips)
    assert found.meta.sizes == {"train": 49, "validation": 12, "test": 12}
    assert found.meta.test_split == "development"
    assert (found.meta.shape, found.meta.steps) == ((30,), 49)
    assert len(found.meta.classes) == 12
    for split in ("validation", "test"):
        events, labels, _ = next(iter(found.batches(split)))
        assert labels.tolist() == list(range(12))
        level = events[:, :, 0].mean(0)
        assert (level.diff() > 0).all()  # the coefficient that tells the label


def test_channels_are_standardised_over_the_training_set(clips):
    found = kws01.load(path=clips, shift=0, noise=0.0)
    events = torch.cat([events for events, *_ in found.batches("train")], 1).flatten(0, 1)
    torch.testing.assert_close(events.mean(0), torch.zeros(30), atol=1e-4, rtol=0)
    torch.testing.assert_close(events.std(0)[:10], torch.ones(10), atol=1e-4, rtol=0)
    again = torch.cat([events for events, *_ in found.batches("train", generator(0))], 1)
    assert torch.allclose(again.flatten(0, 1).std(0), events.std(0), atol=1e-4)


def test_bad_files_are_named(clips, tmp_path):
    with pytest.raises(UserError, match="synaptrace data fetch kws01"):
        kws01.load()
    bad = next(iter(sorted(clips.glob("*.bin"))))
    bad.write_bytes(bytes(489))
    with pytest.raises(UserError, match=rf"{bad.name}: 489 bytes, where 49×10"):
        kws01.load(path=clips)
    assert len(kws01.prepare(path=clips, skip_bad=True)) == 72


@pytest.mark.parametrize(
    "line",
    ["tst_000001_Go_1.bin,12", "tst_000001_Go_1.bin,12,12", "x.bin,12,1", "tst_1_a.bin,12,-1"],
)
def test_a_bad_list_is_named(clips, line):
    labels = clips / "y_labels.csv"
    labels.write_text(f"{labels.read_text()}{line}\n")
    with pytest.raises(UserError, match=r"y_labels\.csv: line 75 is not"):
        kws01.load(path=clips)
    labels.unlink()
    with pytest.raises(UserError, match=r"y_labels\.csv: can't be read"):
        kws01.load(path=clips)


def test_a_clip_listed_twice_is_named(clips):
    labels = clips / "y_labels.csv"
    first = labels.read_text().splitlines()[1]
    labels.write_text(f"{labels.read_text()}{first}\n")
    with pytest.raises(UserError, match=r"y_labels\.csv: line 75 lists tst_\d+_.* again"):
        kws01.load(path=clips)


HUGE = {
    "field larger than": f'"{"x" * 200_000}",12,1',
    "line 75 is not": f"tst_1_a.bin,12,{'1' * 5000}",
    "is not 'tst_": f"tst_{'1' * 5000}_a.bin,12,1",
    "line 75 is ": f"tst_1_{'a' * 300}.bin,12,1",
}


@pytest.mark.parametrize("message", HUGE)
def test_huge_fields_of_the_list_are_named(clips, message):
    labels = clips / "y_labels.csv"
    labels.write_text(f"{labels.read_text()}{HUGE[message]}\n")
    with pytest.raises(UserError, match=rf"y_labels\.csv: .*{message}"):
        kws01.load(path=clips)


def test_the_list_is_read_as_utf8_with_or_without_its_mark(clips):
    labels = clips / "y_labels.csv"
    labels.write_bytes(b"\xef\xbb\xbf" + labels.read_bytes())
    assert len(kws01.prepare(path=clips)) == 73
    labels.write_bytes(labels.read_bytes() + b"\xff\n")
    with pytest.raises(UserError, match=r"y_labels\.csv: can't be read"):
        kws01.load(path=clips)


@pytest.mark.parametrize("options", [{"shift": 49}, {"noise": -0.1}])
def test_options_out_of_range_are_named(clips, options):
    with pytest.raises(UserError, match=rf"^data\.{next(iter(options))}: "):
        kws01.load(path=clips, **options)


@pytest.mark.skipif("SYNAPTRACE_TEST_DATA" not in os.environ, reason="needs SYNAPTRACE_TEST_DATA")
def test_the_real_clips_are_split_in_proportion():
    found = kws01.load(path=Path(os.environ["SYNAPTRACE_TEST_DATA"]) / "kws01")
    assert found.meta.sizes == {"train": 600, "validation": 100, "test": 100}
    everyone = found.labels.bincount()
    for rows in found.index.values():
        counts = found.labels[rows].bincount(minlength=12)
        assert (counts - everyone * len(rows) / 800).abs().max() < 1
