"""Energy of the processor packages by RAPL, where Linux lets it be read."""

from __future__ import annotations

import time
from pathlib import Path

from synaptrace.cost.process import Job

POWERCAP = Path("/sys/class/powercap")


def counters(folder: Path = POWERCAP) -> list[tuple[int, int]] | None:
    """(energy, range) of each package in microjoules; None where none can be read."""
    try:
        return [
            (number(each / "energy_uj"), number(each / "max_energy_range_uj"))
            for each in sorted(folder.glob("intel-rapl:[0-9]*"))
            if each.name.count(":") == 1  # a package; its parts are counted in it
        ] or None
    except (OSError, ValueError):
        return None


def number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


def joules(job: Job, seconds: float = 1.0, folder: Path = POWERCAP) -> float | None:
    """Of all packages for one ``job``, whatever else runs there included; None where it can't be
    read. The job is repeated for at least so many ``seconds``."""
    before = counters(folder)
    if before is None:
        return None
    times, began = 0, time.perf_counter()
    while not times or time.perf_counter() - began < seconds:
        job()
        times += 1
    after = counters(folder)
    if after is None or len(after) != len(before):
        return None
    used = ((now - then) % most for (now, _), (then, most) in zip(after, before, strict=True))
    return sum(used) / 1e6 / times
