"""One case: break a copy of a target's input, read it, and say what came of it."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fuzz import known as known_inputs
from fuzz import known_files
from fuzz.cases import TARGETS
from fuzz.targets import Accepted, Target
from synaptrace.errors import UserError

REFUSED, READ = {**known_inputs.REFUSED, **known_files.REFUSED}, known_files.READ

LONGEST = 4000
"""Characters of a message that is still one line; what a user wrote isn't put whole into it."""

GOOD = ("read", "refused")

BAD, ODD = "bad", "odd"
"""In place of a target: the inputs of `known` and `known_files`, by name in place of a mutator."""


class Case(NamedTuple):
    target: str
    mutator: str
    seed: int

    def __str__(self) -> str:
        return ":".join(map(str, self))


class Result(NamedTuple):
    case: str
    outcome: str
    """"read", "refused", or what went wrong: traceback, accepted, message, hang, crash."""
    where: str
    """The innermost line of synaptrace in a traceback."""
    why: str

    def __str__(self) -> str:
        again = f"cd tests && python -m fuzz.runner --case '{self.case}'"
        return f"{self.outcome} {self.where}: {self.why}   [{again}]"


def cases(targets: Iterable[Target], scale: float = 1) -> list[Case]:
    """Every target's mutators, each with as many seeds as the target says, times ``scale``."""
    return [
        Case(target.name, mutator, seed)
        for target in targets
        for mutator in target.mutators
        for seed in range(max(round(target.count * scale), 1))
    ]


def tables() -> list[Case]:
    """The known inputs."""
    return [*(Case(BAD, name, 0) for name in REFUSED), *(Case(ODD, name, 0) for name in READ)]


def attempt(folder: Path, call: Callable[[], object]) -> tuple[str, str, str]:
    """Outcome, place and reason of one call."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # a cast of NaN, say
            call()
    except UserError as error:
        text = str(error)
        if len(text) > LONGEST:
            return "message", "", f"{len(text)} characters: {text[:200]!r}"
        return "refused", "", text.replace(f"{folder}/", "")
    except Accepted as error:
        return "accepted", "", str(error)
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if f"{os.sep}synaptrace{os.sep}" in f.filename]
        place = own[-1] if own else frames[-1]
        where = f"{place.filename.rpartition('/synaptrace/')[2]}:{place.lineno}"
        reason = " ".join(str(error).replace(f"{folder}/", "").split())
        return "traceback", where, f"{type(error).__name__}: {reason[:300]}"
    return "read", "", ""


def known(case: Case, folder: Path) -> Result:
    """A known bad input must be refused, a known odd one read."""
    os.environ["SYNAPTRACE_DATA"] = str(folder / "home")
    if case.target == ODD:
        outcome, where, why = attempt(folder, lambda: READ[case.mutator](folder))
        return Result(
            str(case), "refused, though good" if outcome == GOOD[1] else outcome, where, why
        )
    bad = REFUSED[case.mutator]
    outcome, where, why = attempt(folder, lambda: bad.read(folder))
    if outcome == "read":
        outcome = "accepted"
    if outcome == "refused" and not re.search(bad.message, why):
        outcome, why = "message", f"{why!r} doesn't say {bad.message!r}"
    return Result(str(case), outcome, where, why)


def once(case: Case, seeds: Path) -> Result:
    """Break a copy of the target's input as the case says, and read it."""
    folder = Path(tempfile.mkdtemp(prefix="case-", dir=seeds))
    try:
        if case.target in (BAD, ODD):
            return known(case, folder)
        target = TARGETS[case.target]
        source = seeds / target.name
        shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=os.link)
        rng = np.random.default_rng([zlib.crc32(str(case[:2]).encode()), case.seed])
        files = sorted(f for pattern in target.files for f in folder.glob(pattern))
        file = files[int(rng.integers(len(files)))]
        content = target.mutators[case.mutator](file.read_bytes(), rng)
        file.unlink()  # the other copies stay as they are
        file.write_bytes(content)
        os.environ["SYNAPTRACE_DATA"] = str(folder / "home")
        return Result(str(case), *attempt(folder, lambda: target.read(folder)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_seeds(names: Iterable[str], folder: Path) -> Path:
    """Every target's valid input, in a folder of its name, which must be read without complaint."""
    for name in sorted(names):
        own = folder / name
        own.mkdir()
        TARGETS[name].make(own)
        for file in own.rglob("*"):
            if file.is_file():
                file.chmod(0o644)
    return folder


def untouched(names: Iterable[str]) -> list[Result]:
    """Every target's input as it is made: all must be read, or the fuzz would prove nothing."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(names, Path(folder))
        for name in names:
            os.environ["SYNAPTRACE_DATA"] = str(seeds / name / "home")
            target = TARGETS[name]
            result = attempt(seeds / name, lambda t=target: t.read(seeds / t.name))  # type: ignore[misc]
            found.append(Result(f"{name}:none:0", *result))
    return found
