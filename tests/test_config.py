"""Settings: layers over one another, every key and type checked, one clear line for the rest."""

import inspect
from pathlib import Path

import pytest
import yaml

from synaptrace import config, data, rules
from synaptrace.config import resolve
from synaptrace.errors import UserError
from synaptrace.neuron import LIF
from synaptrace.sections import LATER, SAID, TYPES, defaults, section_of
from synaptrace.training import job
from synaptrace.training.loop import fit


def test_the_default_is_the_embedded_digits() -> None:
    settings = resolve()
    assert settings.name == settings.data["name"] == "digits"
    assert settings.rule == {
        "name": "tp", "contrast": "batch", "train_label": False, "label_threshold": None,
        "eligibility": True, "temperature": "auto", "engine": "auto",
    }  # fmt: skip


@pytest.mark.parametrize("name", config.presets())
def test_every_preset_resolves_and_says_what_it_is(name: str) -> None:
    settings = config.read_preset(name)
    assert settings["description"]
    assert ("published" in settings) == ("-paper" in name)
    if settings["rule"]["name"] in rules.NAMES:
        assert resolve(preset=name).name == name


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {epochs: 7, lr: 0.5}\ndata: {name: digits, shift: 3}\n")
    settings = resolve(file=file, overrides={"train.lr": "1e-3", "neuron.decay": "[0.5]"})
    assert settings.train["epochs"] == 7
    assert settings.train["lr"] == 1e-3
    assert settings.data["shift"] == 3
    assert settings.neuron["decay"] == [0.5]


def test_another_kind_takes_the_old_options_away() -> None:
    below = {"model": {"kind": "mlp", "hidden": [3]}, "data": {"name": "a", "batch_size": 2}}
    merged = config.merge(below, {"model": {"kind": "vgg"}, "data": {"name": "a", "shift": 1}})
    assert merged == {
        "model": {"kind": "vgg"}, "data": {"name": "a", "batch_size": 2, "shift": 1}
    }  # fmt: skip
    assert resolve(overrides={"model.kind": "vgg"}).model["standardise"] is True


def test_a_resolved_configuration_resolves_to_itself(tmp_path: Path) -> None:
    settings = resolve(overrides={"data.shift": "2", "train.ema": "0.9"}, seeds=3)
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump()))
    assert resolve(file=file) == settings


def test_relative_paths_are_made_absolute() -> None:
    assert resolve(overrides={"data.path": "here"}).data["path"] == str(Path("here").absolute())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.epoch": "3"}, "train.epoch: no such setting; train has epochs, lr"),
        ({"train.epochs": "many"}, "train.epochs: 'many' should be a valid integer"),
        ({"train.epochs": "0"}, "train.epochs: 0 should be greater than or equal to 1"),
        ({"train.lr": ".nan"}, "train.lr: nan should be a finite number"),
        (
            {"train.update": "often"},
            "train.update: 'often' should be 'sequence' or 'step', or a valid integer",
        ),
        ({"trian.lr": "1"}, "--trian.lr: no such option"),
        ({"data.name": "nothing"}, "data.name: no data set 'nothing'"),
        ({"data.hue": "1"}, "data.hue: no such setting; data has name, path, batch_size, shift"),
        ({"rule.name": "nothing"}, "rule.name: no rule 'nothing'"),
        ({"rule.contrast": "none"}, "rule.contrast: 'none' should be 'batch' or 'class'"),
        ({"model.channels": "[]"}, "model.channels: no such setting; model has kind, hidden"),
        ({"model.kind": "vgg", "model.depth": "7"}, "model.depth: 7 should be 6, 9 or 12"),
        ({"model.kind": "deep"}, "model.kind: 'deep' should be 'mlp', 'conv', 'vgg' or 'layers'"),
        ({"neuron.decay": "{"}, "neuron.decay: '{' can't be read as a value"),
        ({"neuron.decay": "[a]"}, "neuron.decay: ['a'] should be a valid number"),
    ],
)
def test_a_wrong_setting_is_named(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(overrides=overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"train: [", "not valid YAML"),
        (b"- 1", "needs sections"),
        (b"train: 3", "train needs keys and values"),
        (b"\xff\xfe\x00", "can't be read"),
        (b"", "needs sections"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"mine\.yaml: .*{message}"):
        resolve(file=file)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: can't be read"):
        resolve(file=tmp_path / "none.yaml")
    with pytest.raises(UserError, match="no preset 'none'; there are digits"):
        resolve(preset="none")
    file = tmp_path / "mine.yaml"
    file.write_text("trian: {lr: 1}")
    with pytest.raises(UserError, match="trian: no such section"):
        resolve(file=file)


def test_defaults_are_those_of_the_signatures_and_no_entry_is_stale() -> None:
    models = [section_of("model", kind) for kind in ("mlp", "conv", "vgg", "layers")]
    made = {section: [section_of(section)] for section in SAID} | {"model": models}
    for section, said in SAID.items():
        assert said.keys() == {key for kind in made[section] for key in kind.model_fields}
    assert TYPES.keys() <= {f"{section}.{key}" for section in SAID for key in SAID[section]}
    assert LATER.keys() <= {*SAID, *rules.NAMES, *data.NAMES}
    known = defaults()
    for section in SAID:
        for key, field in section_of(section).model_fields.items():
            assert known.get(f"{section}.{key}") == field.default, key  # as `--help` shows it
    spec = LIF().spec
    assert section_of("neuron")().model_dump() == spec
    fields = section_of("train").model_fields
    wanted = inspect.signature(fit).parameters
    assert {key: field.default for key, field in fields.items()} == {
        key: wanted[key].default for key in fields
    }


def test_an_adaptive_threshold_can_be_set() -> None:
    said = {"rule.name": "eprop", "neuron.adaptation": "0.3", "model.hidden": "[8]"}
    config = resolve(overrides=said)
    assert config.neuron["adaptation"] == 0.3
    assert "adaptation_decay" not in config.neuron  # at its default, as before
    dataset = job.load_data(config)
    net, _ = job.build(config, dataset)
    assert net.layers[0].neuron.adaptation == 0.3
    assert net.layers[0].neuron.adaptation_decay == 0.99
    for key, bad in (("neuron.adaptation", "-1"), ("neuron.adaptation_decay", "2")):
        wrong = resolve(overrides=said | {key: bad})
        with pytest.raises(UserError, match=rf"{key}: .* is not"):
            job.build(wrong, dataset)


@pytest.mark.parametrize(
    ("key", "text"),
    [("train.epochs", "true"), ("data.batch_size", "true"), ("model.hidden", "[true]"),
     ("train.ema", "false"), ("neuron.decay", "[true]")],
)  # fmt: skip
def test_true_is_no_number(key: str, text: str) -> None:
    with pytest.raises(UserError, match=rf"{key}: .* not true or false"):
        resolve(overrides={key: text})
    assert resolve(overrides={"model.recurrent": "true"}).model["recurrent"] is True


def test_a_run_of_other_data_has_not_the_presets_name(tmp_path: Path) -> None:
    other = {"data.name": "folder", "data.path": str(tmp_path)}
    assert resolve(preset="fsdd", overrides=other).name == "folder"
    assert resolve(preset="fsdd", overrides={"data.path": str(tmp_path)}).name == "fsdd"
    assert resolve(preset="fsdd", overrides={"data.name": "fsdd"}).name == "fsdd"
    file = tmp_path / "config.yaml"
    file.write_text("name: mine\ndata: {name: digits}\n")
    assert resolve(file=file).name == "mine"
    assert resolve(file=file, overrides=other).name == "folder"
