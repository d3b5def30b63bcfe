"""What a training says on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

SATURATED = 0.9
"""Spikes per neuron and step above which a layer's spikes tell little, and it is reported."""


def idle(rate: float) -> str | None:
    """'silent', 'saturated' or None, by spikes per neuron and step."""
    return "silent" if rate == 0 else "saturated" if rate > SATURATED else None


def warn_of_idle_layers(line: Mapping[str, Any], earlier: list[dict[str, Any]]) -> None:
    """Name each layer that has become silent or saturated in this epoch."""
    for layer, rate in line["rates"].items():
        kind = idle(rate)
        if kind and not (earlier and idle(earlier[-1]["rates"][layer]) == kind):
            advice = "lower neuron.threshold" if kind == "silent" else "raise neuron.threshold"
            warn(
                f"{layer} is {kind}: {rate:.2g} spikes per neuron and step in epoch "
                f"{line['epoch']}; if it stays so, {advice} or change model.gain"
            )


def tell(line: Mapping[str, Any], epochs: int) -> None:
    """An epoch's line on standard error, above the progress bar if there is one."""
    validation = line["validation_accuracy"]
    tqdm.write(
        f"epoch {line['epoch']}/{epochs}  loss {line['losses']['readout']:.3f}  "
        f"train {line['train_accuracy']:.1%}"
        + ("" if validation is None else f"  validation {validation:.1%}")
        + f"  {line['seconds']:.0f} s",
        file=sys.stderr,
    )


def left(seconds: float, done: int, rest: int) -> str:
    """The end of a line of progress: how long the ``rest`` will take, where what is ``done`` took
    ``seconds``; empty where nothing is left."""
    if not rest:
        return ""
    about = seconds / max(done, 1) * rest
    units = ((2 * 3600, 3600, "h"), (100, 60, "min"), (0, 1, "s"))
    size, name = next((size, name) for least, size, name in units if about >= least)
    return f"; about {about / size:.0f} {name} left"


def warn(text: str) -> None:
    """One line on standard error, above the progress bar if there is one."""
    tqdm.write(f"synaptrace: warning: {text}", file=sys.stderr)
