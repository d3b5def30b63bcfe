"""The report of a fine-tuning of many users: what each gained, and the network of one of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaptrace.config import Config, check
from synaptrace.errors import UserError
from synaptrace.keyword import table, tunings
from synaptrace.keyword.plan import ABOUT, cells
from synaptrace.keyword.table import Row
from synaptrace.keyword.tuned import Cell
from synaptrace.keyword.tunings import Tunings
from synaptrace.report import charts, facts, network, tuned
from synaptrace.report.page import Chart, Part, Section, Table, Text
from synaptrace.sections import SAID
from synaptrace.training import run as runs
from synaptrace.training import schema

USERS = {"query": "each user's query", "general": "what the network was tested on before"}


def sections(out: Path, sample: int, data_path: str | None) -> list[Section]:
    """The tabs. Raises UserError where its files can't be read."""
    found = tunings.read(out)
    rows = tunings.rows(found)
    config, word = settings(out)
    looked, trained = [], None
    done = [row for row in rows if row[1]]
    if done:
        first = next((row for row in done if not row[0].alone), done[0])
        one = first[1][0]
        run = Path(one["run"])
        whose = f"Of {one['speaker']}, seed {one['seed']}, {table.label(first[0])}"
        looked = [
            tuned.spent(each, one) for each in network.sections(run, sample, data_path, whose)
        ]
        trained = runs.read_summary((run / found[run].base).resolve())
    title = "Settings of the training before, that differ from the preset"
    return [
        Section("Outcome", [*outcome(done), *(facts.settings(config, title) if config else [])]),
        Section("Users", users(done)),
        *looked,
        facts.environment(trained),
        Section("Repeat", repeat(out, found, config, word)),
    ]


def settings(out: Path) -> tuple[Config | None, str | None]:
    """The settings of the training before and the new word, where the study trained itself."""
    if not (out / ABOUT).is_file():
        return None, None
    found = schema.read(schema.Study, out / ABOUT)
    layers = found["settings"]
    return check(layers["name"], {key: layers[key] for key in SAID}, 1), found["word"]


def outcome(rows: Sequence[Row]) -> list[Part]:
    """The table of the study, and its accuracies."""
    if not rows:
        return [Text("No fine-tuning is finished yet.")]
    before = table.values(next((r for r in rows if not r[0].alone), rows[0])[1], "before", "query")
    named = {"before": before} | {
        name: values
        for (cell, found), name in zip(rows, names(rows), strict=True)
        if (values := table.values(found, "after", "query"))
    }
    note = "A line a user and seed, as fine-tuning stored it; the ring is their mean."
    named = {name: values for name, values in named.items() if values}
    dots = [charts.dots("Query accuracy after fine-tuning", named, "%", note)] if named else []
    return [*dots, Table([table.COLUMNS, *map(table.cells, rows)], "Each way of fine-tuning")]


def names(rows: Sequence[Row]) -> list[str]:
    """What tells the cells apart, in words that are as short as they can be."""
    every = [table.label(cell).split(", ") for cell, _ in rows]
    alike = set.intersection(*map(set, every))
    short = [", ".join(word for word in words if word not in alike) or words[0] for words in every]
    return short if len(set(short)) == len(short) else [f"cell {n}" for n, _ in enumerate(short, 1)]


def users(rows: Sequence[Row]) -> list[Part]:
    """Each user's accuracy, the mean over seeds; of the first way of fine-tuning as a chart."""
    parts: list[Part] = []
    for part, name in USERS.items():
        made = table.users(rows, part)
        if len(made) > 2:
            turned = [list(column) for column in zip(*made, strict=True)]  # a user a line
            parts.append(Table([["user", *turned[0][1:]], *turned[1:]], f"Accuracy % on {name}"))
    first = next((row for row in rows if not row[0].alone), None)
    return [*(gain(*first) if first else []), *parts]


def gain(cell: Cell, found: Sequence[dict[str, Any]]) -> list[Chart]:
    """What each user gained by one way of fine-tuning, a point a seed."""
    known = {
        name: table.gains([each for each in found if each["speaker"] == name], "query")
        for name in sorted({each["speaker"] for each in found})
    }
    known = {name: points for name, points in known.items() if points}
    if not known:
        return []
    title, note = (
        f"Gain of each user, {table.label(cell)}",
        "A line a seed; the ring is their mean.",
    )
    return [charts.dots(title, known, "points", note)]


def repeat(out: Path, found: Tunings, config: Config | None, word: str | None) -> list[Part]:
    """The commands, a line each."""
    if not found:
        return [Text(f"No fine-tuning has begun; {out / ABOUT} has the settings.")]
    try:
        before = trained_before(out, found, config, word)
    except UserError as error:
        return [Text(f"No options alone say all of it: {error}; {out / ABOUT} has the settings.")]
    return [
        Text("\n".join(facts.command([*before, *own]) for own in commands(found)), code=True),
        Text("What is finished already isn't done again."),
    ]


def trained_before(out: Path, found: Tunings, config: Config | None, word: str | None) -> list[str]:
    """The command as far as all cells share it. Raises UserError where no options say it."""
    records = list(found.values())
    one = records[0]
    speakers = ["--speaker", ",".join(dict.fromkeys(map(tunings.who, records)))]
    whose = ["--words", one.words] if one.words else speakers
    here = ["--out", str(out)] if next(iter(found)).is_relative_to(out) else []
    if config is None:
        bases = dict.fromkeys(os.path.normpath(run / record.base) for run, record in found.items())
        moved = ["--data.path", one.data_path] if one.data_path else []
        return ["finetune", *bases, *whose, *moved, *here]
    words = facts.train_words(config)
    if words is None:
        raise UserError("the settings of the training before are none that options give")
    seeds = ["--seeds", str(len({record.seed for record in records}))]
    return ["finetune", *words, *whose, *(["--word", word] if word else []), *seeds, *here]


def commands(found: Tunings) -> list[list[str]]:
    """The options of each way of fine-tuning, or of all at once where they are every combination
    of what each option was."""
    made = dict.fromkeys(record.cell for record in found.values())
    judge = next(iter(found.values())).judge
    judged = ["--judge", judge] if judge != "query" else []
    plain = [cell for cell in made if not cell.alone] or [Cell(None, 1, None)]
    first = plain[0]
    whole = cells(
        list(dict.fromkeys(cell.shots for cell in plain)),
        list(dict.fromkeys(cell.batch for cell in plain)),
        list(dict.fromkeys(cell.contrast for cell in plain)),
        list(dict.fromkeys(cell.keep for cell in plain)),
        lr=first.lr, epochs=first.epochs, alone=any(cell.alone for cell in made),
        precision=first.precision,
    )  # fmt: skip
    if set(whole) == set(made):
        return [[*tuned.options(whole), *judged]]
    return [[*tuned.options([cell]), *judged] for cell in made]  # --alone brings its own cell too
