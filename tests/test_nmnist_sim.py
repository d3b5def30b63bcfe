"""Simulated N-MNIST on miniatures of MNIST and N-MNIST: images to events, splits, real tests."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import synaptrace as st
from recordings import bin5, events
from synaptrace import data
from synaptrace.data.simulate import atis, beside_real, nmnist_sim
from synaptrace.errors import UserError
from synaptrace.seeds import generator
from test_idx import content

TRAINED, CLASSES = 40, 10


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


def mnist(folder: Path, count=nmnist_sim.FIRST + TRAINED, labels=None) -> Path:
    """Images of one bright square each, further down and to the right with the label."""
    folder.mkdir(exist_ok=True)
    digits = np.arange(count) % CLASSES if labels is None else labels
    images = np.zeros((count, 28, 28), dtype=np.uint8)
    for image, digit in zip(images, digits % CLASSES, strict=False):
        image[2 * digit + 2 : 2 * digit + 8, 2 * digit + 2 : 2 * digit + 8] = 255
    (folder / nmnist_sim.IMAGES.removesuffix(".gz")).write_bytes(content(images))
    (folder / nmnist_sim.LABELS.removesuffix(".gz")).write_bytes(content(digits.astype(np.uint8)))
    return folder


def recorded(folder: Path, numbers, split="Train") -> Path:
    for number in numbers:
        bin5(folder / split / str(number % CLASSES) / f"{number:05}.bin", *events(number))
    return folder


def test_every_image_after_the_first_thousand_is_simulated(tmp_path):
    found = data.load("nmnist-sim", path=mnist(tmp_path / "m"), validation=0.25)
    assert found.meta.sizes == {"train": 30, "validation": 10}
    assert found.meta.test_split is None
    assert found.meta.shape == (2, 34, 34)
    assert found.meta.steps == 100
    assert list(found.batches("test")) == []
    seen = torch.cat(
        [labels for split in found.meta.sizes for _, labels, _ in found.batches(split)]
    )
    assert seen.bincount().tolist() == [TRAINED // CLASSES] * CLASSES


def test_events_are_where_the_image_is(tmp_path):
    found = nmnist_sim.load(path=mnist(tmp_path / "m"), saccades=3, dt=5.0)
    for frames, labels, _ in found.batches("train"):
        images = frames.sum((0, 2))
        total = images.sum((1, 2))
        assert (total > 200).all()
        for axis, offset in ((2, 3.9), (1, 2.9)):  # where the path lies in the mean
            along = images.sum(axis) @ torch.arange(34.0) / total
            middle = 2 * labels + 4.5 + offset
            assert ((along - middle).abs() < 1.5).all()


def test_a_dark_digit_moves_down_and_its_lower_edge_darkens(tmp_path):
    found = nmnist_sim.load(path=mnist(tmp_path / "m"), saccades=1, dt=100.0)
    frames, _, _ = next(iter(found.batches("train")))
    rows = (frames[0].sum(3) * torch.arange(34.0)).sum(2) / frames[0].sum((2, 3))
    off, on = rows.unbind(1)
    assert (off > on + 2).all()


def test_the_cache_follows_the_images_and_the_camera(tmp_path, monkeypatch):
    path = mnist(tmp_path / "m")
    first = nmnist_sim.prepare(path=path)
    assert nmnist_sim.prepare(path=path).folder == first.folder
    monkeypatch.setitem(atis.SETTINGS, "threshold", 0.3)
    fewer = nmnist_sim.prepare(path=path)
    assert fewer.folder != first.folder
    assert len(fewer.columns["t"]) < len(first.columns["t"])


def test_fewer_digits_are_the_first_ones(tmp_path):
    path = mnist(tmp_path / "m", nmnist_sim.FIRST + 120)
    every, some = nmnist_sim.prepare(path=path), nmnist_sim.prepare(path=path, digits=110)
    assert (len(every), len(some)) == (120, 110)
    assert nmnist_sim.prepare(path=path, digits=500).folder == every.folder
    np.testing.assert_array_equal(some[99]["x"], every[99]["x"])
    assert some.labels.tolist() == every.labels[:110].tolist()
    with pytest.raises(UserError, match=r"data\.digits"):
        nmnist_sim.load(path=path, digits=0)


def test_chunks_are_seen_by_different_cameras_and_the_same_ones_again():
    images = torch.ones(2, 28, 28)
    images[:, 10:18, 10:18] = 0
    first, other = (nmnist_sim.look(images, generator(0, start)) for start in (0, 1))
    assert torch.equal(first, nmnist_sim.look(images, generator(0, 0)))
    assert not torch.equal(first, other)
    assert first.shape == (2, 315, 2, 34, 34)
    assert first.max() == 1


def test_the_official_test_is_taken_where_there_is_one(tmp_path):
    real = recorded(recorded(tmp_path / "n", range(495, 520)), range(1, 8), "Test")
    found = nmnist_sim.load(path=mnist(tmp_path / "m"), real=real)
    assert found.meta.test_split == "official"
    assert found.meta.sizes["test"] == 7


def test_recordings_that_the_camera_was_fitted_to_or_that_are_trained_are_no_test(tmp_path):
    real = recorded(tmp_path / "n", [1, 499, 500, 501, 750, 1000, 1001])
    found = nmnist_sim.load(path=mnist(tmp_path / "m"), real=real, saccades=3)
    assert found.meta.test_split == "development"
    ((frames, labels, _),) = found.batches("test")
    assert sorted(labels.tolist()) == [0, 0, 1]  # 750, 1000, 501
    assert frames.shape == (315, 3, 2, 34, 34)
    assert frames.sum() == 3 * 200  # every event of the miniatures


def test_a_network_trains_on_simulated_and_is_tested_on_real_ones(tmp_path):
    real = recorded(tmp_path / "n", range(501, 511))
    options = {"saccades": 3, "dt": 15.0, "shift": 1, "validation": 0.25}
    found = nmnist_sim.load(path=mnist(tmp_path / "m"), real=real, **options)
    g = generator(0, "weights")
    net = st.mlp(2 * 34 * 34, [30], 10, generator=g)
    summary = st.fit(net, st.TracesPropagation(net, generator=g), found, epochs=3, progress=False)
    assert summary["test_split"] == "development"
    assert summary["test_accuracy"] is not None
    assert summary["validation_accuracy"] is not None


def test_bad_input_is_named(tmp_path):
    with pytest.raises(UserError, match=r"1000 images; those after 1000"):
        nmnist_sim.load(path=mnist(tmp_path / "few", 1000))
    with pytest.raises(UserError, match=r"nmnist-sim isn't there"):
        nmnist_sim.load(path=tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"train-images.*No such file"):
        nmnist_sim.load(path=tmp_path / "empty")
    with pytest.raises(UserError, match=r"train-labels.*label 11 is no digit"):
        nmnist_sim.load(path=mnist(tmp_path / "m", labels=np.full(1040, 11)))
    with pytest.raises(UserError, match=r"1039 labels for the 1040 images"):
        nmnist_sim.load(path=mnist(tmp_path / "m", labels=np.zeros(1039, dtype=int)))
    path = mnist(tmp_path / "m")
    with pytest.raises(UserError, match=r"neither test recordings nor numbers 501 to 1000"):
        nmnist_sim.load(path=path, real=recorded(tmp_path / "n", [3, 400]))
    with pytest.raises(UserError, match=r"data.saccades"):
        nmnist_sim.load(path=path, saccades=4)


def test_the_path_of_the_camera():
    still = atis.camera()
    assert still.steps == 315
    assert still.path[0] == (atis.ROWS[0], atis.COLUMNS[0])
    assert still.path[-1] == (atis.ROWS[-1], atis.COLUMNS[-1])
    late = atis.camera((2.0, -3.0, 5.0))
    for moves, shift in ((range(10, 78), 2), (range(108, 192), -3), (range(225, 300), 5)):
        for step in moves:
            assert late.path[step] == pytest.approx(still.path[step - shift])


@pytest.mark.skipif("SYNAPTRACE_TEST_DATA" not in os.environ, reason="needs SYNAPTRACE_TEST_DATA")
def test_simulated_events_are_as_real_ones():
    root = Path(os.environ["SYNAPTRACE_TEST_DATA"])
    real = beside_real.read(root / "mnist", root / "nmnist").some(50)
    seen = real.frames(beside_real.WIDTH)
    simulated = beside_real.simulate(real.images, atis.JITTER, 0, {})
    ratio = simulated.sum((0, 1, 3, 4)) / seen.sum((0, 1, 3, 4))
    assert ((ratio - 1).abs() < 0.05).all()
    assert beside_real.cosine(seen.sum(1), simulated.sum(1)) > 0.95
