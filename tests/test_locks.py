"""A system without locks of files, resident sets or its memory's size (Windows) trains too."""

import os
import runpy
import sys
from pathlib import Path

import pytest

from synaptrace import locks, memory
from synaptrace.build import mlp
from synaptrace.data.claim import claimed
from synaptrace.training import checks, lock


def test_without_locks_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)  # so that importing it fails
    made = runpy.run_path(str(locks.__file__))
    assert not made["THERE"]
    with pytest.raises(OSError, match="no locks"):
        made["lock"](0)
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "THERE", False)
    monkeypatch.delattr(os, "O_DIRECTORY", raising=False)
    with lock.held(tmp_path / "run"), lock.held(tmp_path / "run"):
        assert not lock.taken(tmp_path / "run")
    with claimed(tmp_path / "a") as first, claimed(tmp_path / "a") as second:
        assert first != second


def test_what_the_system_does_not_say_is_no_error(monkeypatch: pytest.MonkeyPatch):
    assert memory.peak_resident() > 2**20
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert memory.peak_resident() == 0
    monkeypatch.delattr(os, "sysconf", raising=False)
    checks.afford(mlp(3, [2], 2).spec)
