"""A whole sequence of Traces Propagation in the native engine, where `execute` found it able to.

It adds to gradients only where a spike was, and may step Adam in the same pass; between blocks of
steps it calls other optimizers (`Updates`). Beyond the plain path's, its memory is a copy of
weights, gradients and, where it steps Adam, moments, and layer 1's target stream, kept in at most
64 MiB while its weights are fixed. Results are those of the plain path up to rounding, and the same
bits on any number of threads (`inference` says more).
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from synaptrace.inference import contiguous, describe, layout
from synaptrace.layers import add_gradient, standardise_gradient
from synaptrace.native import library
from synaptrace.native.library import Matrix, address
from synaptrace.rules.tp import target_spikes
from synaptrace.stepping import Prepared

if TYPE_CHECKING:
    from synaptrace.rules.tp.rule import TracesPropagation


@dataclass
class Memory:
    """What the engine keeps from one sequence to the next, none of which changes a result."""

    work: Tensor | None = None
    layout: tuple[int, ...] = ()
    stream: target_spikes.Stream | None = None
    step: Prepared | None = None


def fits(tensor: Tensor, like: Tensor) -> bool:
    """Whether the engine can work on a tensor where it lies, as it does on ``like``."""
    same = (tensor.dtype, tensor.device) == (like.dtype, like.device)
    return same and tensor.layout == torch.strided and tensor.is_contiguous()


def trained(rule: TracesPropagation) -> list[tuple[Tensor, str]]:
    """The parameters that get a gradient, each with its place in the job."""
    places: list[tuple[Tensor | None, str]] = []
    for i, layer in enumerate(rule.net.layers):
        places += [(layer.weight, f"layer {i} weight"), (layer.recurrent, f"layer {i} recurrent")]
    places.append((rule.net.readout.weight, "readout"))
    if rule.train_label:
        places.append((rule.label.weight, "label"))
    return [(p, place) for p, place in places if p is not None and p.requires_grad]


def sequence(
    rule: TracesPropagation,
    events: Tensor,
    lengths: Tensor | None,
    optimizer: Optimizer | None,
    every: int | None,
    memory: Memory,
    *,
    adam: bool,
) -> None:
    """All steps of a sequence that `execute` found nothing against, `start` having been called.

    ``adam`` says that the optimizer's steps can be done here. Leaves in ``.grad`` what the plain
    path leaves there: the sum since the last update.
    Of the rule's state only labels, logits, losses and rates remain.
    """
    net, label = rule.net, rule.label
    events = contiguous(net, events)
    weights = [layer.forward_weight().detach() for layer in [*net.layers, net.readout]]
    job = describe(net, weights, events, learn=True)
    if optimizer is not None and every is not None:
        job.every = min(every, job.steps)
    kept: list[Any] = [weights, events]  # alive until the job is done

    if lengths is not None:
        lengths = lengths.to("cpu", torch.int64).contiguous()
    kept += describe_batch(job, rule, lengths)
    dtype, whole = net.readout.weight.dtype, torch.int64
    if rule.whole > job.batch:
        counts = running_counts(rule, job.steps)
        kept.append(counts)
        job.counts = address(counts, whole)
    if rule.train_label or not target_spikes.keeps(label, job.steps):
        memory.stream = None
        kept.append(describe_label(job, rule))
    else:
        known = memory.stream
        if known is None or not known.fits(label, rule.label_threshold, job.steps):
            known = memory.stream = target_spikes.compute(label, rule.label_threshold, job.steps)
        job.stream_offset = address(known.offset, whole)
        job.stream_index = address(known.index, torch.int32)

    chained = []  # gradients that still have to go through the standardisation
    for parameter, place in trained(rule):
        matrix = find(job, place)
        if rule.label.standardise and place.endswith(("weight", "label")):
            gradient = torch.empty_like(parameter)
            chained.append((parameter, gradient))
        else:
            matrix.has_grad = parameter.grad is not None
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            gradient = parameter.grad
        matrix.grad = address(gradient, dtype)
    stepped, updates = [], None
    if optimizer is not None and job.every < job.steps:
        if adam:
            stepped = prepare_adam(job, rule, optimizer)
        else:
            updates = Updates(job, rule, optimizer)
            call = ctypes.CFUNCTYPE(ctypes.c_int64)(updates.update)
            kept.append(call)
            job.update = ctypes.cast(call, ctypes.c_void_p)

    layers = len(net.layers)
    losses, rates = (
        torch.zeros(layers + 1, dtype=torch.float64),
        torch.zeros(layers, dtype=torch.float64),
    )
    spikes = torch.zeros(layers, dtype=whole)
    logits = torch.empty_like(rule.state["logits"][0])
    job.logits = address(logits, dtype)
    job.losses, job.rates = address(losses, torch.float64), address(rates, torch.float64)
    ends = torch.empty(job.batch, dtype=whole)
    job.spikes, job.ends = address(spikes, whole), address(ends, whole)

    now = layout(job)
    memory.work = library.run(job, memory.work, fresh=now != memory.layout)
    memory.layout = now
    if updates is not None:
        updates.end()

    for parameter, gradient in chained:
        add_gradient(parameter, standardise_gradient(parameter.detach(), gradient))
    for parameter, state in stepped:
        state["step"] += (job.steps - 1) // job.every
        torch.autograd.graph.increment_version(parameter)
    names = ("labels", "lengths", "whole_labels", "whole_lengths")
    rule.state = {k: rule.state[k] for k in names if k in rule.state} | {
        "logits": [logits],
        "losses": [losses.to(logits.dtype)],
        "rates": [rates.to(logits.dtype)],
    }


def describe_batch(
    job: library.Job, rule: TracesPropagation, lengths: Tensor | None
) -> list[Tensor]:
    """Tell the job the rule's settings and its batch; returns what must outlive it."""
    rows, (labels,), whole = rule.targets, rule.state["labels"], torch.int64
    job.rows, job.count_classes = len(rows), rule.contrast.kind == "batch"
    job.capacity = min(rule.whole, job.classes) if job.count_classes else job.classes
    kept = [each.contiguous() for each in (labels, rows.row_of_sample, rows.class_of_row)]
    job.labels, job.row, job.class_of = (address(each, whole) for each in kept)
    if lengths is not None:
        kept.append(lengths)
        job.lengths = address(lengths, whole)
    job.whole, job.label_threshold = rule.whole, rule.label_threshold
    job.eligibility, tau = rule.presynaptic.eligibility, rule.contrast.temperature
    job.temperature, job.margin = 0.0 if tau == "auto" else tau, rule.contrast.margin
    return kept


