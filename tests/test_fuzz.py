"""Whatever lies in a file, a setting, a run or an archive: it is read, or refused in one line.

The cases are the same each time (`fuzz`), run in processes of bounded memory and time, and a
failure says how to run it alone.
"""

import subprocess
import sys
from pathlib import Path

from fuzz import attempt
from fuzz.cases import TARGETS

HERE = Path(__file__).parent


def test_what_is_fuzzed_can_be_read() -> None:
    """Else everything would be refused, and the fuzz prove nothing."""
    bad = [result for result in attempt.untouched(TARGETS) if result.outcome != "read"]
    assert not bad, "\n".join(map(str, bad))


def test_nothing_ends_in_a_traceback_hangs_or_is_taken_for_what_it_is_not() -> None:
    """In a process of its own, which forks: one without this one's threads."""
    assert len(attempt.cases(TARGETS.values())) >= 2000
    assert len(attempt.tables()) >= 70  # inputs known to be bad, and odd ones that are read
    words = [sys.executable, "-m", "fuzz.runner"]
    done = subprocess.run(words, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"


def test_faults_are_found() -> None:
    """The runner sees a traceback, too much memory, a hang and a crash for what they are."""
    words = [sys.executable, "-m", "fuzz.broken"]
    done = subprocess.run(words, cwd=HERE, capture_output=True, text=True)
    assert done.stdout.split() == ["traceback", "traceback", "hang", "crash", "accepted", "read"], (
        done.stdout + done.stderr
    )
