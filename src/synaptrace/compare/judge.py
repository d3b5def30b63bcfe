"""What a comparison can tell: who had too few updates, and which differences aren't the seeds'."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

RISING = 1.0
"""Points of accuracy in the last quarter of the epochs from which a rule is still rising."""
MOST = 64
"""Times as many updates beyond which nobody should extrapolate."""
FEW = 3
"""Seeds below which no paired test is made."""
LEVEL = 0.05


def updates(samples: int, batch: int, steps: int, update: str | int, epochs: int) -> int:
    """Optimizer steps of a training: one a sequence, a step, or every so many steps."""
    every = steps if update == "sequence" else 1 if update == "step" else int(update)
    return epochs * math.ceil(samples / batch) * math.ceil(steps / every)


def rise(curves: Sequence[Sequence[float]]) -> dict[str, float]:
    """By how many points accuracy rose in the last quarter, and the last half, of the epochs.

    Args:
        curves: of each seed, a share of 1 an epoch, all of as many epochs; the mean over seeds
            is taken. Fewer than two epochs tell nothing: empty.
    """
    if not curves or len(curves[0]) < 2:
        return {}
    mean = [100 * statistics.fmean(values) for values in zip(*curves, strict=True)]
    quarter, half = (max(1, round(share * len(mean))) for share in (0.25, 0.5))
    return {
        "last_quarter": mean[-1] - mean[-1 - quarter],
        "last_half": mean[-1] - mean[max(len(mean) - 1 - half, 0)],
        "reached": mean[-1],
    }


def hint(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """A note on a rule that was still rising; empty for one that wasn't, or isn't known.

    How many updates it would need is where it meets the best of ``rows``, if each doubling of its
    updates gained what the last one did: a straight line over the logarithm of updates.
    """
    own = row.get("rise") or {}
    if own.get("last_quarter", 0.0) < RISING:
        return ""
    count = row.get("updates")
    told = f"still rising: {own['last_quarter']:+.1f} points in the last quarter"
    told += "" if count is None else f", {count} updates"
    known = [(each["rise"]["reached"], each["rule"]) for each in rows if each.get("rise")]
    best, name = max(known)
    gap, pace = best - own["reached"], own["last_half"]
    if count is None or gap <= 0 or pace <= 0:
        return told
    times = 2 ** min(gap / pace, 99)
    needed = f"more than {MOST * count}" if times > MOST else f"about {math.ceil(times * count)}"
    return f"{told}; {needed} to reach {name} at the pace of its last doubling"


def pairs(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each rule against the best one over the seeds that both have, in points of test accuracy.

    A paired t-test of the last epoch's test accuracies, two-sided; p is Holm's, corrected for as
    many rules as are tested. Fewer than `FEW` seeds, or none of them different, can't tell.
    """
    scored = {row["rule"]: by_seed(row) for row in rows}
    scored = {rule: found for rule, found in scored.items() if found}
    if len(scored) < 2:
        return []
    best = max(scored, key=lambda rule: statistics.fmean(scored[rule].values()))
    made = []
    for rule, own in scored.items():
        seeds = sorted(own.keys() & scored[best].keys())
        off = [own[seed] - scored[best][seed] for seed in seeds]
        if rule != best and off:
            made.append({
                "rule": rule, "against": best, "seeds": len(off),
                "points": statistics.fmean(off),
                "sd": statistics.stdev(off) if len(off) > 1 else None, "p": paired(off),
            })  # fmt: skip
    tested = sorted((each for each in made if each["p"] is not None), key=lambda each: each["p"])
    least = 0.0
    for place, each in enumerate(tested):  # Holm: the smallest times all, the next times one fewer
        least = each["p"] = max(least, min(1.0, each["p"] * (len(tested) - place)))
    for each in made:
        each["verdict"] = verdict(each)
    return sorted(made, key=lambda each: -each["points"])


def by_seed(row: dict[str, Any]) -> dict[int, float]:
    """Test accuracy at the last epoch, in per cent, of each seed."""
    return {
        each["seed"]: 100 * each["test_accuracy_last"]
        for each in row["outcomes"]
        if "seed" in each and each["test_accuracy_last"] is not None
    }


def paired(off: Sequence[float]) -> float | None:
    """The two-sided p of a paired t-test on differences; None where it can't be made."""
    if len(off) < FEW or statistics.pstdev(off) < 1e-9:
        return None
    from scipy import stats

    return float(stats.ttest_1samp(off, 0.0).pvalue)


def verdict(pair: dict[str, Any]) -> str:
    """What the test says, in words."""
    if pair["p"] is None:
        few = pair["seeds"] < FEW
        return f"can't tell: {pair['seeds']} seeds" if few else "can't tell: all seeds differ alike"
    return "worse" if pair["p"] < LEVEL else "can't tell"


def lines(found: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The pairs as rows of a table, the head first."""
    head = ["against " + found[0]["against"], "points", "± s.d.", "seeds", "p", "verdict"]
    return [head] + [
        [
            each["rule"], f"{each['points']:+.2f}",
            "" if each["sd"] is None else f"{each['sd']:.2f}", str(each["seeds"]),
            "" if each["p"] is None else f"{each['p']:.3f}", each["verdict"],
        ]
        for each in found
    ]  # fmt: skip
