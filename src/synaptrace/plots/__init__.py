"""Pictures of a run: how it learned, what its traces, filters and feature maps look like."""

from __future__ import annotations

from pathlib import Path

from synaptrace.data.dataset import Dataset
from synaptrace.drawing import attempt
from synaptrace.files import sweep
from synaptrace.network import Network
from synaptrace.plots.classes import EMBEDDING, confusion, embedding, traces
from synaptrace.plots.curves import CURVE, LATE, SPIKES, learning_curve, learning_curves, spikes
from synaptrace.plots.sample import feature_maps, labelled, membrane, raster, sample
from synaptrace.plots.weights import filters

__all__ = [
    "CURVE", "EMBEDDING", "LATE", "SPIKES", "after_training", "confusion", "embedding",
    "feature_maps", "filters", "labelled", "learning_curve", "learning_curves", "membrane",
    "raster", "sample", "spikes", "traces",
]  # fmt: skip


def after_training(run: Path, net: Network, dataset: Dataset) -> None:
    """The pictures that every training leaves in ``run``; a warning for each that fails."""
    for picture in (CURVE, EMBEDDING):
        sweep(run / picture)  # a kill left it half-written
    attempt(lambda: learning_curve(run))
    attempt(lambda: embedding(net, dataset, run / EMBEDDING))
