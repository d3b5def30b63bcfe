"""A report of a run, a comparison, a sweep or a fine-tuning: one HTML file that needs nothing else.

`page` makes the file, `charts` its figures; `run`, `tuned`, `study`, `comparison` and `sweep` say
what stands in it, `network` what a trained network shows, and `facts` what was set and how to
repeat it.
No test set is read: test accuracies are those that training stored.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from synaptrace import builtin
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.keyword import tunings
from synaptrace.keyword.plan import ABOUT
from synaptrace.training import run as runs

KINDS = {
    "tuned": ("tuned.json", "fine-tuning"),
    "comparison": ("comparison.json", "comparison"),
    "sweep": ("sweep.json", "sweep"),
    "study": (ABOUT, "fine-tuning of many users"),
}
"""The module of each kind, the file by which it is known, and its name."""


def write(path: Path, out: Path, *, sample: int = 0, data_path: str | None = None) -> Path:
    """Write the report of what lies in ``path`` to ``out``; returns ``out``.

    Args:
        sample: the number of the validation sample whose spikes are drawn.
        data_path: where the data are now, if they have moved.

    Raises:
        UserError: nothing that can be reported lies there, a file of it can't be read, there is
            no such sample, or Plotly isn't installed.
    """
    from synaptrace.report import page

    path = builtin.find(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such directory")
    packed = page.library()  # before anything takes long
    module, name = kind(path)
    sections = import_module(f"synaptrace.report.{module}").sections(path, sample, data_path)
    title = path.resolve().name
    write_atomic(out, page.render(title, f"synaptrace {name}", sections, packed))
    return out


def kind(path: Path) -> tuple[str, str]:
    """The module of what lies in ``path``, and its name; a run is what is nothing else."""
    for module, (file, name) in KINDS.items():
        if (path / file).is_file():
            return module, name
    if not (path / runs.CONFIG).exists() and tunings.read(path):  # of runs that were trained before
        return "study", KINDS["study"][1]
    return "run", "run"
