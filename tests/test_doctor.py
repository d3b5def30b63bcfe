"""`synaptrace doctor`: what it finds, what it advises, and when its exit code isn't 0."""

import json
import tomllib
from pathlib import Path

import pytest
import torch

from synaptrace import __version__, cli, data, doctor
from synaptrace.native import library

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path))
    return tmp_path


def by_name() -> dict[str, doctor.Finding]:
    return {each.about: each for each in doctor.findings()}


def test_all_of_it_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "prepared" / "x").mkdir(parents=True)
    (home / "prepared" / "x" / "a.npy").write_bytes(b"x" * 2**20)
    (home / "nmnist").mkdir()
    assert cli.main(["doctor", "--json"]) == 0
    found = {each["about"]: each for each in json.loads(capsys.readouterr().out)}
    assert found["synaptrace"]["found"].startswith(__version__)
    assert found["PyTorch"]["found"] == torch.__version__
    assert found["caches"]["found"].startswith("1.0 MiB in 1 files")
    assert found["data nmnist"]["found"] == str(home / "nmnist")
    assert found["data shd"]["advice"].startswith("synaptrace data fetch shd")
    assert {f"data {name}" for name in data.NAMES} <= found.keys()
    assert {"native engine", "compiler", "threads", "GPU"} <= found.keys()
    assert cli.main(["doctor"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 1 + len(found)
    assert all(len(row) == 4 for row in rows)


def test_extras_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {"mkdocs-material": "material", "mkdocstrings[python]": "mkdocstrings",
               "mkdocs-jupyter": "mkdocs_jupyter"}  # fmt: skip
    wanted = {
        extra: [modules.get(name, name) for name in (line.partition(">")[0] for line in lines)]
        for extra, lines in project["optional-dependencies"].items() if extra != "dev"
    }  # fmt: skip
    assert {extra: list(each) for extra, each in doctor.EXTRAS.items()} == wanted
    names = {"scikit-learn": "sklearn", "pillow": "PIL", "pyyaml": "yaml"}
    base = {line.partition(">")[0] for line in project["dependencies"]} - {"torch", "numpy"}
    assert {names.get(each, each) for each in base} == set(doctor.NEEDED)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "optuna" else object())
    assert by_name()["extra sweep"].advice == "pip install 'synaptrace[sweep]'"
    assert by_name()["extra nir"].advice == ""


def test_what_is_broken_sets_the_exit_code(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SYNAPTRACE_DATA", str(home / "file"))
    (home / "file").write_text("")
    assert cli.main(["doctor"]) == 1
    assert "set SYNAPTRACE_DATA" in capsys.readouterr().out
    monkeypatch.setenv("SYNAPTRACE_DATA", str(home))
    monkeypatch.setenv(library.LEVEL, "abacus")
    assert cli.main(["doctor"]) == 1
    assert "'abacus' is no instruction set" in capsys.readouterr().out


def test_a_plainer_engine_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    if len(library.levels()) > 1:
        monkeypatch.setenv(library.LEVEL, "plain")
        engine = by_name()["native engine"]
        assert engine.kind == "could be better"
        assert f"unset it for {library.levels()[-1]}" in engine.advice
    monkeypatch.setattr(library, "find", lambda: (None, "it was not built"))
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = list(doctor.engine())
    assert found[0].found == "none: it was not built"
    assert "install g++" in found[0].advice
    assert found[1].kind == "could be better"


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "devices", lambda: ["cpu", "cuda:0 (Card)"])
    assert by_name()["GPU"].advice == "--train.device cuda:0"
