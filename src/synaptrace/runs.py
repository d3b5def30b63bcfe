"""What was trained below a directory: a line a run, with its settings, outcome and state.

runs.listed("runs")                       # a list of dicts, as `synaptrace runs --json` prints
runs.table("runs").sort_values("test")    # the same as a pandas frame
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synaptrace import yaml_files
from synaptrace.errors import UserError, one_line
from synaptrace.meanings import meant
from synaptrace.training import lock, schema
from synaptrace.training.run import CONFIG, LAST, METRICS, SUMMARY, read_metrics, read_summary

if TYPE_CHECKING:
    import pandas

__all__ = ["listed", "table"]

COLUMNS = (
    "name", "data", "rule", "validation", "test", "when", "state", "seeds", "epochs", "lr",
    "schedule", "layers", "train_samples", "validation_samples", "test_samples", "run", "problem",
)  # fmt: skip
"""The keys of a run. Accuracies are shares of 1, of the picked epoch, the mean over seeds."""
STAMP = re.compile(r"(\d{8}-\d{6})-(.+)")
"""The name of a run's directory, as `training.run.create` makes it."""
STUDIES = ("comparison.json", "sweep.json", "finetune.json")
"""The files by which a directory of many trainings is known: a comparison, a sweep, a fine-tuning
of several speakers. What lies below is named by its place there."""
SEED = re.compile(r"seed-\d+")
DEEPEST = 5
"""Levels below the directory in which runs are looked for: those of comparisons and sweeps."""
Run = dict[str, Any]


def table(directory: str | Path = "runs") -> pandas.DataFrame:
    """The runs below ``directory`` as a frame of `COLUMNS`, the oldest first.

    Raises:
        UserError: there is no such directory, or pandas isn't installed.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("runs.table: needs pandas; pip install pandas") from None
    frame = pandas.DataFrame(listed(directory), columns=list(COLUMNS))
    frame["when"] = pandas.to_datetime(frame["when"])
    return frame


def listed(
    directory: str | Path = "runs", *, sort: str = "when", where: Sequence[str] = ()
) -> list[Run]:
    """The runs below ``directory``; one that is broken says so in its ``problem``.

    Args:
        sort: one of `COLUMNS`, ascending; runs without it come first.
        where: conditions KEY=VALUE that all hold, with * and ? in VALUE as in file names.

    Raises:
        UserError: there is no such directory or column.
    """
    root = Path(directory)
    if not root.is_dir():
        raise UserError(f"{root}: no such directory")
    known(sort, "--sort")
    tests = []
    for each in where:
        key, equals, value = each.partition("=")
        if not equals:
            raise UserError(f"--where: {each!r} should be KEY=VALUE, such as data=fsdd")
        tests.append((known(key, "--where"), value))
    made = [described(run) for run in sorted(found(root))]
    kept = [run for run in made if all(fnmatchcase(told(run[k]), v) for k, v in tests)]
    return sorted(kept, key=lambda run: ((v := run[sort]) is not None, v if is_number(v) else 0.0,
                                         told(v)))  # fmt: skip


def known(key: str, option: str) -> str:
    """``key``, where it is one of `COLUMNS`. Raises UserError naming the ``option``."""
    if key not in COLUMNS:
        raise UserError(
            f"{option}: runs have no {key!r}; they have {', '.join(COLUMNS)}{meant(key, COLUMNS)}"
        )
    return key


def is_number(value: Any) -> bool:
    """Whether it is sorted as one."""
    return isinstance(value, int | float)


def told(value: Any) -> str:
    """A value in a cell, and as `where` sees it."""
    if value is None:
        return ""
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def found(root: Path, depth: int = DEEPEST) -> Iterator[Path]:
    """Run directories at ``root`` and below; what lies in a run belongs to it."""
    if any((root / name).exists() for name in (CONFIG, SUMMARY, METRICS, LAST)):
        yield root
    elif depth:
        try:
            inside = [each for each in root.iterdir() if each.is_dir() and not each.is_symlink()]
        except OSError:
            return
        for each in inside:
            yield from found(each, depth - 1)


def described(run: Path) -> Run:
    """The line of one run."""
    stamp = STAMP.fullmatch(run.name)
    made: Run = dict.fromkeys(COLUMNS)
    made |= {"name": name_of(run), "run": str(run), "when": began(run, stamp)}
    try:
        python = not (run / CONFIG).exists() and ((run / LAST).exists() or (run / SUMMARY).exists())
        made |= {} if python else settings(run)
        made |= outcome(run)
    except UserError as error:
        made |= {"state": "broken", "problem": one_line(str(error))}
    return made


def name_of(run: Path) -> str:
    """The name that was given to a run, or else its path from the study that it is part of, or from
    what a lone seed is a seed of: tp/seed-1, trial-0003/seed-0."""
    parents = run.absolute().parents[:DEEPEST]
    studies = (each for each in reversed(parents) if any((each / s).exists() for s in STUDIES))
    study = next(studies, None)
    if study is not None:
        return run.absolute().relative_to(study).as_posix()
    if SEED.fullmatch(run.name) and parents:
        return f"{name_of(parents[0])}/{run.name}"
    stamp = STAMP.fullmatch(run.name)
    return stamp[2] if stamp else run.name


def began(run: Path, stamp: re.Match[str] | None) -> str | None:
    """When it was made, by its name, or else by its oldest file: ISO 8601, local time."""
    try:
        if stamp:
            return datetime.strptime(stamp[1], "%Y%m%d-%H%M%S").isoformat()
        times = [
            (run / name).stat().st_mtime for name in (CONFIG, METRICS) if (run / name).exists()
        ]
        return datetime.fromtimestamp(min(times)).isoformat(timespec="seconds") if times else None
    except (OSError, ValueError):
        return None


def settings(run: Path) -> Run:
    """What config.yaml says. Raises UserError where it can't be read or isn't of a run."""
    plain = yaml_files.read(run / CONFIG)
    config = schema.check(schema.Run, plain, run / CONFIG)
    train = config["train"]
    return {
        "data": config["data"].get("name"), "rule": config["rule"].get("name"),
        "seeds": config.get("seeds", 1), "epochs": train.get("epochs"), "lr": train.get("lr"),
        "schedule": train.get("update"),
    }  # fmt: skip


def outcome(run: Path) -> Run:
    """State and accuracies. Raises UserError where a file is damaged."""
    summary = read_summary(run)
    if summary is None:
        lines = read_metrics(run)
        state = "running" if lock.taken(run) else "cut off"
        if (run / "diverged.txt").exists():
            state = "diverged"
        seen = [line["validation_accuracy"] for line in lines]
        return {"state": state, "validation": max((v for v in seen if v is not None), default=None)}
    if "before" in summary:  # a fine-tuning
        after = summary["after"]
        return {"state": "finished", "test": after.get("query"),
                "validation": after.get("validation")}  # fmt: skip
    samples = summary.get("samples", {})
    made: Run = {
        f"{split}_samples": samples.get(split) for split in ("train", "validation", "test")
    }
    for key in ("validation", "test"):
        value = summary[f"{key}_accuracy"]
        made[key] = value["mean"] if isinstance(value, dict) else value
    if not (run / CONFIG).exists():  # trained from Python: all that is known stands here
        made |= {key: summary.get(key) for key in ("rule", "schedule", "lr")}
    return {"state": "finished", "layers": summary.get("layers"), **made}
