"""The YAML of settings: what it takes, and what it refuses in one line that names the place."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from synaptrace import cli, config, yaml_files
from synaptrace.config import resolve
from synaptrace.errors import UserError
from synaptrace.yaml_files import Text, load, read_as

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP = 50_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "line 2: an alias"),
        ("train: {lr: 1}\ntrain: {lr: 2}", "line 2: 'train' is given twice"),
        ("train:\n  lr: 1\n  lr: 2", "line 3: 'lr' is given twice"),
        ("data: {shift: !!int abc}", "line 1: 'abc' doesn't fit"),
        ("data: {shift: !!bool abc}", "line 1: 'abc' doesn't fit"),
        ("data: {shift: !!float abc}", "line 1: 'abc' doesn't fit"),
        (f"a: 1\ndata: {{shift: {'9' * 5000}}}", "line 2: a number of too many digits"),
        (f"data: {{shift: 0.{'9' * 5000}}}", "line 1: a number of too many digits"),
        (f"data: {'[' * DEEP}", "more than 16 levels"),
        (f"data: {'{a: ' * DEEP}", "more than 16 levels"),
        ("- " * DEEP, "more than 16 levels"),
        ("data: {1: 2}", "line 1: a key that isn't a word"),
        ("1: {a: 2}", "a key that isn't a word"),
        ("~: {a: 2}", "a key that isn't a word"),
        ("? [a]\n: 2", "a key that isn't a word"),
        ("data: {shift: !!timestamp 2026-13-45}", "doesn't fit its tag"),
        ("data: !!set {a}", "the tag 'tag:yaml.org,2002:set' isn't taken"),
        ("data: !!python/object/apply:os.system [id]", "isn't taken"),
        ("data: {shift: !!python/name:os.system a}", "doesn't fit its tag"),
        ("a: 1\nb: \x07", "line 2: a character"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("train: [", "line 1"),
    ],
)  # fmt: skip
def test_what_surprises_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    start = time.process_time()
    with pytest.raises(UserError) as caught:
        resolve(file=file)
    assert time.process_time() - start < 5
    said = str(caught.value)
    assert said.startswith(f"{file}: not valid YAML (line ")
    assert problem in said
    assert len(said) < len(str(file)) + 200


def test_files_that_have_no_end_or_too_much_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(b"#" * (yaml_files.LIMIT + 1))
    with pytest.raises(UserError, match="more than 1048576 bytes"):
        resolve(file=file)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for endless in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(UserError, match=f"{endless}: can't be read"):
            resolve(file=endless)


def test_plain_values() -> None:
    text = (
        "{a: 1, b: 1e-3, c: no, d: ~, e: [1.5, x], f: 010, g: 2026-13-45, h: '1', i: -.inf, "
        "j: 1:30}"
    )
    assert load(text, "here") == {
        "a": 1, "b": 1e-3, "c": False, "d": None, "e": [1.5, "x"], "f": 10, "g": "2026-13-45",
        "h": "1", "i": float("-inf"), "j": "1:30",
    }  # fmt: skip
    assert load("", "here") is None


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str | None, "00000017", "00000017"),
        (str | None, "1e5", "1e5"),
        (str | None, "no", "no"),
        (str | None, "2026-01-02", "2026-01-02"),
        (str | None, "[a", "[a"),
        (str | None, "'07'", "07"),
        (str | None, "null", None),
        (int | str | None, "7", 7),
        (int | str | None, "007", "007"),
        (Path | None, "1e5", "1e5"),
        (bool, "no", False),
        (float, "1e-3", 1e-3),
        (int, "1e2", 100.0),
        (Literal["a", "b"] | int, "5", 5),
        (list[int], "[1, 2]", [1, 2]),
    ],
)
def test_a_value_is_read_by_its_options_type(kind: Any, text: str, value: Any) -> None:
    found = read_as(kind, Text(text), "here")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("name", ["00000017", "1e5", "no", "0x1f", "1_000", ".5", "on"])
def test_names_that_look_like_numbers_stay_names(tmp_path: Path, name: str) -> None:
    asked = {"data.name": "speechcommands", "data.holdout_speaker": name}
    assert resolve(overrides=asked).data["holdout_speaker"] == name
    file = tmp_path / "mine.yaml"
    file.write_text(f"name: {name}\ndata: {{name: fsdd, holdout_speaker: {name}}}", "utf-8")
    found = resolve(file=file)
    assert found.name == found.data["holdout_speaker"] == name


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("neuron.threshold", "1e39", "1e+39 is beyond single precision"),
        ("neuron.decay", "[1e39]", "[1e+39] is beyond single precision"),
        ("train.lr", "1e300", "beyond single precision"),
        ("data.shift", "9" * 30, "is beyond 64 bits"),
        ("model.hidden", "[1000000000]", "should be less than or equal to 1000000"),
        ("train.threads", "100000", "should be less than or equal to 1024"),
        ("rule.label_threshold", "1e39", "beyond single precision"),
        ("train.device", "cpu\x1b[31m", "holds characters that can't be shown"),
        ("data.path", "a\udcff", "holds characters that can't be shown, or isn't UTF-8"),
        ("data.path", "~nosuchuser/data", "~nosuchuser/data: there is no such home"),
        ("train.epochs", "x" * 100_000, "should be a valid integer"),
        ("train.epochs", f"[{'1, ' * 50_000}1]", "should be a valid integer"),
    ],
)
def test_values_out_of_bounds_are_named(key: str, text: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(overrides={key: text})
    said = str(caught.value)
    assert said.startswith(f"{key}: ")
    assert problem in said
    assert len(said) < 300


@pytest.mark.parametrize(
    "words", [["train", "--data.path"], ["data", "inspect", "shd", "--data.path"]]
)
def test_no_such_home_is_one_line(
    words: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words, "~nosuchuser"]) == 2
    assert "there is no such home" in capsys.readouterr().err
    monkeypatch.setenv("SYNAPTRACE_DATA", "~nosuchuser")
    assert cli.main(["data", "inspect", "shd"]) == 2
    assert "SYNAPTRACE_DATA: ~nosuchuser: there is no such home" in capsys.readouterr().err


RUN = """\
name: fsdd
data: {name: fsdd, path: /data/fsdd, batch_size: 16, form: causal, encoding: features,
  threshold: 0.5, window: 30.0, hop: 20.0, bands: 40, seconds: 1.0, shift: 4, noise: 0.4,
  holdout_speaker: george, holdout_validation: speaker, leave_out: 7}
