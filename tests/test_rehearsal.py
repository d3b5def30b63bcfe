"""What is kept of a training to be rehearsed: as it was heard, small, and refused when damaged."""

from pathlib import Path

import pytest
import torch

from synaptrace.data.audio.features import Features
from synaptrace.data.audio.mel import Mel
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.training import checkpoint, rehearsal


def sound(form="causal", floor=-60.0):
    """Sixty clips of six bands, from below the features' floor to as loud as can be."""
    draws = torch.Generator().manual_seed(0)
    power = 10 ** (10 * torch.rand(60, 12, 6, generator=draws) - 9)
    features = Features(Mel(8000, bands=6), form, floor=floor)
    if features.streams:
        features = features.measured([power.transpose(0, 1)])
    return ArrayDataset(
        power,
        torch.arange(60) % 2,
        name="sound",
        classes=("yes", "no"),
        index={"train": range(4, 60), "test": range(4)},
        transform=features,
        features=features.spec,
    )


@pytest.mark.parametrize(
    ("form", "floor"),
    [("causal", -60.0), ("causal", -80.0), ("clip", -60.0), ("pcen", -60.0), ("relative", -50.0)],
)
def test_features_are_what_they_were(form, floor, tmp_path: Path):
    data = sound(form, floor)
    rehearsal.write(tmp_path, data, data.index["train"].tolist(), 0)
    kept = rehearsal.read(tmp_path)
    assert kept.meta.classes == ("yes", "no")
    assert kept.labels.tolist() == [0] * rehearsal.KEPT + [1] * rehearsal.KEPT
    heard, _, _ = kept.gather(torch.arange(2 * rehearsal.KEPT))
    old, labels, _ = data.gather(data.index["train"])
    apart = torch.cdist(heard.transpose(0, 1).flatten(1), old.transpose(0, 1).flatten(1))
    nearest = apart.argmin(1)
    assert len(set(nearest.tolist())) == 2 * rehearsal.KEPT
    assert torch.equal(labels[nearest], kept.labels)
    apart = (heard - old[:, nearest]).abs()  # of deviations of one
    assert 0 < apart.square().mean().sqrt() < 0.03


def test_a_power_is_kept_to_a_sixth_of_a_decibel():
    power = 10 ** torch.linspace(-7, 1, 10_000)
    again = rehearsal.decoded(rehearsal.coded(power))
    assert float((again / power).log10().abs().max()) < 0.016
    assert set(rehearsal.coded(power).tolist()) == set(range(1, 256))
    assert rehearsal.decoded(rehearsal.coded(torch.tensor([0.0, 1e-8, 50.0]))).tolist() == [
        0.0, 0.0, pytest.approx(10.0),
    ]  # fmt: skip


def test_only_sound_is_kept(tmp_path: Path):
    data = sound()
    other = ArrayDataset(data.frames, data.labels, name="x", classes="ab", index={"train": [0]})
    assert rehearsal.keep(tmp_path, other, {"seed": 0}, 0) == {"seed": 0}
    assert not list(tmp_path.iterdir())
    assert rehearsal.read(tmp_path) is None


@pytest.mark.parametrize(
    "broken",
    [
        {"power": torch.zeros(4, 3, 5).byte()},
        {"power": torch.zeros(4, 3, 6)},
        {"power": torch.zeros(4, 18).byte()},
        {"labels": torch.tensor([0, 1, 2, 0]).short()},
        {"labels": None},
    ],
)
def test_another_content_is_refused(broken, tmp_path: Path):
    parts = {"power": torch.zeros(4, 3, 6).byte(), "labels": torch.tensor([0, 1, 1, 0]).short()}
    parts = {key: value for key, value in (parts | broken).items() if value is not None}
    about = {"classes": ["yes", "no"], "features": sound().meta.features}
    checkpoint.save(tmp_path / rehearsal.FILE, {"rehearsal": parts}, about)
    with pytest.raises(
        UserError, match=r"rehearsal\.safetensors: damaged, or another kind of file"
    ):
        rehearsal.read(tmp_path)
