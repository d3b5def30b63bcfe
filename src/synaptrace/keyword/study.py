"""Fine-tuning to one user, for many users and seeds: what it gains, what it forgets, what it costs.

What was cut off goes on where it stopped, other cells may join later, and `rows` tells what is
finished at any time. Where everything lies: `plan`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from synaptrace.keyword import tuned
from synaptrace.keyword.adapt import adapt
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.model import measure, prepare
from synaptrace.keyword.plan import Case, Plan, shared
from synaptrace.keyword.sight import load, sight
from synaptrace.keyword.tuned import Cell
from synaptrace.names import printed
from synaptrace.training import job, rehearsal
from synaptrace.training import run as runs
from synaptrace.training.loop import Diverged, fit


def train(plan: Plan, progress: bool = True) -> None:
    """Train and fine-tune what isn't finished, one after the other; what diverges is left out."""
    due = [each for each in product(plan.cases, plan.cells) if summary(plan, *each) is None]
    lost: set[Path] = set()
    for number, (case, cell) in enumerate(due, 1):
        run = plan.trained(case)
        if run in lost:
            continue
        try:
            pretrain(plan, case, progress)
            run = plan.run(case, cell)
            found = once(plan, case, cell)
        except Diverged as error:
            print(f"{number}/{len(due)} {printed(run)}: {error}", file=sys.stderr)
            if run == plan.trained(case):  # so no other cell has a network either
                lost.add(run)
            continue
        if progress:
            before, after = (100 * (found[key]["query"] or 0) for key in ("before", "after"))
            print(
                f"{number}/{len(due)} {printed(case[0])} seed {case[1]} {cell.name}: "
                f"query {before:.1f} % before, {after:.1f} % after",
                file=sys.stderr,
            )


def pretrain(plan: Plan, case: Case, progress: bool) -> None:
    """Train on the other speakers, or go on with it; nothing where that is done."""
    run = plan.trained(case)
    if case in plan.given or runs.read_summary(run) is not None:
        return
    config = plan.settings(case)
    data = load(job.recorded(config, plan.out))
    runs.write_config(run, config.model_dump())
    if progress:
        name = printed(run)
        whom = "the users" if shared(config) else printed(case[0])
        print(f"training without {whom}, seed {case[1]}: {name}", file=sys.stderr)
    net, rule = job.build(config, data)
    found = fit(
        net, rule, data, **config.train, run=run, resume=True, progress=False,
        config=config.model_dump(),
    )  # fmt: skip
    rehearsal.keep(run, data, found, config.train["seed"])


def once(plan: Plan, case: Case, cell: Cell, run: Path | None = None) -> dict[str, Any]:
    """Fine-tune one network in its directory, or go on with it, and measure it before and after.

    Args:
        run: the directory; None: as `Plan.run` names it.
    """
    speaker, seed = case
    run = plan.run(case, cell) if run is None else run
    base, config = plan.trained(case), plan.settings(case, word=True)
    sees = sight(plan, case, cell)
    seen, rows, parts = sees.seen, sees.rows, sees.parts
    net, rule = prepare(plan, case, cell, seen)
    before = measure(net, seen, parts)
    tuned.write(
        run, base, cell=cell, seed=seed, speaker=speaker, word=plan.word, judge=plan.judge,
        data_path=plan.data_path,
    )  # fmt: skip
    done = adapt(
        net, rule, seen, rows, batch_size=cell.batch, epochs=cell.epochs, lr=cell.lr,
        update=config.train["update"], keep=Keep.parse(cell.keep), buffer=sees.buffer,
        precision=cell.precision, seed=seed, run=run, config=config.model_dump(),
    )  # fmt: skip
    found = {
        "speaker": speaker, "seed": seed, **vars(cell), "word": plan.word, "judge": plan.judge,
        "samples": len(rows), "words": len(set(seen.labels[rows].tolist())),
        "sizes": {part: len(some) for part, some in parts.items()},
        "before": before, "after": measure(net, seen, parts), **done,
    }  # fmt: skip
    runs.write_summary(run, found)
    (run / runs.LAST).unlink(missing_ok=True)  # the picked weights are written; it needs no more
    return found


def summary(plan: Plan, case: Case, cell: Cell) -> dict[str, Any] | None:
    """What came of one fine-tuning, and its directory; None before its end."""
    run = plan.run(case, cell)
    found = runs.read_summary(run)
    return None if found is None else {"run": str(run), **found}


def rows(plan: Plan) -> Iterator[tuple[Cell, list[dict[str, Any]]]]:
    """Each cell, and what is finished of it."""
    for cell in plan.cells:
        found = (summary(plan, case, cell) for case in plan.cases)
        yield cell, [each for each in found if each is not None]
