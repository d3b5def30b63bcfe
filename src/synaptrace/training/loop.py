"""Training, from the first batch to the summary: read `fit` from top to bottom."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from tqdm import tqdm

from synaptrace.data import tensors
from synaptrace.data.dataset import Dataset
from synaptrace.data.tensors import TensorData
from synaptrace.errors import UserError
from synaptrace.memory import forget_peak, peak_memory
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.seeds import generator
from synaptrace.training import lock, parts, schedule, team, together
from synaptrace.training import tensorboard as board
from synaptrace.training import threads as cores
from synaptrace.training.checks import check, check_name, check_rule, find_device
from synaptrace.training.learn import learn as learn
from synaptrace.training.run import LAST, write_summary
from synaptrace.training.state import State, describe
from synaptrace.training.telling import tell, warn, warn_of_idle_layers


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
    lr_readout: float | None = None,
    update: str | int = "sequence",
    ema: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    micro_batch: int | None = None,
    paper_protocol: bool = False,
    tensorboard: bool = False,
    run: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
    checkpoint_seconds: float = 300.0,
    resume: bool = False,
    progress: bool = True,
    after_epoch: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train ``net`` with ``rule`` on ``dataset``; ``net`` ends with the picked weights.

    Validation picks the epoch: the later of two that are level, the last one where there is no
    validation set. The picked and the last weights are both fixed before the test set is read,
    once for each.

    In each of several processes (`team`), a network's gradients are those of all their shares of
    a batch, and the first process alone writes and speaks; every one returns the same.

    Args:
        epochs, lr, lr_final: Adam's learning rate goes from ``lr`` towards ``lr_final`` (lr / 4
            by default, as published) by a cosine over the epochs (`schedule.cosine`).
        lr_readout: the readout's rate in the first epoch, always the same multiple of the others';
            None: it learns as they do.
        update: the optimizer steps once a "sequence", every "step", or every so many steps.
        ema: decay of an exponential moving average of the weights, moved after every batch, by
            which the network is evaluated (`schedule.average`); None: no average.
        seed: of the order of samples, of augmentation, and of the rule's random numbers.
        device, threads: where to compute, and on how many cores (None: as PyTorch is set). A run
            that goes on does so with as many as it began with, as others give other last bits.
        micro_batch: samples that are learned from at once; the gradients of all such parts of a
            batch are added before the update, and are the batch's (`rules.turns` where there are
            updates within a sequence).
        paper_protocol: also read the test set after every epoch and report the best of them as
            ``test_accuracy_best_paper_protocol``; it picks nothing else.
        tensorboard: write the metrics for TensorBoard too; needs ``run`` and TensorBoard.
        run: directory for checkpoints, metrics and summary, and for the data where they are
            `TensorData` of at most 256 MiB, so that it is a run as others are; None: nothing is
            written.
        config: the settings that the run's hash is made of; by default what describes network,
            rule, data and these arguments.
        checkpoint_seconds: between checkpoints within an epoch; each epoch ends with one.
        resume: go on where ``run`` stands; the result is the uninterrupted run's, bit for bit.
        progress: print a line an epoch to standard error, and a bar where it is a terminal.
        after_epoch: is given each epoch's line of metrics once it is written; what it raises ends
            the training, which can go on from there.

    Returns:
        The summary, as in ``run/summary.json``; accuracies are shares of 1, None where there is
        no such split.

    Raises:
        UserError: an argument out of range, data that don't fit the network, a run that can't be
            resumed or written, or that another process is at work on.
        Diverged: a loss or a weight is not finite.
    """
    check(
        net, dataset, epochs=epochs, lr=lr, lr_final=lr_final, lr_readout=lr_readout, update=update,
        ema=ema, device=device, threads=threads, tensorboard=tensorboard,
    )  # fmt: skip
    check_rule(rule, net)
    lr_final = lr / 4 if lr_final is None else lr_final
    every, place = schedule.every(update), find_device(device)
    crew = team.present()
    parts.check(rule, dataset, crew, micro_batch)
    if run is not None:
        check_name(rule)
    run = None if run is None or crew.rank else Path(run)
    progress = progress and not crew.rank
    options = {
        "epochs": epochs, "lr": lr, "lr_final": lr_final, "update": update, "ema": ema,
        "seed": seed, "paper_protocol": paper_protocol,
    }  # fmt: skip
    if lr_readout is not None:
        options["lr_readout"] = lr_readout
    about = describe(net, rule, dataset.meta, options, config)
    for doubt in () if crew.rank else rule.doubts():
        warn(doubt)
    together.agree(crew, about, dataset)
    before = together.done_before(crew, run, resume, about)
    if before is not None:
        done, weights = before
        cores.restore(threads, done.get("threads"), warn)  # for the seeds that follow
        net.load_state_dict(weights)
        return done
    if threads is not None:
        torch.set_num_threads(threads)
    forget_peak(place)  # of a seed that this process trained before
    with lock.held(run):
        net.to(place)
        rule.to(place)
        state = State(net, rule, lr, ema, about, run, lr_readout)
        state.begin(resume)
        if run is not None and config is None and isinstance(dataset, TensorData):
            tensors.keep(dataset, run, warn)
        together.copy(crew, state)
        if crew.size > 1:  # a hook keeps the native engine from stepping Adam itself
            state.optimizer.register_step_pre_hook(crew.adding(state.weights))
        cores.restore(threads, state.threads, warn)
        curves = board.writer(run, state.at.epoch) if tensorboard and run is not None else None

        names = [f"layers.{i}" for i in range(len(net.layers))]
        size = dataset.meta.sizes.get("train", 0)
        began, saved, earlier = monotonic(), monotonic(), state.at.seconds
        with tqdm(
            total=epochs * size or None, initial=state.at.epoch * size + state.at.samples,
            unit=" samples",
            dynamic_ncols=True, disable=None if progress else True, file=sys.stderr,
        ) as bar:  # fmt: skip
            while state.at.epoch < epochs:
                at = state.at
                rate = schedule.cosine(at.epoch, epochs, lr, lr_final)
                rates = [rate] if lr_readout is None else [rate, lr_readout * (rate / lr)]
                for group, own in zip(state.optimizer.param_groups, rates, strict=True):
                    group["lr"] = own

                order = generator(seed, "order", at.epoch)
                stream = parts.stream(dataset, order, crew, micro_batch, at.batch)
                with closing(stream) as batches:
                    for index, batch in enumerate(batches, at.batch):
                        samples = len(batch.labels)
                        bar.update(samples)
                        draws = generator(seed, "rule", at.epoch, index)
                        *means, norm = learn(state, batch, every, draws, crew)
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
                    name, epoch = dataset.meta.name, at.epoch + 1
                    raise UserError(f"data: {name} gave no training samples in epoch {epoch}")

                accuracy, *means = at.means
                line = {
                    "epoch": at.epoch + 1,
                    "train_accuracy": accuracy,
                    "validation_accuracy": together.accuracy(crew, state, dataset, "validation"),
                    "losses": dict(zip([*names, "readout"], means[: len(names) + 1], strict=True)),
                    "rates": dict(zip(names, means[len(names) + 1 :], strict=True)),
                    "lr": rate,
                }
                if lr_readout is not None:
                    line["lr_readout"] = rates[1]
                if paper_protocol:
                    line["test_accuracy_paper_protocol"] = together.accuracy(
                        crew, state, dataset, "test"
                    )
                line["seconds"] = earlier + monotonic() - began
                line["peak_memory_bytes"] = max(at.peak_memory_bytes, peak_memory(place))
                if progress:
                    tell(line, epochs)
                if not crew.rank:
                    warn_of_idle_layers(line, state.lines)
                state.close_epoch(line)
                if curves is not None:
                    curves(line)
                if after_epoch is not None:
                    after_epoch(line)
                saved = monotonic()

        # Both sets of weights are fixed and written; only now is the test set read.
        state.pick_last_without_validation()
        last = together.score(crew, state.averaged, dataset, "test")
        net.load_state_dict(state.picked)
        same = state.at.picked_epoch == epochs
        picked = last if same else together.score(crew, net, dataset, "test")
        summary = {
            "test_accuracy": picked.accuracy,
            "test_accuracy_last": last.accuracy,
            "validation_accuracy": state.at.validation_accuracy,
            "test_split": dataset.meta.test_split,
            "samples": {
                "train": size,
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
            "rule": state.about["rule"]["name"],
            "schedule": update,
            "lr": lr,
            "layers": [
                math.prod(net.in_shape),
                *(math.prod(layer.shape) for layer in net.layers),
                net.classes,
            ],
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
    told: dict[str, Any] = crew.tell(lambda: summary)  # with the first process's time and memory
    return told
