"""What a comparison can tell: updates, rules that still rise, paired tests over seeds."""

from typing import Any

import pytest
from scipy import stats

from synaptrace.compare import judge, table


def row(
    rule: str, tests: list[float], curve: list[float] | None = None, **more: Any
) -> dict[str, Any]:
    outcomes = [
        {"seed": seed, "test_accuracy_last": test, "validation_accuracy": None,
         "spikes_per_inference": None}
        for seed, test in enumerate(tests)
    ]  # fmt: skip
    return {
        "rule": rule, "lr": 1e-3, "complete": True, "diverged": [], "outcomes": outcomes,
        "seconds_per_epoch": 1.0, "rise": judge.rise([curve] if curve else []), **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("update", "count"), [("sequence", 30), ("step", 750), (10, 90), (25, 30), (100, 30)]
)
def test_updates_of_a_schedule(update: str | int, count: int) -> None:
    assert judge.updates(90, 32, 25, update, epochs=10) == count


def test_who_is_still_rising_is_named_with_what_it_would_need() -> None:
    flat = [0.7, 0.88, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    slow = [0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7]
    rows = [row("fast", [0.9], flat, updates=800), row("slow", [0.7], slow, updates=198)]
    notes = {cells[0]: cells[-1] for cells in table.ordered(rows)}
    assert notes["fast"] == ""
    # 10 points in two of eight epochs; 20 in the last doubling and 20 to go: one doubling more.
    assert notes["slow"] == (
        "still rising: +10.0 points in the last quarter, 198 updates; about 396 to reach fast at "
        "the pace of its last doubling"
    )
    rows[1]["updates"] = None
    assert table.ordered(rows)[1][-1] == "still rising: +10.0 points in the last quarter"
    crawl = [0.1] * 7 + [0.11]
    assert "more than 640 to reach" in judge.hint(row("crawl", [], crawl, updates=10), rows)
    assert judge.rise([[0.5]]) == judge.rise([]) == {}


def test_pairs_are_tested_over_seeds() -> None:
    best, near, far = [0.90, 0.92, 0.91], [0.91, 0.91, 0.90], [0.70, 0.73, 0.71]
    found = judge.pairs([row("far", far), row("best", best), row("near", near)])
    assert [each["rule"] for each in found] == ["near", "far"]
    raw = [float(stats.ttest_rel(own, best).pvalue) for own in (near, far)]
    assert found[1]["p"] == pytest.approx(2 * raw[1])  # Holm: the smaller of two
    assert found[0]["p"] == pytest.approx(max(raw[0], 2 * raw[1]))
    assert [each["verdict"] for each in found] == ["can't tell", "worse"]
    assert judge.lines(found)[0][0] == "against best"


def test_few_seeds_cant_tell() -> None:
    found = judge.pairs([row("a", [0.9, 0.9]), row("b", [0.1, 0.2])])
    assert found[0]["p"] is None
    assert found[0]["verdict"] == "can't tell: 2 seeds"
    alike = judge.pairs([row("a", [0.5, 0.6, 0.7]), row("b", [0.4, 0.5, 0.6])])
    assert alike[0]["verdict"] == "can't tell: all seeds differ alike"
    assert judge.pairs([row("a", [0.9])]) == judge.pairs([row("a", [0.9]), row("b", [])]) == []
