"""Every preset starts on a miniature of its data set in the exact format."""

from collections.abc import Callable
from pathlib import Path

import pytest

import recordings
import sounds
import test_kws01
import test_nmnist_sim
from synaptrace import config
from synaptrace.data.sets import dvscifar10
from synaptrace.training import job


def heidelberg(name: str, classes: int) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        pytest.importorskip("h5py", reason="h5py isn't installed")
        for seed, split in enumerate(("train", "valid", "test")):
            if (name, split) != ("shd", "valid"):
                file = path / f"{name}_{split}.h5"
                recordings.heidelberg(file, 6 * classes, classes=classes, seed=seed)
        return path

    return make


NUMBERS = [number for chosen in test_kws01.STORED.values() for number in chosen[:24]]

MINIATURES: dict[str, Callable[[Path], Path | None]] = {
    "digits": lambda path: None,
    "nmnist": lambda path: recordings.nmnist(path, train=6),
    "nmnist-sim": lambda path: test_nmnist_sim.mnist(path),
    "shd": heidelberg("shd", 20),
    "ssc": heidelberg("ssc", 35),
    "dvsgesture": recordings.gestures,
    "dvscifar10": lambda path: recordings.cifar10(path, (0, 1, 2, 850, 950), dvscifar10.CLASSES),
    "speechcommands": sounds.speech_commands,
    "fsdd": sounds.fsdd,
    "kws01": lambda path: test_kws01.write(path, NUMBERS),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presets")


@pytest.mark.parametrize("name", config.presets())
def test_a_preset_starts(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAPTRACE_DATA", str(place / "home"))
    data = config.read_preset(name)["data"]["name"]
    folder = place / data
    if not folder.exists():
        if data != "kws01":  # whose writer makes it
            folder.mkdir()
        MINIATURES[data](folder)
    overrides = {"data.batch_size": "4"}
    if data != "digits":
        overrides["data.path"] = str(folder)
    settings = config.resolve(preset=name, overrides=overrides)
    dataset = job.load_data(settings)
    net, rule = job.build(settings, dataset)
    events, labels, lengths = next(iter(dataset.batches("train")))
    rule.start(labels, steps=2, lengths=lengths)
    for x in events[:2]:
        logits = rule.step(x)
    rule.finish()
    assert logits.shape == (len(labels), len(dataset.meta.classes))
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
