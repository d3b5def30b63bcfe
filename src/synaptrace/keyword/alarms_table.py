"""The curve of false rejections over false alarms, as a picture, a table and lines."""

from __future__ import annotations

from pathlib import Path

from synaptrace.drawing import COLOURS, figure, name_ends, save
from synaptrace.keyword.alarms import Curve, said_rate
from synaptrace.text_table import shown

PICTURE, TABLE = "alarms.png", "alarms.csv"
RATES = (600.0, 300.0, 60.0, 10.0, 1.0)
"""False alarms an hour of which a line tells."""


def as_csv(curve: Curve) -> str:
    """A line for each confidence at which something changes."""
    lines = ["confidence,false_alarms_per_hour,false_rejections"]
    lines += [f"{c:.4f},{rate:.4f},{share:.6f}" for c, rate, share in curve.rows()]
    return "\n".join(lines) + "\n"


def lines(curve: Curve, confidence: float) -> list[str]:
    """What a person reads: at ``confidence``, and at some rates of false alarms."""
    found = [
        f"words             {len(curve.words)}",
        f"strange           {len(curve.alarms)} reports in {curve.hours:.2f} h",
        "",
    ]
    rows = [["confidence", "rejected %", "false alarms"]]
    levels = [confidence]
    levels += [curve.confidence(rate) for rate in RATES if rate * curve.hours >= 1]
    levels.append(curve.confidence(0.0))
    for level in dict.fromkeys(levels):
        share = 100 * curve.rejected_at(level)
        alarms = said_rate(curve.alarms_at(level), curve.hours)
        mark = ["(as it listens)"] if level == confidence else []
        rows.append([f"{level:.4f}", f"{share:.1f}", alarms, *mark])
    return [*found, shown(rows)]


def draw(curves: dict[str, Curve], path: Path) -> Path:
    """False rejections over false alarms an hour, a line for each of ``curves``.

    Raises:
        UserError: it can't be drawn or written.
    """
    picture = figure(7.5, 4)
    axis = picture.subplots()
    for hours in {curve.hours for curve in curves.values() if curve.hours}:
        axis.axvline(3 / hours, color="grey", linestyle=":", linewidth=0.8)
    named = {}
    for (name, curve), colour in zip(curves.items(), COLOURS, strict=False):
        rows = [(rate, 100 * share) for _, rate, share in curve.rows()]
        rates, shares = zip(*rows, strict=True)
        named[f"{name}: {len(curve.words)} words, {curve.hours:.2f} h"] = rates, shares
        axis.plot(rates, shares, drawstyle="steps-pre", color=colour)
    axis.set_xscale("symlog", linthresh=1)
    axis.set(xlabel="false alarms an hour (dotted: what the hours can't resolve)",
             ylabel="words rejected or mistaken [%]", xlim=(0, None), ylim=(0, 100))  # fmt: skip
    axis.grid(alpha=0.3)
    name_ends(axis, named)
    return save(picture, path)
