"""Training, from the first batch to the summary: read `fit` from top to bottom."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from tqdm import tqdm

from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.memory import forget_peak, peak_memory
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import board, lock, schedule
from synaptrace.training import threads as cores
from synaptrace.training.evaluate import Batch, evaluate
from synaptrace.training.run import LAST, SUMMARY, write_summary
from synaptrace.training.state import State, describe, finished

SATURATED = 0.9
"""Spikes per neuron and step above which a layer's spikes tell little, and it is reported."""


class Diverged(UserError):
    """A loss or a weight is no finite number any more; the last good checkpoint is kept."""

    exit_code = 3


def fit(
    net: Network,
    rule: Rule,
    dataset: Dataset,
    *,
    epochs: int = 30,
    lr: float = 3e-3,
    lr_final: float | None = None,
    update: str | int = "sequence",
    ema: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    paper_protocol: bool = False,
    tensorboard: bool = False,
    run: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = 300.0,
    resume: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train ``net`` with ``rule`` on ``dataset``; ``net`` ends with the picked weights.

    Validation picks the epoch: the later of two that are level, the last one where there is no
    validation set. The picked and the last weights are both fixed before the test set is read,
    once for each.

    Args:
        epochs, lr, lr_final: Adam's learning rate goes from ``lr`` towards ``lr_final`` (lr / 4
            by default, as published) by a cosine over the epochs (`schedule.cosine`).
        update: the optimizer steps once a "sequence", every "step", or every so many steps.
        ema: decay of an exponential moving average of the weights, moved after every batch, by
            which the network is evaluated (`schedule.average`); None: no average.
        seed: of the order of samples, of augmentation, and of the rule's random numbers.
        device, threads: where to compute, and on how many cores (None: as PyTorch is set). A run
            that goes on does so with as many as it began with, as others give other last bits.
        paper_protocol: also read the test set after every epoch and report the best of them as
            ``test_accuracy_best_paper_protocol``; it picks nothing else.
        tensorboard: write the metrics for TensorBoard too; needs ``run`` and TensorBoard.
        run: directory for checkpoints, metrics and summary; None: nothing is written.
        config: the settings that the run's hash is made of; by default what describes network,
            rule, data and these arguments.
        checkpoint_seconds: between checkpoints within an epoch; each epoch ends with one.
        resume: go on where ``run`` stands; the result is the uninterrupted run's, bit for bit.
        progress: print a line an epoch to standard error, and a bar where it is a terminal.

    Returns:
        The summary, as in ``run/summary.json``; accuracies are shares of 1, None where there is
        no such split.

    Raises:
        UserError: an argument out of range, data that don't fit the network, a run that can't be
            resumed or written, or that another process is at work on.
        Diverged: a loss or a weight is not finite.
    """
    check(
        net, dataset, epochs=epochs, lr=lr, lr_final=lr_final, update=update, ema=ema,
        device=device, threads=threads, tensorboard=tensorboard,
    )  # fmt: skip
    lr_final = lr / 4 if lr_final is None else lr_final
    every, place = schedule.every(update), find_device(device)
    run = None if run is None else Path(run)
    options = {
        "epochs": epochs, "lr": lr, "lr_final": lr_final, "update": update, "ema": ema,
        "seed": seed, "paper_protocol": paper_protocol,
    }  # fmt: skip
    about = describe(net, rule, dataset.meta, options, config)
    if run is not None and resume and (run / SUMMARY).exists():
        done, weights = finished(run, about)
        cores.restore(threads, done.get("threads"), warn)  # for the seeds that follow
        net.load_state_dict(weights)
        return done
    if threads is not None:
        torch.set_num_threads(threads)
    forget_peak(place)  # of a seed that this process trained before
    with lock.held(run):
        net.to(place)
        rule.to(place)
        state = State(net, rule, lr, ema, about, run)
        state.begin(resume)
        cores.restore(threads, state.threads, warn)
        curves = board.writer(run, state.at.epoch) if tensorboard and run is not None else None

        names = [f"layers.{i}" for i in range(len(net.layers))]
        size = dataset.meta.sizes.get("train", 0)
        began, saved, earlier = monotonic(), monotonic(), state.at.seconds
        with tqdm(
            total=epochs * size or None, initial=state.at.epoch * size, unit=" samples",
            dynamic_ncols=True, disable=None if progress else True, file=sys.stderr,
        ) as bar:  # fmt: skip
            while state.at.epoch < epochs:
                at = state.at
                rate = schedule.cosine(at.epoch, epochs, lr, lr_final)
                for group in state.optimizer.param_groups:
                    group["lr"] = rate

                order = generator(seed, "order", at.epoch)
                for index, batch in enumerate(dataset.batches("train", order)):
                    samples = len(batch[1])
                    bar.update(samples)
                    if index < at.batch:
                        continue  # resumed: it is done, and the generator has passed it
                    draws = generator(seed, "rule", at.epoch, index)
                    *means, norm = learn(state, batch, every, draws)
                    if ema is not None:
                        schedule.average(state.averaged, net, ema, at.updates)
                    if not all(map(math.isfinite, [*means, norm])):
                        raise Diverged(
                            f"train.lr: the loss or a weight is infinite or NaN after epoch "
                            f"{at.epoch + 1}, batch {index + 1}; try a lower rate than {lr:g}"
                            + (f" ({run / LAST} holds the last good weights)" if run else "")
                        )
                    at.add(samples, means)
                    accuracy, *means = at.means
                    loss = means[len(names)]
                    bar.set_postfix_str(
                        f"epoch {at.epoch + 1}, loss {loss:.3f}, {accuracy:.1%}", False
                    )
                    if monotonic() - saved >= checkpoint_seconds:
                        at.seconds = earlier + monotonic() - began
                        at.peak_memory_bytes = max(at.peak_memory_bytes, peak_memory(place))
                        state.save(LAST)
                        saved = monotonic()
                if not at.samples:
                    name = dataset.meta.name
                    raise UserError(
                        f"data: {name} gave no training samples in epoch {at.epoch + 1}"
                    )

                accuracy, *means = at.means
                line = {
                    "epoch": at.epoch + 1,
                    "train_accuracy": accuracy,
                    "validation_accuracy": accuracy_on(state.averaged, dataset, "validation"),
                    "losses": dict(zip([*names, "readout"], means[: len(names) + 1], strict=True)),
                    "rates": dict(zip(names, means[len(names) + 1 :], strict=True)),
                    "lr": rate,
                }
                if paper_protocol:
                    line["test_accuracy_paper_protocol"] = accuracy_on(
                        state.averaged, dataset, "test"
                    )
                line["seconds"] = earlier + monotonic() - began
                line["peak_memory_bytes"] = max(at.peak_memory_bytes, peak_memory(place))
                if progress:
                    tell(line, epochs)
                warn_of_idle_layers(line, state.lines)
                state.close_epoch(line)
                if curves is not None:
                    curves(line)
                saved = monotonic()

        # Both sets of weights are fixed and written; only now is the test set read.
        state.pick_last_without_validation()
        last = evaluate(state.averaged, dataset.batches("test"))
        net.load_state_dict(state.picked)
        same = state.at.picked_epoch == epochs
        picked = last if same else evaluate(net, dataset.batches("test"))
        summary = {
            "test_accuracy": picked.accuracy,
            "test_accuracy_last": last.accuracy,
            "validation_accuracy": state.at.validation_accuracy,
            "test_split": dataset.meta.test_split,
            "samples": {
                "validation": dataset.meta.sizes.get("validation", 0),
                "test": last.samples,
            },
            "spikes_per_inference": picked.spikes_per_inference,
            "picked_epoch": state.at.picked_epoch,
            "epochs": epochs,
            "seconds": state.at.seconds,
            "peak_memory_bytes": state.at.peak_memory_bytes,
            "seed": seed,
            "run_id": state.run_id,
            "config_hash": state.about["config_hash"],
            "data": dataset.meta.name,
            "split_hash": dataset.meta.split_hash,
            "parameters": sum(weight.numel() for weight in state.weights),
            "device": str(place),
            "threads": torch.get_num_threads(),
            "synaptrace": state.about["synaptrace"],
            "torch": state.about["torch"],
        }
        if paper_protocol:
            best = [line["test_accuracy_paper_protocol"] for line in state.lines]
            summary["test_accuracy_best_paper_protocol"] = None if None in best else max(best)
            summary["paper_protocol"] = "best test accuracy of all epochs: the test set picked it"
        if run is not None:
            write_summary(run, summary)
    return summary


def learn(state: State, batch: Batch, every: int | None, draws: torch.Generator) -> list[float]:
    """One batch, forward and updates: [accuracy, losses…, rates…, norm of all weights]."""
    events, labels, lengths = batch
    place = state.weights[0].device
    labels = labels.to(place)
    logits = state.rule.sequence(
        events.to(place),
        labels,
        lengths=None if lengths is None else lengths.to(place),
        optimizer=state.optimizer,
        every=every,
        generator=draws,
    )
    right = (logits.argmax(1) == labels).to(logits.dtype).mean()
    norm = torch.nn.utils.get_total_norm([weight.detach() for weight in state.weights])
    seen = torch.cat([right[None], state.rule.losses, state.rule.rates, norm[None]])
    values: list[float] = seen.tolist()  # the batch's one wait for the device
    return values


def accuracy_on(net: Network, dataset: Dataset, split: str) -> float | None:
    """Accuracy on a split, None where there is no such split."""
    return evaluate(net, dataset.batches(split)).accuracy


def check(
    net: Network, dataset: Dataset, *, epochs: int, lr: float, lr_final: float | None = None,
    update: str | int = "sequence", ema: float | None = None, device: str = "cpu",
    threads: int | None = None, tensorboard: bool = False, **_: Any,
) -> None:  # fmt: skip
    """Raises UserError where an argument of `fit` is out of range or the data don't fit."""
    if isinstance(epochs, bool) or epochs < 1:
        raise UserError(f"train.epochs: {epochs} is not a positive number")
    final = lr if lr_final is None else lr_final
    if not (math.isfinite(lr) and lr > 0 and math.isfinite(final) and final >= 0):
        raise UserError(f"train.lr: can't go from {lr} to {lr_final}; rates are positive numbers")
    if ema is not None and not 0 <= ema < 1:
        raise UserError(f"train.ema: {ema} is not a decay from 0 to below 1")
    schedule.every(update)
    cores.check(threads)
    find_device(device)
    if tensorboard:
        board.require()
    data = dataset.meta
    if not data.sizes.get("train"):
        raise UserError(f"data: {data.name} has no training samples")
    if len(data.classes) != net.classes:
        raise UserError(
            f"data: {data.name} has {len(data.classes)} classes, the network {net.classes}"
        )
    net.fit(torch.zeros(1, *data.shape))


def find_device(name: str) -> torch.device:
    """The device ``name``. Raises UserError where this machine or PyTorch has none such."""
    try:
        place = torch.device(name)
        torch.zeros(1, device=place).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"train.device: {name!r} can't be used ({reason})") from error
    return place


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


def warn(text: str) -> None:
    """One line on standard error, above the progress bar if there is one."""
    tqdm.write(f"synaptrace: warning: {text}", file=sys.stderr)
