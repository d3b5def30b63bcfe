"""The table of what is fuzzed: name, valid input, files to break, reader, mutators, seeds."""

from __future__ import annotations

from pathlib import Path

import nir_files
import recordings
from fuzz import formats, run_targets, targets
from fuzz.mutators import BYTES, TEXT, Mutator
from fuzz.targets import Target, command, fetched, loads, prediction, tried, written
from synaptrace import config
from synaptrace.data.events import formats as events
from synaptrace.data.simulate import nmnist_sim

Mutators = dict[str, Mutator]

CSV: Mutators = {**TEXT, "csv_field": formats.csv_field}
JSON: Mutators = {**TEXT, "json_value": formats.json_value}
YAML: Mutators = {**TEXT, "yaml_value": formats.yaml_value}
WAV: Mutators = {**BYTES, **formats.WAV}
NPY: Mutators = {**BYTES, **formats.NPY}
IDX: Mutators = {**BYTES, **formats.IDX}
HDF5: Mutators = {**BYTES, "hdf5": formats.hdf5}
NIR: Mutators = {**BYTES, "nir": formats.nir}
TAR: Mutators = {**BYTES, "tar_member": formats.tar_member}
ZIP: Mutators = {**BYTES, "zip_member": formats.zip_member}
CHECKPOINT: Mutators = {**BYTES, **formats.SAFETENSORS}


def _nmnist(folder: Path) -> None:
    recordings.nmnist(folder / "in", train=2, test=1)


def _shd(folder: Path) -> None:
    for name, speakers in (("shd_train.h5", 3), ("shd_test.h5", 2)):
        recordings.heidelberg(folder / "in" / name, samples=40, speakers=speakers)


def _separate(folder: Path) -> None:
    recordings.separate_gestures(folder / "in", subjects=2, test=1)


def _overrides(folder: Path) -> None:
    (folder / "x.json").write_text("{}")


def _config(folder: Path) -> None:
    (folder / "x.yaml").write_text(
        (Path(config.__file__).parent / "presets/digits.yaml").read_text()
    )


def _index(folder: Path) -> None:
    targets.splits.save(folder / "x.json", {"train": [0, 2], "test": [1]})


def _array(folder: Path) -> None:
    targets.np.save(folder / "x.npy", targets.np.zeros((30, 512), targets.np.float32))


FOLDER = {"rows": 16, "columns": 16}
ALL = [
    Target("wav", targets.sound_file, ("x.wav",), targets.sound, WAV, 20),
    Target("folder-wav", targets.tones, ("in/*/*.wav",), loads("folder", seconds=0.2), WAV, 6),
    Target("folder-wav-rate", targets.tones, ("in/*/*.wav",),
           loads("folder", seconds=0.2, rate=4000), WAV, 6),
    Target("folder-npy", targets.arrays, ("in/*/*.npy",), loads("folder", **FOLDER), NPY, 14),
    Target("folder-fields", lambda f: targets.arrays(f, True), ("in/*/*.npy",),
           loads("folder", **FOLDER), NPY, 6),
    Target("kws01-labels", targets.clips, ("in/y_labels.csv",), loads("kws01"), CSV, 8),
    Target("kws01-clip", targets.clips, ("in/*.bin",), loads("kws01"), BYTES, 2),
    Target("speechcommands-list", targets.words, ("in/*.txt",), loads("speechcommands"), TEXT, 4),
    Target("speechcommands-wav", targets.words, ("in/*/*.wav",), loads("speechcommands"), WAV, 2),
    Target("nmnist", _nmnist, ("in/*/*/*.bin",), loads("nmnist"), BYTES, 6),
    Target("idx-gz", targets.images, ("in/*.gz",), lambda f: nmnist_sim.read(f / "in"), IDX, 12),
    Target("idx", lambda f: targets.images(f, False), ("in/*",),
           lambda f: nmnist_sim.read(f / "in"), IDX, 6),
    Target("gesture-csv", targets.cuts, ("in/*/*.csv",), loads("dvsgesture"), CSV, 3),
    Target("gesture-list", targets.cuts, ("in/*/*.txt",), loads("dvsgesture"), TEXT, 3),
    Target("gesture-npy", _separate, ("in/*/*/*.npy",), loads("dvsgesture"), NPY, 4),
    Target("bin", written(recordings.bin5, "x.bin"), ("x.bin",),
           lambda f: events.read_bin(f / "x.bin", (128, 128)), BYTES),
    Target("aedat2", written(recordings.aedat2, "x.aedat"), ("x.aedat",),
           lambda f: events.read_aedat2(f / "x.aedat"), BYTES),
    Target("aedat3", written(recordings.aedat3, "x.aedat"), ("x.aedat",),
           lambda f: events.read_aedat3(f / "x.aedat"), BYTES),
    Target("shd", _shd, ("in/*.h5",), loads("shd"), HDF5, 6),
    Target("nir", lambda f: nir_files.chain(f / "x.nir"), ("x.nir",), targets.graph, NIR, 12),
    Target("predict-npy", _array, ("x.npy",), prediction(".npy"), NPY, 8),
    Target("predict-png", targets.drawn, ("x.png",), prediction(".png"), BYTES),
    Target("split", _index, ("x.json",), targets.index, JSON),
    Target("config", _config, ("x.yaml",), lambda f: tried(config.resolve(file=f / "x.yaml")),
           YAML, 25),
    Target("override", _overrides, ("x.json",), targets.overridden,
           {"override": targets.override}, 250),
    Target("tar", targets.tarred("x.tar"), ("x.tar",), fetched("x.tar", False), TAR),
    Target("tar-gz", targets.tarred("x.tar.gz"), ("x.tar.gz",), fetched("x.tar.gz", True), TAR),
    Target("tar-xz", targets.tarred("x.tar.xz"), ("x.tar.xz",), fetched("x.tar.xz", True),
           BYTES, 6),
    Target("zip", targets.zipped, ("x.zip",), fetched("x.zip", True), ZIP),
    Target("checkpoint", run_targets.trained, ("run/checkpoints/best.safetensors",),
           run_targets.loaded, CHECKPOINT),
    Target("resume", lambda f: run_targets.trained(f, False),
           ("run/config.yaml", "run/metrics.jsonl", "run/checkpoints/*"), run_targets.resumed,
           {**BYTES, "token": TEXT["token"], "line": TEXT["line"]}, 2),
    Target("tensors", run_targets.kept, ("run/data.safetensors",), run_targets.tensors_read,
           CHECKPOINT, 8),
    Target("run-metrics", run_targets.trained, ("run/metrics.jsonl",), run_targets.curve, JSON, 3),
    Target("run-config", run_targets.trained, ("run/config.yaml",),
           lambda f: command("resume", f / "run"), {"yaml_value": formats.yaml_value}, 8),
    Target("comparison", run_targets.compared, ("out/**/*.json", "out/**/*.jsonl"),
           run_targets.tabled, JSON, 8),
    Target("cache", run_targets.prepared, ("home/prepared/*/*.npy",), run_targets.opened, NPY, 6),
    Target("cache-json", run_targets.prepared, ("home/prepared/*/*.json",), run_targets.opened,
           JSON, 6),
]  # fmt: skip
TARGETS = {target.name: target for target in ALL}
