"""Pictures that never end what they come along with, whatever backend or names there are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from synaptrace import cli, drawing, plots
from synaptrace.errors import UserError

FORMULA = r"$\frac$"


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    names = (FORMULA, "a$b", "two\nlines")
    path = plots.confusion([[1, 0, 0], [0, 2, 0], [0, 0, 1]], names, tmp_path / "c.png", FORMULA)
    assert imread(path).ndim == 3


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_the_backend_of_a_notebook_changes_nothing(tmp_path: Path, backend: str) -> None:
    code = (
        "import os, sys; from pathlib import Path; from synaptrace import drawing;"
        "drawing.save(drawing.figure(1, 1), Path(sys.argv[1]));"
        "assert os.environ['MPLBACKEND'] == sys.argv[2];"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    out = tmp_path / "p.png"
    subprocess.run(
        [sys.executable, "-c", code, str(out), backend], check=True,
        env={**os.environ, "MPLBACKEND": backend},
    )  # fmt: skip
    assert imread(out).ndim == 3


def test_what_cannot_be_drawn_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    picture = drawing.figure(1, 1)
    picture.suptitle(FORMULA)
    with pytest.raises(UserError, match=r"f\.png: the picture can't be drawn"):
        drawing.save(picture, tmp_path / "f.png")
    assert not list(tmp_path.iterdir())


def test_a_failed_picture_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a training nor an evaluation ends by it."""
    monkeypatch.setattr(plots, "learning_curve", lambda run: 1 / 0)
    monkeypatch.setattr(plots, "embedding", lambda net, data, path: tmp_path.read_text())
    words = [
        "train",
        "--model.hidden",
        "[8]",
        "--train.epochs",
        "1",
        "--data.dt",
        "100",
        "--out",
        str(tmp_path / "r"),
    ]
    with pytest.warns(UserWarning, match="no picture was drawn: ") as caught:
        assert cli.main([*words, "--quiet"]) == 0
    assert [w for w in map(str, (w.message for w in caught)) if "division by zero" in w]
    (run,) = (tmp_path / "r").iterdir()
    assert (run / "summary.json").is_file()
    (run / "confusion-test.png").mkdir()
    with pytest.warns(UserWarning, match=r"confusion-test\.png: can't be written"):
        assert cli.main(["evaluate", str(run)]) == 0
