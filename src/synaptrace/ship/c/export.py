"""The export to C: a folder of plain files that builds with one `make`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from synaptrace import __version__
from synaptrace.data.audio.features import Features
from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.keyword import reopen, tuned
from synaptrace.network import Network
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship import Options
from synaptrace.ship.c import (
    accuracy,
    count,
    decision,
    fixed,
    folder,
    front_end,
    learning_fixed,
    numbers,
    plan,
    readme,
    rehearsal,
    source,
    vectors,
)
from synaptrace.training import job
from synaptrace.training import rehearsal as kept_sound
from synaptrace.training import run as runs
from synaptrace.training.telling import warn

FILES = ("infer.c", "main.c", "test.c", "clock.h", "Makefile", "arm/startup.c", "arm/mps2.ld")
"""What every export has as it stands."""


def find_data(trained: job.Trained) -> Dataset:
    """The data that the network was trained on, or tuned to; where they aren't at hand, what was
    kept of them with the run, without a test set; told in one line.

    Raises:
        UserError: they can't be read, and nothing was kept.
    """
    try:
        return reopen.load_data(trained)
    except UserError as error:
        kept = next(filter(None, map(kept_sound.read, tuned.chain(trained.run))), None)
        if kept is None:
            raise
        warn(f"{error}; the {len(kept.labels)} utterances kept with the run stand in, untested")
        return kept


def export(trained: job.Trained, out: Path, options: Options) -> str:
    """Write the folder ``out``; returns its tables of bytes and accuracy.

    Raises:
        UserError: a network, a rule or an option that has no form in C; data that can't be read;
            ``out`` exists and is no export, or can't be written.
    """
    options.accept("c", "learn", "precision", "front_end", "decide", "rehearse")
    folder.check(out)
    net, learner = trained.net, None
    if options.learn is not None:
        net, learner = runs.load(options.source, rule=True)
    elif options.rehearse is not None:
        raise UserError("--rehearse: needs --learn")
    net.float()
    for layer in (*net.layers, net.readout):
        layer.compute = None  # products in bfloat16 are float32's in C
    made = plan.plan(net, learner, options.learn, options.precision)
    rule = learner.float() if isinstance(learner, TracesPropagation) else None
    ears = front_end.find(trained.features) if options.front_end else None
    if options.decide and ears is None:
        raise UserError("--decide: needs --front-end")
    judge = decision.judge(trained) if options.decide else None
    dataset = find_data(trained)
    kept = None if options.rehearse is None else rehearsal.choose(dataset, options.rehearse)
    some = vectors.choose(dataset)
    steps = dataset.meta.steps or len(some.events[0])
    whole: fixed.Fixed | None = None
    if made.precision == "float32":
        has = numbers.floating(net, source.text("types_float.h"))
    else:
        whole = fixed.fix(net, made, fixed.calibrate(dataset), steps)
        has = whole.numbers(fixed.types(whole, made))
    decides = None
    if judge is not None and ears is not None:
        decides = decision.find(judge, net, ears, whole)
    tested = accuracy.test(net, whole, dataset, accuracy.sets(trained), made.precision)

    about = {
        "name": trained.config.name, "source": trained.run.resolve().name, "version": __version__,
        "steps": steps,
    }  # fmt: skip
    seconds = float(trained.config.data.get("seconds") or 1.0)
    heads, tables, names = parts(net, made, rule, kept, ears, seconds, whole, decides)
    files = {name: source.text(name) for name in [*FILES, *names]}
    files["model.h"] = source.header(made, has, about, heads)
    files["model.c"] = source.constants(
        net, made, has, trained.config.name, trained.classes, tables
    )  # fmt: skip
    files["test_vectors.h"] = vectors.header(net, rule, made, some, whole)
    if ears is not None:
        files["test_vectors.h"] += front_end.vectors(ears)
    size = count.count(
        made, ears, 0 if kept is None else kept.size, None if decides is None else decides.size
    )  # fmt: skip
    found = {
        **about, "learn": options.learn, "precision": options.precision,
        "accuracy": tested[0].accuracy, "tested": [asdict(each) for each in tested], "bytes": size,
    }  # fmt: skip
    files["README.md"] = readme.text(made, size, about, tested, options)
    files[folder.MARK] = json.dumps(found, indent=2) + "\n"
    folder.write(out, files)
    return readme.terminal(out, size, tested)


def parts(
    net: Network, made: plan.Plan, rule: TracesPropagation | None,
    kept: rehearsal.Stored | None, ears: Features | None, seconds: float,
    whole: fixed.Fixed | None = None, decides: decision.Decision | None = None,
) -> tuple[list[str], list[str], list[str]]:  # fmt: skip
    """What a program has beyond inference: its parts of model.h and of model.c, and its files.

    Args:
        rule: learns; None: nothing does.
        kept: what is rehearsed.
        ears: the front end, of clips of ``seconds``.
        whole: the network in whole numbers, if it is exported so.
        decides: how sure the words of a stream are.
    """
    heads, tables, names = [], [], []
    if rule is not None:
        names += ["learn.h", "learn_parts.h", "learn.c", "blob.c"]
        if whole is None:
            heads.append(source.learning(net, rule, made))
            tables.append(source.target_tables(net, rule, made))
            names.append("errors.c")
        else:
            learns = learning_fixed.learning(net, rule, made, whole)
            differs = learning_fixed.constants(learns, whole)
            heads.append(source.learning(net, rule, made, differs))
            tables.append(learning_fixed.target_tables(learns, whole, made))
            names.append("errors_fixed.c")
    if kept is not None:
        heads.append(kept.header)
        tables.append(kept.constants)
        names += ["rehearse.h", "rehearse.c"]
    if ears is not None:
        heads.append(front_end.header(ears, seconds))
        tables.append(front_end.constants(ears))
        names += ["features.h", "features.c"]
    if decides is not None:
        heads.append(decides.header)
        tables.append(decides.constants(net.classes))
        names += ["decide.h", "decide.c"]
    return heads, tables, names
