"""Who is measured: TP by schedule, engine and contrast, and who else trains the same network.

Each contender is a function from a case's parts to a job: one batch forward, its gradients, and
Adam's update or updates. Networks, weights, events, loss and optimizer are the same; the peers
learn by rules of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Literal

import torch

import synaptrace as st
from synaptrace import native, rules
from synaptrace.bench import jax_peer, torch_peers
from synaptrace.bench.cases import Case, Parts, make
from synaptrace.cost.process import Job
from synaptrace.rules.tp.reference import Oracle

RATE = 1e-7
"""So low that a network stays as it is, and every repetition does the same work."""
TRANSCRIPTION, STEPWISE = "transcription, sequence", "transcription, step"
BPTT, SNNTORCH, SPIKINGJELLY = "BPTT", "snnTorch BPTT", "SpikingJelly BPTT"
ES_D_RTRL, D_RTRL = "braintrace ES-D-RTRL", "braintrace D-RTRL"
EVERY = {"sequence": None, "every 10": 10, "step": 1}
"""Schedules: steps between two updates."""
PACKAGES = {
    SNNTORCH: "snntorch", SPIKINGJELLY: "spikingjelly",
    ES_D_RTRL: "braintrace", D_RTRL: "braintrace",
}  # fmt: skip


def adam(parameters: object) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=RATE, fused=True)  # type: ignore[arg-type]


def traces_propagation(
    parts: Parts,
    engine: Literal["native", "torch"],
    every: int | None,
    contrast: Literal["batch", "class"],
) -> Job:
    """This library's TP."""
    draws = torch.Generator().manual_seed(0)
    rule = st.TracesPropagation(parts.net, contrast, engine=engine, generator=draws)
    optimizer = adam(parts.net.parameters())
    return lambda: rule.sequence(parts.events, parts.labels, optimizer=optimizer, every=every)


def transcription(parts: Parts, stepwise: bool) -> Job:
    """The published procedure with autograd, a target row for each sample (`oracle`).

    ``stepwise``: as it is published and as NeuroTrain (arXiv 2605.15058) implements it, with an
    update at every step by PyTorch's Adam as it comes.
    """
    contrast: Literal["batch", "class"] = "batch" if len(parts.labels) > 1 else "class"
    draws = torch.Generator().manual_seed(0)
    oracle = Oracle(parts.net, st.TracesPropagation(parts.net, contrast, generator=draws))
    leaves = [p for p in oracle.parameters.values() if p.requires_grad]
    optimizer = torch.optim.Adam(leaves, lr=RATE) if stepwise else adam(leaves)

    def job() -> None:
        oracle.start(parts.labels)
        for t, x in enumerate(parts.events, 1):
            oracle.step(x)
            if stepwise or t == len(parts.events):
                optimizer.step()
                optimizer.zero_grad()

    return job


def bptt(parts: Parts) -> Job:
    """This library's backpropagation through time."""
    rule = rules.build(parts.net, "bptt")
    optimizer = adam(parts.net.parameters())
    return lambda: rule.sequence(parts.events, parts.labels, optimizer=optimizer)


CONTENDERS: dict[str, Callable[[Parts], Job]] = {
    TRANSCRIPTION: partial(transcription, stepwise=False),
    STEPWISE: partial(transcription, stepwise=True),
    **{
        f"TP {engine}, {schedule}, {contrast}": partial(
            traces_propagation, engine=engine, every=every, contrast=contrast
        )
        for engine in ("native", "torch")
        for schedule, every in EVERY.items()
        for contrast in ("batch", "class")
    },
    BPTT: bptt,
    SNNTORCH: partial(torch_peers.job, module=torch_peers.SnnTorch, rate=RATE),
    SPIKINGJELLY: partial(torch_peers.job, module=torch_peers.SpikingJelly, rate=RATE),
    ES_D_RTRL: partial(jax_peer.job, algorithm="pp_prop", rate=RATE),
    D_RTRL: partial(jax_peer.job, algorithm="d_rtrl", rate=RATE),
}
"""By name: what it is, how often it updates, and for TP the contrast."""


def missing() -> list[str]:
    """Packages of peers that are not installed."""
    return sorted({name for name in PACKAGES.values() if find_spec(name) is None})


def fits(name: str, case: Case, batch: int) -> bool:
    """Whether a contender, its package installed, can do a case at a batch size."""
    if name == D_RTRL:  # a matrix of traces for each sample: seconds a batch already at one
        return batch == 1 and case.dense and sum(case.hidden) <= 450
    if "native" in name and native.why():
        return False
    if not case.dense:
        # the transcription holds differences of all pairs of samples, gigabytes of them
        ours = [f"TP {engine}, sequence, batch" for engine in ("native", "torch")]
        return name in [BPTT, *ours, *([TRANSCRIPTION] if batch <= 8 else [])]
    return batch > 1 or not name.endswith(", batch")


def chosen(case: Case, batch: int) -> list[str]:
    """All contenders for a case at a batch size."""
    absent = missing()
    names = [name for name in CONTENDERS if fits(name, case, batch)]
    if batch == 1:
        names = [name for name in names if name != STEPWISE]
    return [name for name in names if PACKAGES.get(name) not in absent]


def build(name: str, case: Case, batch: int) -> Job:
    """A contender's job on a fresh network."""
    return CONTENDERS[name](make(case, batch))
