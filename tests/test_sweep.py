"""Sweeps, crossings and budgets of memory: against the count itself."""

import csv
import json
from pathlib import Path

import pytest

import synaptrace as st
from synaptrace import cli
from synaptrace.compare.rule_variants import Contender, contender
from synaptrace.cost import axes, budget, count
from synaptrace.cost.workload import Workload

WHERE = Workload(st.mlp(30, [20], 4).spec, batch=8, steps=10)
WORDS = ["memory", "--input", "30", "--classes", "4", "--steps", "10", "--batch", "8"]
WORDS += ["--model.hidden", "[20]"]


@pytest.mark.parametrize("axis", axes.GRIDS)
def test_a_crossing_is_where_the_smaller_one_changes(axis: str) -> None:
    tp = contender("tp")
    rivals = [contender(label) for label in ("bptt", "eprop", "tess", "ell", "ostl")]
    curves, crossed = axes.sweep(WHERE, axis, [tp, *rivals], tp)
    assert all(len(curve) == len(axes.GRIDS[axis]) for curve in curves.values())
    assert crossed or axis in ("T", "depth", "width")
    for each in crossed:
        one = contender(each.rule)
        for value, after in ((each.at - 1, False), (each.at, True)):
            where = axes.workload_at(WHERE, axis, value)
            ahead = (
                axes.quantities(where, tp)[each.quantity]
                < axes.quantities(where, one)[each.quantity]
            )
            assert (ahead == (each.smaller == "tp")) == after


def test_only_bptt_rises_along_time() -> None:
    rules = [contender(label) for label in ("tp", "bptt", "ottt")]
    curves, _ = axes.sweep(WHERE, "T", rules, rules[0])
    for rule, curve in curves.items():
        assert (len({point["own"] for point in curve}) > 1) == (rule == "bptt")


def test_the_command_leaves_a_picture_and_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "--sweep", "classes", "--rules", "bptt,ell", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "memory-classes-crossings.csv").read_text()
    assert (tmp_path / "memory-classes.png").stat().st_size > 10_000
    with (tmp_path / "memory-classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["rule"] for row in rows} == {"tp", "bptt", "ell"}
    assert len(rows) == 3 * len(axes.GRIDS["classes"])


def bytes_of(where: Workload, one: Contender, form: str) -> float:
    return budget.bytes_of(count.count(where.spec, one, where.batch, where.steps), form)


@pytest.mark.parametrize("label", ["tp", "bptt", "eprop", "tp:contrast=class", "readout-only"])
def test_what_fits_fits_and_one_more_does_not(label: str) -> None:
    one, size = contender(label), 40_000
    found = budget.fit(WHERE, one, size)
    for form in budget.FORMS:
        largest = found.batch[form]
        inside, outside = (axes.workload_at(WHERE, "batch", largest + n) for n in (0, 1))
        assert bytes_of(inside, one, form) <= size < bytes_of(outside, one, form)
        least = axes.workload_at(WHERE, "batch", 2 if label == "tp" else 1)
        inside, outside = (axes.workload_at(least, "width", found.hidden[form] + n) for n in (0, 1))
        assert bytes_of(inside, one, form) <= size < bytes_of(outside, one, form)
    assert found.batch["SGD, 16 bit"] > found.batch["SGD, 32 bit"] >= found.batch["Adam, 32 bit"]
    assert set(budget.fit(WHERE, one, 100).batch.values()) == {0}


def test_the_command_says_what_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*WORDS, "--budget", "1KiB", "--rules", "tp"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[:4] == ["tp", "-", "-", "-"]
    assert cli.main([*WORDS, "--budget", "64KiB", "--rules", "tp", "--json"]) == 0
    (fit,) = json.loads(capsys.readouterr().out)
    assert fit["batch"]["Adam, 32 bit"] > 2
    assert cli.main([*WORDS, "--budget", "99999GiB", "--rules", "tp"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[1] == "≥1048576"


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1.5MiB", 1572864), ("100", 100), ("2 kB", 2000)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert budget.parse(text) == size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "64 apples"], "--budget: '64 apples'"),
        (["--budget", ""], "--budget: ''"),
        (["--sweep", "hope"], "--sweep: 'hope'"),
        (["--sweep", ""], "--sweep: ''"),
        (["--sweep", "T", "--process"], "--process: doesn't go with --sweep"),
        (["--cost", "0.1", "--counted"], "--counted: doesn't go with --cost"),
    ],
)
def test_bad_input_is_named_in_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*WORDS, *words]) == 2
    assert message in capsys.readouterr().err
