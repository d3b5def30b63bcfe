"""The calibration of a run: made of its data, kept in its directory, and read again.

A training's stands on its validation. A fine-tuned run's stands on what it was tuned to, each
utterance measured against the others, with the words that the run before was validated on as
strangers where their recordings are at hand; its alarms are counted as if their voices, too, had
never been heard.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from synaptrace import builtin
from synaptrace.data.audio.features import Features
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.keyword import own_words, recordings, reopen, tuned
from synaptrace.keyword.alarms import Clip, Curve, said_rate
from synaptrace.keyword.calibrate import CONFIDENCE, Calibration, calibrate, measure
from synaptrace.names import printed
from synaptrace.network import Network
from synaptrace.training import checkpoint, job, schema

FILE = "calibration.safetensors"

MOST = 300
"""Utterances that are kept, and that are heard for validation, shared out among the words."""
EACH = 20
"""Of each word at most."""


def make(trained: job.Trained) -> Calibration:
    """Calibrate a run, and keep it in its directory.

    Of other weights than `listen` takes there, as of its last checkpoint, and of a built-in network
    nothing is kept.

    Raises:
        UserError: a run that wasn't trained on sound that streams, recordings that aren't there.
    """
    if trained.features is None:
        raise UserError(f"{trained.run}: was not trained on sound")
    record = tuned.read(trained.run)
    base: job.Trained | None = None
    if record is not None:
        base = job.trained(trained.run / record.base, trained.config.data["path"])
    learned = clips(trained, "train", most=None if base else EACH)
    spoken: list[Clip] = []
    old: list[Clip] = []
    try:
        spoken = clips(base or trained, "validation", most=EACH)
        old = [] if base is None else clips(base, "train", most=EACH)
    except UserError:
        if base is None:
            raise
    found = calibrate(
        trained.net, Features.from_spec(trained.features), trained.classes, learned, spoken,
        user=base is not None, old=old, before=None if base is None else read(base.run, base.net),
    )  # fmt: skip
    own = not builtin.owns(trained.run) and job.trained(trained.run).net
    if own and digest(own) == digest(trained.net):
        save(trained.run, trained.net, found)
    return found


def evaluate(
    trained: job.Trained, calibration: Calibration, split: str, others: Path | None = None
) -> Curve:
    """The curve on the recordings of a split, and of a folder of other words.

    Raises:
        UserError: they can't be read, or the folder holds nothing but words of the network.
    """
    spoken = clips(trained, split)
    assert trained.features is not None
    rate = int(trained.features["mel"]["rate"])
    strange = [] if others is None else recordings.others(others, trained.classes, rate)
    features = Features.from_spec(trained.features)
    return measure(trained.net, features, trained.classes, spoken, calibration, others=strange)


def clips(trained: job.Trained, split: str, most: int | None = None) -> list[Clip]:
    """The recordings of a split of a run's data, at most so many of each word.

    Raises:
        UserError: the data or their recordings can't be read, no such split.
    """
    assert trained.features is not None
    record = tuned.read(trained.run)
    data = reopen.load_data(trained)
    assert isinstance(data, ArrayDataset)
    rows = data.index.get(split, torch.empty(0, dtype=torch.int64)).tolist()
    if record is not None and record.words is not None:
        root = Path(record.words)
        data = own_words.recordings(root, trained)
        rows = [row for row in rows if row < len(data.labels)]
    else:
        root = recordings.folder(trained.config.data)
    if not rows:
        raise UserError(f"data: {data.meta.name} has no {split} samples to listen to")
    if most is not None:
        most = max(min(most, MOST // len(data.meta.classes)), 1)
    return recordings.clips(data, rows, root, int(trained.features["mel"]["rate"]), most)


def after(run: Path, data_path: str | None = None) -> Calibration | None:
    """Calibrate a run that has just learned, where it listens; a line where it can't be done."""
    trained = job.trained(run, data_path)
    if trained.features is None or trained.features["form"] == "clip":
        return None
    try:
        return read(trained.run, trained.net) or make(trained)
    except UserError as error:
        print(f"not calibrated: {printed(error)}", file=sys.stderr)
        return None


def told(run: Path) -> str | None:
    """What a run's calibration says in a line; None where it has none."""
    if not (run / FILE).is_file():
        return None
    found = read(run, job.trained(run).net)
    return None if found is None else said(found, CONFIDENCE)


def confident(found: Calibration, rate: float | None) -> float:
    """The confidence from which a word is reported; below ``rate`` false alarms an hour, by the
    curve (`Curve.surely`).

    Raises:
        UserError: not a rate.
    """
    if rate is None:
        return CONFIDENCE
    if not 0 <= rate < float("inf"):
        raise UserError(f"--false-alarms-per-hour: {rate} is not a rate of 0 or more")
    return found.curve.surely(rate)


def said(found: Calibration, confidence: float) -> str:
    """What ``confidence`` stands for, and how much sound that stands on."""
    curve = found.curve
    return (
        f"confidence {confidence:.4f}: {100 * curve.rejected_at(confidence):.1f} % of "
        f"{len(curve.words)} words rejected, false alarms "
        f"{said_rate(curve.alarms_at(confidence), curve.hours)}, on {found.basis}"
    )


class _Curve(schema.Stored):
    """Its `Curve`."""

    words: list[float]
    alarms: list[float]
    hours: schema.Amount
    wrong: schema.Count = 0


class _Stored(schema.Stored):
    """The metadata of a calibration."""

    network: str
    temperature: Annotated[float, Field(gt=0)]
    middle: float
    width: Annotated[float, Field(gt=0)]
    curve: _Curve
    basis: str


def save(run: Path, net: Network, found: Calibration) -> None:
    """Write a calibration of ``net`` into the run directory."""
    about = {
        "network": digest(net), "temperature": found.temperature, "middle": found.middle,
        "width": found.width, "curve": found.curve.as_dict(), "basis": found.basis,
    }  # fmt: skip
    parts = {"utterances": {"roots": found.known, "labels": found.labels}}
    checkpoint.save(run / FILE, parts, about)


def read(run: Path, net: Network) -> Calibration | None:
    """The calibration in a run directory; None where there is none, or of other weights.

    Raises:
        UserError: it can't be read.
    """
    file = run / FILE
    if not file.is_file():
        return None
    tensors, meta = checkpoint.load(file)
    schema.check(_Stored, meta, file)
    if meta["network"] != digest(net):
        return None
    neurons = net.readout.weight[0].numel()
    try:
        known, labels = tensors["utterances.roots"], tensors["utterances.labels"]
        found = Curve(**meta["curve"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{file}: is damaged ({error}); remove it") from error
    kinds = known.dtype, labels.dtype
    if kinds != (torch.uint8, torch.int64) or known.shape != (labels.numel(), 2 * neurons):
        raise UserError(f"{file}: is damaged (its counts don't fit the network); remove it")
    return Calibration(
        meta["temperature"], meta["middle"], meta["width"], known, labels, found, meta["basis"]
    )


def digest(net: Network) -> str:
    """sha256 of a network's weights."""
    found = hashlib.sha256()
    for name, weight in sorted(net.state_dict().items()):
        found.update(name.encode())
        found.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
