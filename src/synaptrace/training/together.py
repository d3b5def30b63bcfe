"""What the processes of a team tell one another, beside the sums of `learn`: nothing changes
where there is but one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synaptrace.config import Config
from synaptrace.data.ahead import one_ahead
from synaptrace.data.dataset import Dataset
from synaptrace.network import Network
from synaptrace.training import checkpoint
from synaptrace.training.evaluate import Score, evaluate
from synaptrace.training.run import SUMMARY
from synaptrace.training.state import FREE, Progress, State, finished
from synaptrace.training.team import Team

SAME = ("network", "rule", "data", "train", "synaptrace", "torch")
"""Of what `state.describe` says, what all processes must have alike."""


def agree_on_settings(crew: Team, config: Config) -> None:
    """Raises UserError where a process has other settings, be they those of other data or as many
    seeds; where it computes and where its data lie may differ."""
    parts = {
        section: {k: v for k, v in values.items() if (section, k) not in FREE}
        if isinstance(values, dict) else values
        for section, values in config.model_dump(mode="json").items()
    }  # fmt: skip
    crew.agree(parts)


def agree(crew: Team, about: Mapping[str, Any], dataset: Dataset) -> None:
    """Raises UserError where a process has other settings, another version or other data: a first
    batch of other samples."""
    if crew.size == 1:
        return
    events, labels, _ = next(iter(dataset.batches("train")))
    parts = {name: about[name] for name in SAME}
    crew.agree(parts | {"data: the first labels": labels, "data: the first events": events})


def done_before(
    crew: Team, run: Path | None, resume: bool, about: Mapping[str, Any]
) -> tuple[dict[str, Any], checkpoint.Tensors] | None:
    """The summary and the picked weights where ``run`` is finished, as `state.finished`."""
    weights: checkpoint.Tensors = {}

    def read() -> dict[str, Any] | None:
        if run is None or not resume or not (run / SUMMARY).exists():
            return None
        summary, found = finished(run, about)
        weights.update(found)
        return summary

    summary = crew.tell(read)
    return None if summary is None else (summary, crew.tensors(lambda: weights))


def copy(crew: Team, state: State) -> None:
    """Take over where the first process stands, which alone has files."""
    if crew.size == 1:
        return
    names = ("lines", "written", "run_id", "threads")
    told = crew.tell(
        lambda: {"at": asdict(state.at)} | {name: getattr(state, name) for name in names}
    )
    tensors = crew.tensors(
        lambda: {
            f"{part}.{name}": tensor
            for part, held in {**state.tensors(), "picked": state.picked}.items()
            for name, tensor in held.items()
        }
    )
    if crew.rank:
        state.at = Progress(**told["at"])
        for name in names:
            setattr(state, name, told[name])
        state.take_tensors(tensors, Path("the first process"))
        place = state.weights[0].device
        picked = checkpoint.part(tensors, "picked")
        state.picked = {name: tensor.to(place) for name, tensor in picked.items()}


def score(crew: Team, net: Network, dataset: Dataset, split: str) -> Score:
    """What ``net`` does on a split, each process evaluating its share of the batches."""
    batches = crew.mine(dataset.batches(split))
    if getattr(dataset, "ahead", False):
        with closing(one_ahead(batches)) as made:
            own = evaluate(net, made)
    else:
        own = evaluate(net, batches)
    return Score(crew.sum(own.confusion), crew.sum(own.spikes), crew.sum(own.chances))


def accuracy(crew: Team, state: State, dataset: Dataset, split: str) -> float | None:
    """Of the weights as evaluation sees them now, None where there is no such split."""
    return score(crew, state.averaged, dataset, split).accuracy