model:
  kind: mlp
  hidden:
  - 30
  - 20
  recurrent: true
  readout_decay: 1.0
  gain: 1.0
  standardise: false
  precision: float32
neuron: {threshold: 1.0, decay: [0.9, 0.8], trace_decay: 0.85, reset: soft, surrogate: atan,
  scale: 1.0}
rule: {name: tp, contrast: class, train_label: false, label_threshold: null, engine: auto}
train: {epochs: 40, lr: 0.001, lr_final: 0.0005, update: 5, ema: 0.999, seed: 0, device: cpu,
  threads: null, paper_protocol: false, tensorboard: false}
seeds: 2
"""
"""A run's config.yaml as version 0.1.0 wrote it before the loader was its own."""


def digest(settings: config.Config) -> str:
    text = json.dumps(settings.model_dump(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def test_a_runs_settings_keep_their_hash(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(RUN, encoding="utf-8")
    assert digest(resolve(file=file)) == "96a3546a0be0"
    before = {
        "digits": "a12d7410195d", "digits-conv": "66fa1edd729c", "dvscifar10": "0e8b66db7815",
        "dvsgesture-paper": "c9478ca0a063", "fsdd": "505574cdb2e2", "kws01": "01eb06b46c0b",
        "nmnist": "92b910d4e28c", "nmnist-sim": "4c1e65bf1191", "shd": "aab8e1ce9f44",
        "shd-recurrent-paper-bptt": "d0ce565f49fd", "speechcommands": "78938ea8d58a",
        "ssc": "71a4e55c97b0",
    }  # fmt: skip
    plain = {"rule.temperature": "1.0", "rule.eligibility": "false"}
    since = {  # presets that have changed since, as they were
        "digits": plain, "fsdd": plain,
        "speechcommands": {
            **plain, "train.lr_readout": "null", "train.lr_final": "null", "train.epochs": "40",
            "data.gain": "0.0", "data.hop": "10.0", "data.shift": "3", "data.noise": "0.1",
            "data.snr": "null", "data.warp": "0.0", "data.mask_bands": "0", "data.mask_steps": "0",
        },
    }  # fmt: skip
    found = {name: digest(resolve(preset=name, overrides=since.get(name))) for name in before}
    assert found == before
    later = {
        "train.lr_readout": "null",
        "neuron.adaptation": "0",
        "neuron.adaptation_decay": "0.99",
    }
    assert digest(resolve(preset="digits", overrides=plain | later)) == before["digits"]
    more = {"train.lr_readout": "2e-2", "rule.temperature": "auto", "rule.eligibility": "true"}
    found = resolve(preset="digits", overrides=more)
    assert found.train["lr_readout"] == 2e-2
    assert found.rule["temperature"] == "auto"
    assert found.rule["eligibility"] is True
