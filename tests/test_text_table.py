"""Tables: tabs on a pipe; on a terminal, columns beneath one another that fit its width."""

import sys

import pytest

from synaptrace import text_table

HEAD = ["rule", "test %", "lr", "note"]
ROWS = [HEAD, ["tp", "98.59", "3e-03", ""], ["readout-only", "7.10", "", "far below, " * 9]]


def test_on_a_pipe_nothing_is_aligned() -> None:
    assert text_table.shown(ROWS) == text_table.tabbed(ROWS)


def test_on_a_terminal_columns_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    lines = text_table.shown(ROWS).splitlines()
    assert lines[0].split() == ["rule", "test", "%", "lr", "note"]
    assert lines[2].index("98.59") + 5 == lines[3].index("7.10") + 4  # numbers end together
    assert "\t" not in "".join(lines)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("width", [40, 60, 100, 200])
@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("keys", [1, 2])
def test_what_is_wide_folds_and_loses_nothing(width: int, head: bool, keys: int) -> None:
    names = [f"column {n}" for n in range(30)]
    rows = [["rule", "kind", *names]]
    rows += [[f"rule{r}", "counted", *(f"{r}.{n:03}" for n in range(30))] for r in range(3)]
    text = text_table.aligned(rows, width, keys=keys, head=head)
    assert max(map(len, text.splitlines())) <= width
    sections = text.split("\n\n")
    assert all(text.count(f"rule{r}") == len(sections) for r in range(3))
    for row in rows[1:]:
        assert all(text.split().count(cell) == 1 for cell in row[2:])
    if head:
        assert " ".join(text.split()).count("column") == 30


def test_a_cell_cant_steer_the_terminal() -> None:
    text = text_table.aligned([["name"], ["a\x1b[31m[bold]b[/bold]\tc"]], 80)
    assert "a\\x1b[31m[bold]b[/bold]\\tc" in text


def test_long_text_goes_on_below_whole() -> None:
    word = "x" * 300
    text = text_table.aligned([["key", "meaning"], ["k", f"{word} end"], ["l" * 90, "z"]], 60)
    assert sum(line.count("x") for line in text.splitlines()) == 300
    assert sum(line.count("l") for line in text.splitlines()) == 90
    assert max(map(len, text.splitlines())) <= 60


def test_cells_are_one_line_wherever_they_go() -> None:
    rows = [["name", "of"], ["a|b\tc", "d\ne\x1b[31m"]]
    assert text_table.tabbed(rows).splitlines()[1].split("\t") == ["a|b\\tc", "d\\ne\\x1b[31m"]
    assert text_table.markdown(rows).splitlines()[2] == "| a\\|b\\tc | d\\ne\\x1b[31m |"