def describe_label(job: library.Job, rule: TracesPropagation) -> Tensor:
    """Tell the job the label's weights; returns the projection's, which must outlive it."""
    weight, recurrent = rule.label.forward_weight().detach(), rule.label.recurrent
    job.label.weight = address(weight, weight.dtype)
    if recurrent is not None:
        job.label_recurrent.weight = address(recurrent, weight.dtype)
    return weight


class Updates:
    """The updates of an optimizer between steps of a job, on the gradients that the job lays out.

    Args:
        job: whose weights may have moved after an update.
        rule: whose parameters are updated, each with the gradient that the job knows.
    """

    def __init__(self, job: library.Job, rule: TracesPropagation, optimizer: Optimizer) -> None:
        self.rule, self.optimizer = rule, optimizer
        self.places = [(p, p.grad, find(job, place)) for p, place in trained(rule)]
        self.error: BaseException | None = None

    def update(self) -> int:
        """Step once; 1 where that failed, as no exception may cross the library."""
        try:
            self.attach()
            self.rule._update(self.optimizer)
            for parameter, _, matrix in self.places:
                matrix.weight = address(parameter, parameter.dtype)
        except BaseException as error:
            self.error = error
            return 1
        return 0

    def attach(self) -> None:
        """Put back the gradients that `zero_grad` has taken away."""
        for parameter, gradient, _ in self.places:
            parameter.grad = gradient

    def end(self) -> None:
        """After the job: raise what an update raised."""
        if self.error is not None:
            raise self.error
        self.attach()


def running_counts(rule: TracesPropagation, steps: int) -> Tensor:
    """(T, C) int64: samples of the whole batch, by row, that haven't ended at each step."""
    rows, row = len(rule.targets), rule.targets.rows_of(rule.whole_labels).cpu()
    ends = rule.state["whole_lengths"]
    last = ends[0].cpu().clamp(max=steps) - 1 if ends else torch.full_like(row, steps - 1)
    ending = torch.zeros(steps, rows, dtype=torch.int64)
    ending.index_put_((last, row), torch.ones_like(row), accumulate=True)
    return ending.flip(0).cumsum(0).flip(0).contiguous()


def find(job: library.Job, place: str) -> Matrix:
    """The job's matrix at a place that `trained` named."""
    name, *rest = place.split()
    matrix: Matrix = getattr(job.layer[int(rest[0])], rest[1]) if rest else getattr(job, name)
    return matrix


def prepare_adam(
    job: library.Job, rule: TracesPropagation, optimizer: Optimizer
) -> list[tuple[Tensor, dict[str, Any]]]:
    """Give the job Adam's settings and moments; returns the parameters that it will step."""
    places = {id(p): place for p, place in trained(rule)}
    stepped = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) not in places:
                continue
            state = optimizer.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0, dtype=torch.float32)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            matrix = find(job, places[id(parameter)])
            matrix.mean = address(state["exp_avg"], parameter.dtype)
            matrix.square = address(state["exp_avg_sq"], parameter.dtype)
            matrix.step = int(state["step"])
            matrix.rate = float(group["lr"])
            matrix.beta1, matrix.beta2 = map(float, group["betas"])
            matrix.epsilon = float(group["eps"])
            stepped.append((parameter, state))
    return stepped
