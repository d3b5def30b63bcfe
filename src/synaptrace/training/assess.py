"""`st.evaluate`: a network, or a run by its name, on a data set."""

from __future__ import annotations

from pathlib import Path

from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.training import evaluate as counting
from synaptrace.training import job
from synaptrace.training.evaluate import Score
from synaptrace.training.run import load


def evaluate(what: Network | str | Path, data: Dataset | None = None, split: str = "test") -> Score:
    """What a network does on one part of a data set.

    Args:
        what: a network, or a run directory, a checkpoint in one, the name of a built-in network.
        data: a data set (`Loaders`, `TensorData`, `data.load`); None: what the run was trained on.
        split: "train", "validation" or "test".

    Returns:
        accuracy and recall (shares of 1), confusion (classes, classes), spikes and rates.

    Raises:
        UserError: a run that can't be opened, or that doesn't say its data; data of other classes
            or another shape, or without such a split.
    """
    if data is None:
        if isinstance(what, Network):
            raise UserError("data: a network doesn't say on which data; give some, or a run")
        trained = job.trained(what)
        net, data = trained.net, trained.load_data()
    else:
        net = what if isinstance(what, Network) else load(what)
    if not (hasattr(data, "meta") and hasattr(data, "batches")):
        raise UserError(
            f"data: a {type(data).__name__} is no data set; give st.TensorData(events, labels), "
            "st.Loaders(…) or st.data.load(NAME)"
        )
    meta = data.meta
    if len(meta.classes) != net.classes:
        raise UserError(
            f"data: {meta.name} has {len(meta.classes)} classes, the network {net.classes}"
        )
    score = counting.evaluate(net, data.batches(split))
    if not score.samples:
        raise UserError(f"split: {meta.name} has no {split} samples")
    return score
