"""Trainings as commands of their own: in any order, on any machine, the table of one command."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from patience import LIMIT
from synaptrace import cli
from synaptrace.cli import resume
from synaptrace.compare import cells
from synaptrace.compare import plan as compare
from synaptrace.compare import run as runner
from synaptrace.config import resolve
from synaptrace.errors import UserError
from synaptrace.sweep import work
from synaptrace.training import job, lock
from synaptrace.training import run as runs
from test_compare import SMALL, WORDS, in_process

SCRIPT = Path(__file__).parents[1] / "docs" / "examples" / "cells.sbatch"
SBATCH = """#!/bin/bash
# All tasks of an array, the last first, two at once.
[[ $1 =~ ^--array=1-([0-9]+)%2$ ]] || exit 64
for (( task = BASH_REMATCH[1]; task > 0; task -= 2 )); do
    for (( each = task; each > task - 2 && each > 0; each -= 1 )); do
        SLURM_ARRAY_TASK_ID=$each bash "${@:2}" & all+=($!)
    done
    for one in "${all[@]}"; do wait "$one" || exit; done
    all=()
done
"""
SYNAPTRACE = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m synaptrace "$@"\n'


def commands(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    """The command lines that --cells prints, without the program's name."""
    capsys.readouterr()
    assert cli.main([*words, "--cells"]) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert {line[0] for line in lines} == {"synaptrace"}
    return [line[1:] for line in lines]


