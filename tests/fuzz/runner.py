"""Runs cases in child processes under limits, and says what came of each.

A process imports everything once and makes every target's valid input once; each worker is forked
from it, so a case costs milliseconds. A worker may take no more than `MEMORY` beyond what it has,
and a case no more than `SECONDS` of computing, nor `WAIT` in all; one that hangs or crashes ends
its worker, and another goes on with the next case. A case is a target, a mutator and a seed, and
is the same on every machine.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fuzz import known as known_inputs
from fuzz import known_files
from fuzz.cases import TARGETS
from fuzz.targets import Accepted, Target
from synaptrace.errors import UserError

REFUSED, READ = {**known_inputs.REFUSED, **known_files.REFUSED}, known_files.READ

MEMORY = 400 * 2**20
"""Bytes that a case may take beyond those that its process has: inputs are of kilobytes."""

SECONDS = 4
"""Of the processor's time, after which a case hangs; the slowest takes about one."""

WAIT = 30
"""Seconds by the clock, after which it waits for something that never comes."""

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


def limit() -> None:
    """Hold this process to `MEMORY` more than it has; what it writes need not reach the disk."""
    status = Path("/proc/self/status")
    if status.exists():
        used = next(x for x in status.read_text().splitlines() if x.startswith("VmData"))
        most = int(used.split()[1]) * 1024 + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.fsync = lambda _: None  # type: ignore[assignment]


class Worker:
    """A forked process that does ``left`` one after another and tells of each through a pipe."""

    def __init__(self, left: list[Case], seeds: Path) -> None:
        self.left, self.seeds = left, seeds
        self.fork()

    def fork(self) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        self.text, self.since = b"", time.monotonic()
        self.end, child = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(child)
            return
        limit()
        os.dup2(self.log.fileno(), 2)
        faulthandler.enable(self.log)
        faulthandler.register(signal.SIGPROF, self.log, chain=True)  # then it ends the process
        try:
            for case in self.left:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                result = once(case, self.seeds)
                os.write(child, json.dumps(result).encode() + b"\n")
        except BaseException:
            traceback.print_exc()
        os._exit(0)

    def hear(self) -> list[Result]:
        """What it has done since; a case that killed it or hangs, and then go on after that."""
        found, ended = [], False
        if select.select([self.end], [], [], 0)[0]:
            got = os.read(self.end, 1 << 16)
            ended, self.text = not got, self.text + got
            *lines, self.text = self.text.split(b"\n")
            found = [Result(*json.loads(line)) for line in lines]
            self.left = self.left[len(found) :]
            self.since = time.monotonic() if found else self.since
        late = time.monotonic() - self.since > WAIT
        if late:
            os.kill(self.pid, signal.SIGKILL)
        if ended or late:
            os.close(self.end)
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            if self.left:
                found.append(self.lost(late or status == -signal.SIGPROF, status))
                self.left = self.left[1:]
                if self.left:
                    self.fork()
        return found

    def lost(self, hung: bool, status: int) -> Result:
        """What is known of a case that took its worker with it."""
        self.log.seek(0)
        lines = self.log.read().decode("utf-8", "replace").splitlines() or [""]
        own = [x for x in lines if "File" in x and "/synaptrace/" in x]
        place = own[0].rpartition("/synaptrace/")[2].replace('", line ', ":") if own else ""
        why = f"no end after {SECONDS} s" if hung else f"exit code {status}, {lines[-1]}"
        return Result(str(self.left[0]), "hang" if hung else "crash", place.split(" ")[0], why)


def run(
    chosen: Sequence[Case], workers: int = 2, tell: Callable[[Result], object] = lambda result: None
) -> list[Result]:
    """The results of all ``chosen``, in the order in which they come; ``tell`` hears of each."""
    found: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds({case.target for case in chosen} - {BAD, ODD}, Path(folder))
        going = [
            Worker(list(chosen[i::workers]), seeds) for i in range(workers) if chosen[i::workers]
        ]
        while going:
            select.select([worker.end for worker in going], [], [], 0.2)
            for worker in going:
                heard = worker.hear()
                found += heard
                for result in heard:
                    tell(result)
            going = [worker for worker in going if worker.left]
    return found


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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="times as many cases")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--case", help="TARGET:MUTATOR:SEED, with its traceback")
    parser.add_argument("--known", action="store_true", help="the known inputs alone")
    parser.add_argument("--all", action="store_true", help="print good outcomes too")
    options = parser.parse_args(argv)
    if options.case:
        named, _, seed = options.case.rpartition(":")
        target, _, mutator = named.partition(":")
        chosen = [Case(target, mutator, int(seed))]
    elif options.known:
        chosen = tables()
    else:
        chosen = cases((TARGETS[n] for n in options.target or TARGETS), options.scale)
    began = time.monotonic()

    def tell(result: Result) -> None:
        if options.all or options.case or result.outcome not in GOOD:
            print(result, flush=True)

    results = run(chosen, tell=tell)
    bad = [result for result in results if result.outcome not in GOOD]
    print(f"{len(results)} cases, {len(bad)} bad, {time.monotonic() - began:.0f} s")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
