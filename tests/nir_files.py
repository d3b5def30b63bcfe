"""NIR files as other programs write them, made with h5py alone."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

Nodes = dict[str, dict[str, Any]]
Edges = Sequence[tuple[str, str]]


def write(path: Path, nodes: Nodes, edges: Edges, metadata: dict[str, Any] | None = None) -> Path:
    """A file of these nodes; a node that holds "nodes" and "edges" is a graph within."""
    import h5py

    def fill(group: Any, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                fill(group.create_group(name), value)
            elif isinstance(value, np.ndarray) and value.ndim:
                group.create_dataset(name, data=value, compression="gzip")
            else:
                group.create_dataset(name, data=value)

    graph = {"type": "NIRGraph", "nodes": nodes, "edges": list(edges)}
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.8"
        fill(file, {"node": graph | ({"metadata": metadata} if metadata else {})})
    return path


def line(*names: str) -> list[tuple[str, str]]:
    """Edges from each name to the next."""
    return list(pairwise(names))


def shape(kind: str, *sizes: int) -> dict[str, Any]:
    """An Input or Output."""
    return {"type": kind, "shape": np.array(sizes)}


def lif(*sizes: int, **others: Any) -> dict[str, Any]:
    """Neurons that forget a quarter a step of 0.1 ms, their input as it is."""
    values = {"r": 4.0, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0} | others
    if "type" not in others:
        values = {"tau": 4e-4} | values
    full = {key: np.full(sizes, value) for key, value in values.items() if key != "type"}
    return {"type": values.get("type", "LIF")} | full


def linear(outputs: int, inputs: int, seed: int = 0, **others: Any) -> dict[str, Any]:
    weight = np.random.default_rng(seed).normal(size=(outputs, inputs)).astype(np.float32)
    return {"type": "Linear", "weight": weight} | others


def conv2d(outputs: int, inputs: int, **others: Any) -> dict[str, Any]:
    weight = np.random.default_rng(0).normal(size=(outputs, inputs, 3, 3)).astype(np.float32)
    one = np.ones(2, int)
    return {
        "type": "Conv2d", "weight": weight, "bias": np.zeros(outputs), "stride": one,
        "padding": one, "dilation": one, "groups": 1,
    } | others  # fmt: skip


def pool(kind: str = "AvgPool2d", size: int = 2, **others: Any) -> dict[str, Any]:
    sizes = np.full(2, size)
    return {
        "type": kind,
        "kernel_size": sizes,
        "stride": sizes,
        "padding": np.zeros(2, int),
    } | others


def nodes() -> Nodes:
    """6 → 5 → 3."""
    return {
        "input": shape("Input", 6), "w": linear(5, 6), "lif": lif(5), "out": linear(3, 5),
        "output": shape("Output", 3),
    }  # fmt: skip


EDGES = line("input", "w", "lif", "out", "output")


def maps() -> Nodes:
    """2×4×4 → 3 channels, average to 2×2 → 3."""
    return {
        "input": shape("Input", 2, 4, 4), "w": conv2d(3, 2), "lif": lif(3, 4, 4), "pool": pool(),
        "flat": {"type": "Flatten", "start_dim": 0, "end_dim": -1}, "out": linear(3, 12),
        "output": shape("Output", 3),
    }  # fmt: skip


MAP_EDGES = line("input", "w", "lif", "pool", "flat", "out", "output")


def chain(path: Path) -> Path:
    """A recurrent network in a graph within, as snnTorch writes one."""
    inside = {
        "input": shape("Input", 5), "lif": lif(5), "w_rec": linear(5, 5, 1),
        "output": shape("Output", 5),
    }  # fmt: skip
    back = [*line("input", "lif", "output"), *line("lif", "w_rec", "lif")]
    group = {"type": "NIRGraph", "nodes": inside, "edges": back}
    return write(path, nodes() | {"lif": group}, EDGES)
