"""Runs cases in child processes under limits, and says what came of each.

A process imports everything once and makes every target's valid input once; each worker is forked
from it, so a case costs milliseconds. A worker may take no more than `MEMORY` beyond what it has,
and a case no more than `SECONDS` of computing, nor `WAIT` in all; one that hangs or crashes ends
its worker, and another goes on with the next case. A case is a target, a mutator and a seed, and
is the same each time, but for the seconds and folders that the files of a run state.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from fuzz.attempt import BAD, GOOD, ODD, Case, Result, cases, make_seeds, once, tables
from fuzz.cases import TARGETS

HEAVY = ("h5py", "matplotlib.figure", "PIL.Image", "scipy.signal", "sklearn.manifold")
"""What readers import when they need it: imported once, before the processes part."""

MEMORY = 400 * 2**20
"""Bytes that a case may take beyond those that its process has: inputs are of kilobytes."""

SECONDS = 4
"""Of the processor's time, after which a case hangs; the slowest takes about one."""

WAIT = 120
"""Seconds by the clock, after which it waits for something that never comes: many, as other work
may slow the machine."""


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
        if ended or late or not self.left:
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
        for name in HEAVY:
            import_module(name)
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
        chosen += [] if options.target else tables()
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
