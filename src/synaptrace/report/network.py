"""A trained network looked at: confusion, one sample's spikes, traces in a plane, memory, cost.

The test set is never read: all is of validation samples, of training samples where there are none.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

import torch

from synaptrace.compare.rule_variants import contender
from synaptrace.cost import count, energy
from synaptrace.cost.profiling import PURPOSES
from synaptrace.cost.workload import Workload
from synaptrace.data.dataset import Dataset
from synaptrace.drawing import LINES
from synaptrace.errors import UserError
from synaptrace.keyword import reopen
from synaptrace.plots.classes import plane
from synaptrace.plots.sample import labelled, shown_split
from synaptrace.report import charts
from synaptrace.report.facts import written
from synaptrace.report.page import Part, Section, Table, Text
from synaptrace.training import job
from synaptrace.training.evaluate import Score, evaluate


def sections(run: Path, sample: int, data_path: str | None, whose: str = "") -> list[Section]:
    """All that a trained network shows; where its data can't be read, why.

    Args:
        sample: the number of the sample whose spikes are drawn.
        data_path: where the data are now, if they have moved.
        whose: which of several networks it is, in words.

    Raises:
        UserError: the checkpoint can't be read; there is no such sample.
    """
    trained = job.trained(run, data_path)
    try:
        data = reopen.load_data(trained)
    except UserError as error:
        why = f"Nothing that needs the data is shown: {error} (--data.path DIR says where they are)"
        return [Section("Network", [Text(whose), Text(why)] if whose else [Text(why)])]
    split = shown_split(data.meta)
    score = evaluate(trained.net, data.batches(split))
    kind = "validation" if split == "validation" else "training"
    note = f"{whose + ': ' if whose else ''}{score.samples} {kind} samples, accuracy " \
           f"{100 * (score.accuracy or 0):.2f} %. The test set is not read for this."  # fmt: skip
    classes = data.meta.classes
    title = f"Confusion of {kind} samples"
    return [
        Section("Confusion", [
            Text(note), charts.confusion(score.confusion.tolist(), classes, title),
            Table([["class", "recall %", "samples"], *recalls(score, classes)]),
        ]),
        Section("Sample", list(spikes(trained, data, sample, kind))),
        Section("Embedding", list(embedding(trained, data, kind))),
        Section("Memory and cost", list(costs(trained, data, score, kind))),
    ]  # fmt: skip


def recalls(score: Score, classes: tuple[str, ...]) -> Iterator[list[str]]:
    """Each class, the share of its samples that are right, and their number."""
    numbers = score.confusion.sum(1).tolist()
    for name, recall, number in zip(classes, score.recall, numbers, strict=True):
        yield [name, "" if recall is None else f"{100 * recall:.2f}", str(number)]


def spikes(trained: job.Trained, data: Dataset, sample: int, kind: str) -> Iterator[Part]:
    """The raster of one sample, and the logits of the classes that ended highest."""
    events, label = labelled(data, sample)
    found = trained.net.record(events[:, None], ("spikes",))
    logits = found.pop("readout")[:, 0].float()
    classes = data.meta.classes
    guess = classes[int(logits[-1].argmax())]
    yield Text(f"Sample {sample} of the {kind} samples: {classes[label]}, recognised as {guess}.")
    shown = {"input": events.flatten(1)}
    names = {name: f"hidden layer {i}" for i, name in enumerate(found, 1)}
    shown |= {names[name]: layer[:, 0].flatten(1) for name, layer in found.items()}
    yield charts.raster(shown, "Events and spikes")
    top = logits[-1].argsort(descending=True)[:LINES].tolist()
    steps = list(range(len(logits)))
    lines = {classes[i]: (steps, charts.rounded(logits[:, i])) for i in top}
    yield from charts.curves("Readout of the classes that end highest", lines, "step", "logit")


def embedding(trained: job.Trained, data: Dataset, kind: str) -> Iterator[Part]:
    """The traces of the last hidden layer in a plane."""
    found = plane(trained.net, data)
    if found is None:
        yield Text("Too few samples, or a silent layer: nothing to show.")
        return
    title = f"Traces of {len(found.labels)} {kind} samples (t-SNE)"
    yield charts.plane(torch.as_tensor(found.points), found.labels, data.meta.classes, title)


def costs(trained: job.Trained, data: Dataset, score: Score, kind: str) -> Iterator[Part]:
    """Bytes of the training by purpose, and operations and energy of a sample, by count."""
    events, labels, _ = next(iter(data.batches("train")))
    where = Workload(trained.net.spec, len(labels), len(events))
    rule = trained.config.rule
    own = [f"{key}={written(v)}" for key, v in rule.items() if key not in ("name", "engine")]
    try:
        one = contender(":".join([rule["name"], *own]), trained.net.spec["readout_decay"])
        held = count.count(where.spec, one, where.batch, where.steps)
    except UserError as error:
        yield Text(f"Memory can't be counted: {error}")
        return
    kib = {name: held[name] / 1024 for name in PURPOSES if held[name]}
    note = f"Counted: {sum(kib.values()):,.1f} KiB in all, for a batch of {where.batch} and " \
           f"{where.steps} steps, updated once a sequence with Adam."  # fmt: skip
    yield charts.bars("Memory of training, by purpose", kib, "KiB", note)
    rate = statistics.fmean(score.rates)
    try:
        found = energy.costs(where, [one], energy.share(min(rate, 1.0)))
    except (UserError, RuntimeError) as error:  # of a rule of one's own that needs numbers
        yield Text(f"Cost can't be counted: {error}")
        return
    rows = [[name if name == "inference" else f"learning, {rule['name']}",
             f"{cost['synaptic'] / 1e3:,.1f}", f"{cost['macs'] / 1e3:,.1f}",
             f"{cost['traffic'] / 1024:,.1f}", f"{cost['energy'] * 1e6:,.2f}"]
            for name, cost in found.items()]  # fmt: skip
    head = ["of one sample", "1000 synaptic operations", "1000 MACs", "traffic KiB", "µJ (45 nm)"]
    yield Table([head, *rows], "Cost, estimated")
    yield Text(
        f"At the mean rate of the hidden layers on {kind} samples, {rate:.4f} spikes per neuron "
        f"and step; {score.spikes_per_inference or 0:.1f} spikes per inference."
    )
