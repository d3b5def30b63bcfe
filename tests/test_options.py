"""`synaptrace options`, and what a misspelt word is answered with."""

import json
import re

import pytest
import torch

from synaptrace import cli, config, data, meanings, own, rules, settings_list
from synaptrace.cli import train
from synaptrace.errors import UserError
from synaptrace.sections import SAID


def found(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert cli.main(["options", *words, "--json"]) == 0
    rows: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return rows


def test_every_setting_has_a_type_and_a_meaning() -> None:
    known = settings_list.settings()
    assert all(each.type and each.meaning for each in known)
    assert {each.section for each in known} == {*SAID, ""}
    for name in data.NAMES:
        keys = {each.key for each in known if not each.of or name in each.of}
        assert keys >= {f"data.{key}" for key in data.options(name)}
    for name in rules.NAMES:
        keys = {each.key for each in known if not each.of or name in each.of}
        assert keys >= {f"rule.{key}" for key in rules.options(name)}


def test_whatever_may_be_given_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"--(\w+\.\w+) ", "\n".join(train.settings()))
    assert len(shown) > 30
    assert {*shown, *own.OPTIONS, "name", "seeds"} <= {each.key for each in settings_list.every()}
    assert found(["--train.lr"], capsys) == found(["train.lr"], capsys)
    assert {each["key"] for each in found(["file"], capsys)} == set(own.OPTIONS)
    hidden, channels, layers, shared = (
        found([f"model.{key}"], capsys)[0] for key in ("hidden", "channels", "layers", "precision")
    )
    assert [hidden["of"], channels["of"], layers["of"]] == [["mlp"], ["conv"], ["layers"]]
    assert shared["of"] == []
    assert layers["type"] == "list of mappings"


def test_presets_that_set_it_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    (epochs,) = found(["train.epochs"], capsys)
    assert epochs["default"] == 30
    presets = epochs["presets"]
    assert isinstance(presets, dict)
    for name in config.presets():
        assert presets.get(name) == config.read_preset(name)["train"].get("epochs")
    for each in settings_list.settings("tp"):
        for name in each.presets:
            assert config.read_preset(name)["rule"]["name"] == "tp"


def test_devices_of_this_machine_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    assert "this machine has cpu, cuda:0 (Card 0)" in str(found(["device"], capsys)[0]["meaning"])


def test_on_a_pipe_it_is_a_table_of_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["options", "model"]) == 0
    head, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert head == ["setting", "type", "default", "meaning", "of", "set by"]
    hidden = next(dict(zip(head, row, strict=True)) for row in rows if row[0] == "model.hidden")
    assert hidden["type"] == "list of whole numbers"
    assert hidden["default"] == "[200]"
    with pytest.raises(UserError, match="did you mean train"):
        settings_list.settings("trian")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("trian", "did you mean train?"),
        ("train --epochs 3", "did you mean --train.epochs?"),
        ("train --sedes 3", "did you mean --seeds?"),
        ("train --modl.hidden [3]", "did you mean model.hidden?"),
        ("train --model.hiden 3", "did you mean model.hidden, as [100,50]?"),
        ("compare --rules tp --model.hiden 3", "did you mean model.hidden, as [100,50]?"),
        ("memory --train.hidden 3", "did you mean model.hidden, as [100,50]?"),
        ("train --model.hidden 100,50", "should be a valid list, as [100,50]"),
        ("train --model.hidden [100, 50]", "write [100,50] without spaces"),
        ("train --data.shft 3", "did you mean data.shift, as 1?"),
        ("data inspect digits --data.shft 3", "did you mean shift?"),
        ("train --rule.name ttp", "did you mean tp?"),
        ("train --preset digit", "did you mean digits?"),
        ("train --data.name nmist", "did you mean nmnist?"),
        ("data lst", "did you mean list?"),
        ("evaluate RUN --splt test", "did you mean --split?"),
        ("evaluate RUN --split tst", "did you mean test?"),
        ("evaluate RUN --data.pth x", "takes no settings but --data.path"),
        ("presets --xyzzy", "see synaptrace presets --help"),
    ],
)
def test_what_was_meant(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert hint in said


def test_types_in_words_and_samples() -> None:
    assert meanings.words(float | list[float] | None) == "number, or list of numbers, or none"
    assert meanings.words(float | tuple[float, ...]) == "number, or list of numbers"
    assert meanings.sample(tuple[float, ...]) == "[0.9,0.5]"
    assert meanings.sample(bool, True) == "true"
    assert meanings.listed(int | None) == ""
