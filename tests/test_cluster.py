"""Sweeps by way of others: a PostgreSQL server, and Ray Tune. Each is skipped where it isn't."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from synaptrace.sweep import plan as plans
from synaptrace.sweep import study, work
from test_hyper import SMALL, WORDS, carry_out, make, no_final, scored, trials

__all__ = ["no_final"]
EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "ray_tune.py"


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, which listens to a socket in its directory."""
    if shutil.which("pg_ctl") is None or shutil.which("initdb") is None:
        pytest.skip("PostgreSQL isn't installed")
    if find_spec("psycopg") is None:
        pytest.skip("PostgreSQL's driver, psycopg, isn't installed")
    user = "nobody" if os.geteuid() == 0 else None  # it refuses to be run by root
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if user is not None:
            shutil.chown(folder, user)

        def do(*words: str) -> None:
            subprocess.run(words, check=True, user=user, cwd=folder, timeout=60,
                           stdout=subprocess.DEVNULL)  # fmt: skip

        control = ("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log")
        do("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "synaptrace", "--no-sync")
        do(*control, "-o", f"-F -k {folder} -c listen_addresses=''", "start")
        try:
            yield f"postgresql://synaptrace@/postgres?host={folder}"
        finally:
            do(*control, "-m", "immediate", "stop")


def test_a_study_in_postgresql_is_the_one_in_a_file(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_final: None
) -> None:
    scored(monkeypatch, lambda config, epoch: 1 / (1 + abs(config.train["lr"] - 0.02)))
    there = make(tmp_path / "there", trials=14, prune="median", storage=server)
    here = make(tmp_path / "here", trials=14, prune="median")
    for plan in (there, here):
        carry_out(plan)
    assert trials(there) == trials(here)
    assert len(trials(there)) == 14
    assert not (there.out / plans.JOURNAL).exists()
    found = study.best(study.opened(plans.read(there.out)))
    assert found is not None


def test_two_processes_share_a_study_in_postgresql(server: str, tmp_path: Path) -> None:
    plan = make(tmp_path, trials=3, storage=server)
    threads = work.prepare(plan, 2)
    work.take_part(plan, 2, threads, progress=False)
    assert [each[0] for each in trials(plan)] == ["COMPLETE"] * 3


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray isn't installed")
def test_ray_tune_is_a_client(tmp_path: Path) -> None:
    assert SMALL["train.epochs"] == "2"
    place = os.environ | {"RAY_AIR_NEW_OUTPUT": "0", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, str(EXAMPLE), "2", *WORDS], capture_output=True,
                          text=True, env=place, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("validation ")
    assert "'train.lr': " in last
