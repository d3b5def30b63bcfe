"""The compiled library: its instruction sets, and what keeps another version from being run."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synaptrace.errors import UserError
from synaptrace.native import convolve, library, structures

pytestmark = pytest.mark.skipif(bool(library.why()), reason=f"no native engine: {library.why()}")


def test_the_best_level_is_the_last_and_plain_is_always_there() -> None:
    assert library.levels()[0] == "plain"
    assert library.level() == library.levels()[-1]


@pytest.mark.parametrize("name", library.levels())
def test_a_level_is_used_within_a_with_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.LEVEL, "plain")
    with library.use(name):
        assert library.level() == name
        found, number = library.loaded()
        assert found.synaptrace_level_name(number).decode() == name
        with library.use("plain"):
            assert library.level() == "plain"
        assert library.level() == name
    assert library.level() == "plain"


@pytest.mark.parametrize("name", library.levels())
def test_the_environment_chooses_a_level(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.LEVEL, name)
    assert library.level() == name
    assert library.numbers(library.loaded()[0])[name] == library.loaded()[1]


def test_an_unknown_level_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(UserError, match=r"'avx3' is no instruction set .*plain"),
        library.use("avx3"),
    ):
        pass
    monkeypatch.setenv(library.LEVEL, "AVX2")
    with pytest.raises(UserError, match=r"SYNAPTRACE_LEVEL: 'AVX2'"):
        library.why()


def test_an_unknown_level_ends_a_training_before_it_begins(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "synaptrace", "train", "--out", str(tmp_path / "runs")],
        env={"SYNAPTRACE_LEVEL": "avx3", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert made.returncode == 2
    assert made.stderr.startswith("synaptrace: SYNAPTRACE_LEVEL: 'avx3'")
    assert made.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_level_convolves_spikes() -> None:
    import torch

    for name in library.levels():
        with library.use(name):
            assert convolve.usable(torch.zeros(1), 16)


def test_the_structures_are_the_library_s() -> None:
    assert library.loaded()[0].synaptrace_abi().decode() == structures.description()


class Moved(ctypes.Structure):
    """`Spread` with two neighbours of one size exchanged."""

    _fields_ = tuple(
        {"pool": ("channels", kind), "channels": ("pool", kind)}.get(name, (name, kind))
        for name, kind in structures.Spread._fields_  # type: ignore[misc]
    )


class Turned(ctypes.Structure):
    """`Spread` whose pool is a float of the same size."""

    _fields_ = tuple(
        (name, ctypes.c_double if name == "pool" else kind)
        for name, kind in structures.Spread._fields_  # type: ignore[misc]
    )


@pytest.mark.parametrize(("other", "field"), [(Moved, "pool"), (Turned, "pool")])
def test_a_library_with_other_fields_is_not_used(
    other: type[ctypes.Structure], field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ctypes.sizeof(other) == ctypes.sizeof(structures.Spread)
    ours = structures.describe(structures.Spread)
    text = structures.description().replace(
        ours, structures.describe(other).replace(other.__name__, "Spread", 1)
    )
    monkeypatch.setattr(library, "description", lambda: text)
    file = Path(library.loaded()[0]._name)
    found, reason = library.load(file)
    assert found is None
    assert f"another version (Spread: {field})" in reason


def test_another_library_is_loaded_where_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "other.so"
    shutil.copy(library.loaded()[0]._name, copy)
    monkeypatch.setenv(library.LIBRARY, str(copy))
    fresh = library.find.__wrapped__
    assert fresh()[0]._name == str(copy)
    monkeypatch.setenv(library.LIBRARY, str(tmp_path / "gone.so"))
    with pytest.raises(UserError, match=r"SYNAPTRACE_LIBRARY: gone\.so can't be loaded"):
        fresh()
