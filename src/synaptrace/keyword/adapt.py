"""Fine-tuning on a few utterances: read `adapt` from top to bottom.

Adam goes through the utterances in batches, one optimizer step a batch (or as ``update`` says),
its rate going from ``lr`` towards zero by a cosine over the epochs. Against forgetting, each off
unless asked (as `synaptrace finetune` asks by itself):

    rehearse   every batch comes with samples of what was learned before, drawn from a buffer of
               so many utterances of each word: for each utterance as many as make every word
               equally frequent, one where all words are learned, one of each of nine old words
               where one new word is, which would else be half of all that is heard (`share`)
    learn      only weights whose name begins so: "readout", "layers.1", "layers.0.recurrent"
    anchor     after every batch, weights go back this share of the way to where they began
    voice      this share of what is rehearsed sounds like who is learned from (`keyword.voice`)

A network that is adapted one utterance at a time needs ``contrast="class"`` (`rules.tp`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from synaptrace.data.dataset import ArrayDataset, Batch, group
from synaptrace.errors import UserError
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.rehearse import mixed, share
from synaptrace.keyword.rounded import Rounded, grids
from synaptrace.memory import storage_bytes
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.rules.kept import kept
from synaptrace.rules.tp import TracesPropagation
from synaptrace.seeds import generator
from synaptrace.training import parts, schedule
from synaptrace.training.learn import learn
from synaptrace.training.loop import Diverged
from synaptrace.training.run import BEST, LAST
from synaptrace.training.state import State, describe
from synaptrace.training.team import Team


def adapt(
    net: Network,
    rule: Rule,
    data: ArrayDataset,
    rows: Sequence[int],
    *,
    batch_size: int = 1,
    epochs: int = 20,
    lr: float = 1e-3,
    update: str | int = "sequence",
    keep: Keep | None = None,
    buffer: Sequence[int] = (),
    precision: str = "float32",
    seed: int = 0,
    run: Path | None = None,
    config: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = 60.0,
) -> dict[str, Any]:
    """Fine-tune ``net`` on the samples ``rows`` of ``data``, augmented as ``data`` does it.

    Args:
        net, rule: the network, whose weights change in place, and a rule that was built on it.
        data: samples of the shape and the classes that the network has.
        rows: the utterances to learn from, places in ``data``; each epoch shuffles them.
        batch_size: utterances a batch; those that are rehearsed come on top.
        lr: Adam's rate in the first epoch.
        update: the optimizer steps once a "sequence", every "step", or every so many steps.
        keep: options against forgetting; None: none.
        buffer: the rows to rehearse, for ``keep.rehearse``.
        precision: "int16" or "int8": the network runs, and ends, with weights rounded so
            (`keyword.rounded`).
        seed: of order, augmentation and the rule's random numbers.
        run: directory for checkpoints; one that it holds already is continued, bit for bit.
        config: the settings that the checkpoint records.
        checkpoint_seconds: between checkpoints.

    Returns:
        "batches", "seconds", "rehearsed", the old samples that come with each utterance, and what
        `costs` returns.

    Raises:
        UserError: arguments out of range, no weight of a name to learn, no buffer to rehearse.
        Diverged: a loss or a weight is not finite.
    """
    keep = keep or Keep()
    check(epochs, lr, batch_size)
    if not rows:
        raise UserError("--shots: there is nothing to learn from")
    if keep.rehearse and not buffer:
        raise UserError("--keep: there is nothing to rehearse")
    if keep.voice and data.meta.features is None:
        raise UserError(f"--keep: voice is for sound, which {data.meta.name} isn't")
    every = schedule.every(update)
    each = share(data.labels, rows, buffer) if keep.rehearse else 0
    frozen = restrict(net, rule, keep.learn)
    try:
        options = {
            "epochs": epochs, "lr": lr, "update": update, "batch_size": batch_size, "seed": seed,
            "keep": [keep.rehearse, list(keep.learn), keep.anchor],
        }  # fmt: skip
        if each > 1:  # which earlier versions never did, so that none of theirs goes on so
            options["rehearsed"] = each
        if keep.voice:
            options["voice"] = keep.voice
        places = []
        if precision != "float32":  # which earlier versions knew alone
            options["precision"] = precision
            places = grids(net, data, precision)
        about = describe(net, rule, data.meta, options, config)
        state = State(net, rule, lr, None, about, run)
        before = [weight.detach().clone() for weight in state.weights]
        state.begin(resume=True)
        exact: Callable[[], AbstractContextManager[None]] = (
            Rounded(places, state.optimizer).exact if places else nullcontext
        )
        began, saved, earlier = monotonic(), monotonic(), state.at.seconds
        own = torch.tensor(rows)
        old = torch.tensor(buffer if keep.rehearse else [], dtype=torch.int64)
        first = mixed(data, own[:batch_size], old, generator(seed, "costs"), each)
        heard = (len(own) if epochs > 1 else 0) + len(old)
        stored = heard * data.frames[:1].numel() * data.frames.element_size()
        spent = costs(rule, first, keep, state.weights, stored)
        while state.at.epoch < epochs:
            at = state.at
            rate = schedule.cosine(at.epoch, epochs, lr, 0.0)
            for adam in state.optimizer.param_groups:
                adam["lr"] = rate
            order = torch.randperm(len(own), generator=generator(seed, "order", at.epoch))
            for index, chosen in enumerate(group(order, batch_size)):
                if index < at.batch:
                    continue  # resumed: it is done
                draws = generator(seed, "batch", at.epoch, index)
                batch = mixed(data, own[chosen], old, draws, each, keep.voice)
                draws = generator(seed, "rule", at.epoch, index)
                *means, norm = learn(state, parts.one(batch), every, draws, Team())
                if not all(map(math.isfinite, [*means, norm])):
                    raise Diverged(f"--lr: the loss or a weight is not finite at {lr:g}; lower it")
                if keep.anchor:
                    with exact():
                        pull(state.weights, before, keep.anchor)
                at.add(len(batch[1]), means)
                if monotonic() - saved >= checkpoint_seconds:
                    at.seconds = earlier + monotonic() - began
                    with exact():
                        state.save(LAST)
                    saved = monotonic()
            state.lines.append({"epoch": at.epoch + 1, "train_accuracy": at.means[0], "lr": rate})
            state.at = replace(at, epoch=at.epoch + 1, batch=0, samples=0, totals=[])
            if state.at.epoch == epochs or monotonic() - saved >= checkpoint_seconds:
                state.at.seconds = earlier + monotonic() - began
                with exact():
                    state.save(LAST)
                saved = monotonic()
        state.save(BEST)
    finally:
        for weight in frozen:
            weight.requires_grad_(True)
        for weight in [*net.parameters(), *rule.parameters()]:
            weight.grad = None
    at = state.at
    return {"batches": at.updates, "seconds": at.seconds, "rehearsed": each, **spent}


def check(epochs: int, lr: float, batch_size: int = 1) -> None:
    """Raises UserError where an argument of `adapt` is out of range."""
    if batch_size < 1:
        raise UserError(f"--batch: {batch_size} is not a positive number")
    if epochs < 1:
        raise UserError(f"--epochs: {epochs} is not a positive number")
    if not (math.isfinite(lr) and lr > 0):
        raise UserError(f"--lr: {lr} is not a positive number")


def restrict(net: Network, rule: Rule, learn: Sequence[str]) -> list[Tensor]:
    """Freeze all weights but those whose names begin with one of ``learn``; returns the frozen.

    Raises:
        UserError: no weight has such a name.
    """
    if not learn:
        return []
    named = dict([*net.named_parameters(), *rule.named_parameters()])
    for name in learn:
        if not any(each.startswith(name) for each in named):
            raise UserError(f"--keep: no weights {name!r} to learn; there are {', '.join(named)}")
    frozen: list[Tensor] = [
        weight for each, weight in named.items() if not each.startswith(tuple(learn))
    ]
    for weight in frozen:
        weight.requires_grad_(False)
    return frozen


@torch.no_grad()
def pull(weights: Sequence[Tensor], before: Sequence[Tensor], share: float) -> None:
    """Move ``weights`` by ``share`` of the way to what they were ``before``."""
    for weight, old in zip(weights, before, strict=True):
        weight.lerp_(old, share)


def costs(
    rule: Rule, batch: Batch, keep: Keep, trained: Sequence[Tensor], stored: int
) -> dict[str, Any]:
    """What learning from ``batch`` needs beyond the network: bytes, and multiplications.

    Args:
        trained: the weights that learn.
        stored: bytes of the utterances that are kept, to be heard again or rehearsed.

    Returns:
        ``state_bytes`` that the rule keeps from step to step, ``auxiliary_bytes`` of its fixed
        matrices, ``optimizer_bytes`` of gradients and Adam's two moments, ``stored_bytes`` with
        the weights' copy that anchoring needs, and ``operations`` of an update (`operations`).
    """
    events, labels, lengths = batch
    rule = copy.deepcopy(rule)
    found = kept(rule, events, labels, lengths)
    weights = storage_bytes(trained)
    return {
        **found,
        "optimizer_bytes": 3 * weights,
        "stored_bytes": stored + (weights if keep.anchor else 0),
        "operations": operations(rule, len(events), len(labels)),
    }


def operations(rule: Rule, steps: int, batch: int) -> int | None:
    """Multiply-accumulate operations of one sequence of TP as dense matrices have them.

    Spikes are mostly zeros, so hardware that goes by events needs a fraction of these. Adam's few
    operations a weight are left out. None for other rules.
    """
    if not isinstance(rule, TracesPropagation):
        return None
    net, total = rule.net, 0
    present = len(rule.targets.class_of_row)
    for i, layer in enumerate(net.layers):
        own = 0 if layer.recurrent is None else layer.recurrent.numel()
        size = (layer.weight.numel() + own) * math.prod(layer.shape[1:])
        neurons, learns = math.prod(layer.out_shape), bool(i) or rule.train_label
        total += (batch + present) * size if i else batch * size + present * own  # forward
        total += (2 + learns) * batch * present * neurons + present**2 * neurons  # contrast
        if layer.weight.requires_grad:
            total += (batch + (present if learns else 0)) * size  # gradients
    readout = batch * net.readout.weight.numel()
    return steps * (total + readout * (2 if net.readout.weight.requires_grad else 1))
