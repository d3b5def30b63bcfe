"""The export to C: a folder of plain files that builds with one `make`."""

from __future__ import annotations

import json
from pathlib import Path

from synaptrace import __version__
from synaptrace.keyword import reopen
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship import Options
from synaptrace.ship.c import (
    count,
    fixed,
    folder,
    front_end,
    numbers,
    plan,
    readme,
    source,
    vectors,
)
from synaptrace.training import evaluate, job
from synaptrace.training import run as runs

FILES = ("infer.c", "main.c", "test.c", "clock.h", "Makefile", "arm/startup.c", "arm/mps2.ld")
"""What every export has as it stands."""


def export(trained: job.Trained, out: Path, options: Options) -> str:
    """Write the folder ``out``; returns its tables of bytes and accuracy.

    Raises:
        UserError: a network, a rule or an option that has no form in C; data that can't be read;
            ``out`` exists and is no export, or can't be written.
    """
    options.accept("c", "learn", "precision", "front_end")
    folder.check(out)
    net: Network = trained.net
    learner: Rule | None = None
    if options.learn is not None:
        net, learner = runs.load(options.source, rule=True)
    net.float()
    made = plan.plan(net, learner, options.learn, options.precision)
    rule = learner.float() if isinstance(learner, TracesPropagation) else None
    dataset = reopen.load_data(trained)
    some = vectors.choose(dataset)
    steps = dataset.meta.steps or len(some.events[0])
    about = {
        "name": trained.config.name, "source": str(trained.run), "version": __version__,
        "steps": steps,
    }  # fmt: skip
    accuracy = {"float32": evaluate.evaluate(net, dataset.batches("test")).accuracy}
    whole: fixed.Fixed | None = None
    if made.precision == "float32":
        has = numbers.floating(net, source.text("types_float.h"))
    else:
        whole = fixed.fix(net, made, fixed.calibrate(dataset), steps)
        has = whole.numbers(fixed.types(whole, made))
        accuracy[made.precision] = fixed.accuracy(whole, dataset.batches("test"))
    ears = front_end.find(trained.features) if options.front_end else None
    seconds = float(trained.config.data.get("seconds") or 1.0)
    hears = ("", "") if ears is None else (
        front_end.header(ears, seconds), front_end.constants(ears)
    )  # fmt: skip
    name, classes = trained.config.name, trained.classes
    files = {
        "model.h": source.header(net, rule, made, has, about, hears[0]),
        "model.c": source.constants(net, rule, made, has, name, classes, hears[1]),
        "test_vectors.h": vectors.header(net, rule, made, some, whole),
    }
    for name in FILES:
        files[name] = source.text(name)
    if rule is not None:
        files |= {name: source.text(name) for name in ("learn.h", "learn.c")}
    if ears is not None:
        files |= {name: source.text(name) for name in ("features.h", "features.c")}
        files["test_vectors.h"] += front_end.vectors(ears)
    size = count.count(made, ears)
    found = {
        **about, "plan": options.learn, "precision": options.precision, "accuracy": accuracy,
        "bytes": size,
    }  # fmt: skip
    files["README.md"] = readme.text(made, size, about, accuracy, options)
    files[folder.MARK] = json.dumps(found, indent=2) + "\n"
    folder.write(out, files)
    return readme.terminal(out, size, accuracy)
