"""An exported folder: whole or as it was, and no name in it is code."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import c_program
from synaptrace.errors import UserError
from synaptrace.files import replace_atomic
from synaptrace.ship.c import folder, numbers, plan, source


def test_an_interrupt_leaves_what_was_there(tmp_path: Path, monkeypatch):
    out, moves, rename = tmp_path / "c", [], Path.rename
    folder.write(out, {folder.MARK: "{}", "a.c": "old"})

    def interrupted(path: Path, target: Path) -> Path:
        moves.append(path.name)
        if path.name == "new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write(out, {folder.MARK: "{}", "a.c": "new"})
    assert moves == ["c", "new", "old"]
    assert (out / "a.c").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (gcc)")
@pytest.mark.parametrize("name", ["*/ int taken; /*", "*/*/ int taken; /*/"])
def test_no_name_becomes_code(name: str, tmp_path: Path):
    net, _ = c_program.dense([4])
    made, has = plan.plan(net), numbers.floating(net, source.text("types_float.h"))
    about = {"name": name, "source": name, "version": "0", "steps": 1}
    classes = [str(c) for c in range(net.classes)]
    (tmp_path / "model.h").write_text(source.header(made, has, about))
    (tmp_path / "model.c").write_text(source.constants(net, made, has, name, classes))
    compiled = ["gcc", *c_program.STRICT, "-E", "-P", "model.c"]
    done = subprocess.run(compiled, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "taken" not in done.stdout
    assert "readout_weight" in done.stdout


def test_a_class_is_a_string_of_its_bytes():
    assert source.quoted('a"\udcff') == "a\\042\\377"
    assert source.quoted("ü") == "\\303\\274"


def test_a_file_for_a_folder_and_a_folder_for_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"c: can't be written \(Not a directory\)"):
        folder.write(tmp_path / "file" / "c", {folder.MARK: "{}"})
    with pytest.raises(UserError, match=r"c: can't be written \(Not a directory\)"):
        replace_atomic(tmp_path / "file" / "c", lambda path: None)
    asked: list[Path] = []
    with pytest.raises(UserError, match=r"can't be written \(Is a directory\)"):
        replace_atomic(tmp_path, asked.append)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: can't be written \(not a file\)"):
        replace_atomic(tmp_path / "pipe", asked.append)
    assert not asked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_remarks_on_macros_stand_in_one_column():
    text = "#define A 1 /* a */\n#define LONG 23\n#define B 4567   /* b */\nint x; /* x */"
    tidied = "#define A 1    /* a */\n#define LONG 23\n#define B 4567 /* b */\nint x; /* x */"
    assert source.tidy(text) == tidied