def table(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    """What --table prints, without the time."""
    capsys.readouterr()
    assert cli.main([*words, "--table", "--quiet"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    time = rows[0].index("s/epoch")
    return [row[:time] + row[time + 1 :] for row in rows]


def test_an_array_of_cells_in_any_order_gives_the_table_of_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> None:  # fmt: skip
    """The script of docs/examples, by a stand-in for sbatch: a seed's cell is begun before those
    that its rate is chosen by."""
    words = ["compare", "--rules", "tp:contrast=class", "--seeds", "2", "--rates", "1e-3,1e-2",
             *WORDS]  # fmt: skip
    out = tmp_path / "it's here"
    for name, content in (("sbatch", SBATCH), ("synaptrace", SYNAPTRACE)):
        (tmp_path / name).write_text(content, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    lines = commands(capsys, *words, "--out", str(out))
    assert [line[-1].rpartition("/lr-")[2] for line in lines] == [
        "0.001/seed-0", "0.01/seed-0", "tp-contrast=class/seed-1",
    ]  # fmt: skip
    assert "unfinished" in table(capsys, *words, "--out", str(out))[1][-1]
    assert not out.exists()
    file = tmp_path / "cells.txt"
    file.write_text("".join(shlex.join(["synaptrace", *line]) + "\n" for line in lines))
    done = subprocess.run(
        ["sbatch", f"--array=1-{len(lines)}%2", str(SCRIPT), str(file)], capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(f"{line[-1]}: validation" in done.stderr for line in lines)

    noted = in_process(monkeypatch)
    whole = [*words, "--out", str(tmp_path / "whole")]
    assert cli.main([*whole, "--quiet"]) == 0
    assert len(noted) == 3
    expected = table(capsys, *whole)
    assert float(expected[1][1]) > 0
    assert "unfinished" not in expected[1][-1]
    assert table(capsys, *words, "--out", str(out)) == expected

    def trained(*_: object) -> None:
        raise AssertionError("trained twice")

    monkeypatch.setattr(runner, "once", trained)
    for line in lines:
        assert cli.main(line) == 0
    assert cli.main([*words, "--out", str(out)]) == 0
    empty = subprocess.run(["bash", str(SCRIPT), str(file)], capture_output=True, text=True,
                           env=os.environ | {"SLURM_ARRAY_TASK_ID": "9"})  # fmt: skip
    assert (empty.returncode, empty.stderr) == (2, f"{file}: has no line 9\n")


LINES = ["it's here", "a  b", '$HOME "c" \\d', "[8],[9]"]
"""What a command line may hold."""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A `synaptrace` that notes its one argument, cells.txt of `LINES`, and what was noted."""
    program, noted = tmp_path / "synaptrace", tmp_path / "noted"
    program.write_text('#!/bin/sh\n[ $# = 1 ] && printf "%s\\n" "$1" >> noted\n')
    program.chmod(0o755)
    lines = [shlex.join(["synaptrace", each]) + "\n" for each in LINES]
    (tmp_path / "cells.txt").write_text("".join(lines))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path))  # where GNU parallel writes
    monkeypatch.chdir(tmp_path)
    return lambda: noted.read_text().splitlines()


def test_gnu_parallel_reads_the_lines_as_a_shell_does(told: Callable[[], list[str]]) -> None:
    said = subprocess.run("parallel --version", shell=True, capture_output=True, text=True).stdout
    if "GNU parallel" not in said:
        pytest.skip("GNU parallel isn't installed")
    subprocess.run("parallel -j 2 < cells.txt", shell=True, check=True, timeout=LIMIT)
    assert sorted(told()) == sorted(LINES)
    Path("cells.txt").write_text("synaptrace a\nsynaptrace b c\n")
    assert subprocess.run("parallel -j 2 < cells.txt", shell=True, timeout=LIMIT).returncode == 1


def test_a_job_of_kubernetes_has_a_pod_for_each_line(told: Callable[[], list[str]]) -> None:
    """By its fields, and by its command as the pods would run it."""
    job = yaml.safe_load((SCRIPT.parent / "cells-job.yaml").read_text(encoding="utf-8"))
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert spec["completionMode"] == "Indexed"
    assert pod["restartPolicy"] == "Never"  # which backoffLimitPerIndex needs
    assert 0 < spec["parallelism"] <= spec["completions"]
    (container,) = pod["containers"]
    assert [each["name"] for each in pod["volumes"]] == [
        each["name"] for each in container["volumeMounts"]
    ]
    assert container["workingDir"] == container["volumeMounts"][0]["mountPath"]
    Path(SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    for index in range(len(LINES) + 1):
        place = os.environ | {"JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run(container["command"], env=place, capture_output=True, text=True)
        assert done.returncode == (0 if index < len(LINES) else 2)
    assert told() == LINES
    assert done.stderr == f"cells.txt: has no line {len(LINES) + 1}\n"


def test_who_has_a_cell_is_told_and_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["compare", "--rules", "readout-only", "--seeds", "1", "--rates", "1e-2", *WORDS]
    (line,) = commands(capsys, *words, "--out", str(tmp_path / "c"))
    run = tmp_path / "c" / "readout-only" / "lr-0.01" / "seed-0"
    with ExitStack() as holder:

        def told(name: object) -> str:
            if isinstance(name, str):  # the one who has it
                assert not (run / runs.SUMMARY).exists()
                holder.close()
            return str(name)

        monkeypatch.setattr(lock, "printed", told)
        holder.enter_context(lock.held(run))
        assert cli.main(line) == 0
    said = capsys.readouterr().err
    assert f"{run}: waiting for process {os.getpid()} on" in said
    assert "readout-only/seed-0: validation" in said
    assert (run / runs.SUMMARY).exists()


def test_a_cell_without_a_rate_to_train_at_has_its_outcome(tmp_path: Path) -> None:
    plan = compare.plan(["tp"], overrides=SMALL, rates=[1e37, 1e38], seeds=2, out=tmp_path)
    for task in plan.first("tp"):
        plan.run(task).mkdir(parents=True)
        (plan.run(task) / compare.DIVERGED).touch()
    for name, cell in cells.listed(plan, tune=False).items():
        said = cells.carry_out(plan, cell)
        assert said == ("no rate to train at: every one diverged" if name == "tp/seed-1" else
                        "diverged")  # fmt: skip


def test_cells_of_a_tuned_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    rates: list[float] = []

    def scores(config, dataset, seeds, run, report):  # type: ignore[no-untyped-def]
        rates.append(config.train["lr"])
        report(1, config.train["lr"])
        return [config.train["lr"]]

    monkeypatch.setattr(work, "scores", scores)
    words = ["compare", "--rules", "readout-only", "--tune", "3", "--seeds", "2", *WORDS,
             "--quiet", "--out", str(tmp_path / "c")]  # fmt: skip
    lines = commands(capsys, *words)
    assert [line[-1] for line in lines] == [f"readout-only/{n}" for n in ("tune", *SEEDS)]
    assert cli.main([*words, "--table"]) == 2
    assert "0 of 3 trials are done" in capsys.readouterr().err
    assert cli.main(lines[0]) == 0
    assert len(rates) == 3
    for line in [lines[2], *lines]:
        assert cli.main(line) == 0
    assert len(rates) == 3
    found = {float(path.parent.name[3:]) for path in (tmp_path / "c").glob("*/lr-*/seed-?")}
    assert found == {float(f"{max(rates):g}")}
    assert table(capsys, *words[:-3], *words[-2:])[1][3] == "2"


SEEDS = ("seed-0", "seed-1")


def test_seeds_apart_are_the_seeds_of_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "--seeds", "2", *WORDS, "--out", str(tmp_path)]
    lines = commands(capsys, *words)
    run = Path(lines[0][1])
    monkeypatch.setattr(resume, "finish", lambda *_: None)
    for line in reversed(lines):
        assert cli.main([*line, "--quiet"]) == 0
        assert f"{run / f'seed-{line[-1]}'}" in capsys.readouterr().out
    assert {path.name for path in run.glob("seed-*")} == set(SEEDS)
    monkeypatch.setattr(job, "one_seed", None)
    for line in lines:
        assert cli.main(line) == 0  # finished: nothing is done
    monkeypatch.undo()
    monkeypatch.setattr(resume, "finish", lambda *_: None)
    assert cli.main(["resume", str(run), "--quiet"]) == 0
    _, whole = job.start(resolve(overrides=SMALL, seeds=2), root=tmp_path / "w", progress=False)
    found = runs.read_summary(run)
    assert found is not None
    for key in ("test_accuracy", "validation_accuracy"):
        assert found[key] == whole[key]
        assert len(set(found[key]["values"])) == 2
    with pytest.raises(UserError, match="has no seed 7 of its own; it trains 0, 1"):
        job.resume(run, seed=7)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "--rules", "tp", "--cells", "--table"], "no --table, --json or --jobs"),
        (["compare", "--rules", "tp", "--cell", "tp/seed-0", "--jobs", "2"], "no --table"),
        (["compare", "--rules", "tp", "--cells", "--cell", "tp"], "doesn't go with --cells"),
        (["compare", "--rules", "tp", "--cell", "tp/seed-0"], "'tp/seed-0' is no cell"),
        (["compare", "--rules", "tp", "--cell", "tp/seed-3"], "--cells lists them"),
        (["compare", "--rules", "tp", "--tune", "0", "--cells"], "--tune: 0 is not a number"),
        (["compare", "--rules", "tp", "--preset", "fsdd", "--data.path", "no", "--cells"], "no: "),
        (["train", "--cells"], "--cells: needs --seeds"),
        (["train", "--cells", "--seeds", "2", "--json"], "--cells: needs --seeds"),
        (["train", "--cells", "--seeds", "2", "--data.name", "fsdd", "--data.path", "no"], "no: "),
        (["resume", "no", "--seed", "1"], "no: no run directory"),
    ],
)
def test_bad_input_is_told_in_a_line_and_leaves_nothing(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    quiet = ["--quiet"] if words[0] != "resume" else []
    assert cli.main([*words, *quiet]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
