"""Reading a NIR file: nodes and edges as plain values, each held against the file's own size.

The package nir isn't asked: it reads whatever a file states, and follows its links.

node/nodes/NAME/type, weight, tau, …    a node; a node of the type NIRGraph holds nodes and edges
node/edges                              pairs of names
node/metadata/…                         text and numbers
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from synaptrace.data import hdf5
from synaptrace.data.inputs import afford, check_file, reason
from synaptrace.errors import UserError, short

DEEPEST = 4
"""Graphs within graphs."""
MOST = 10_000
"""Values in a file, all nodes together, and edges in a graph."""
FILTERS = ("gzip", "lzf", None)
"""Compressions that h5py has itself; HDF5 would load others as code."""


@dataclass(frozen=True)
class Graph:
    """Nodes by name, each its values by name with "type" among them, and edges; all is flat: a
    node of a graph in the graph is called ``outer.inner``."""

    nodes: dict[str, dict[str, Any]]
    edges: list[tuple[str, str]]
    metadata: dict[str, Any] = field(default_factory=dict)

    def after(self, name: str) -> list[str]:
        """Nodes that ``name`` leads to."""
        return [b for a, b in self.edges if a == name]

    def before(self, name: str) -> list[str]:
        """Nodes that lead to ``name``."""
        return [a for a, b in self.edges if b == name]


def read(path: str | Path) -> Graph:
    """The graph in a NIR file.

    Raises:
        UserError: naming the file, and the node where there is one: it can't be read, isn't whole,
            or is no graph of NIR; no h5py.
    """
    path = Path(path)
    reader = _Reader(path)
    try:
        with reader.file as file:
            return reader.graph(hdf5.member(file, "node", "node", reader.no), "", 0)
    except UserError:
        raise
    except Exception as error:  # h5py passes on whatever HDF5 stumbles over
        raise reader.no(reason(error)) from error


class _Reader:
    """One file, and how much of it has been asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, check_file(path)
        self.values = self.bytes = 0
        self.file = hdf5.opened(path, "nir", self.no)

    def no(self, why: str) -> UserError:
        return UserError(f"{self.path}: not a whole NIR file ({why})")

    def graph(self, group: Any, prefix: str, depth: int) -> Graph:
        """The graph that ``group`` holds, its nodes' names after ``prefix``."""
        if depth > DEEPEST:
            raise self.no("graphs within graphs without end")
        nodes: dict[str, dict[str, Any]] = {}
        inner: dict[str, Graph] = {}
        listed = hdf5.member(group, "nodes", f"{prefix}nodes", self.no)
        for name in listed:
            called = f"{prefix}{name}"
            node = hdf5.member(listed, name, called, self.no)
            kind = self.text(hdf5.member(node, "type", f"{called}/type", self.no), called)
            if kind == "NIRGraph":
                inner[called] = self.graph(node, f"{called}.", depth + 1)
                nodes |= inner[called].nodes
            else:
                nodes[called] = {**self.fields(node, called), "type": kind}
        edges = [edge for each in inner.values() for edge in each.edges]
        for a, b in self.pairs(group, prefix):
            edges.append((self.end(inner, f"{prefix}{a}", "Output"),
                          self.end(inner, f"{prefix}{b}", "Input")))  # fmt: skip
        for edge in edges:
            if not nodes.keys() >= set(edge):
                raise self.no(f"an edge between {short(edge[0])} and {short(edge[1])}, not in it")
        about = {}
        if "metadata" in group:
            about = self.fields(hdf5.member(group, "metadata", "metadata", self.no), "metadata")
        return Graph(nodes, edges, about)

    def end(self, inner: dict[str, Graph], name: str, kind: str) -> str:
        """``name``, or where it is a graph, its own node of the type ``kind``."""
        if name not in inner:
            return name
        ends = [n for n, node in inner[name].nodes.items()
                if node["type"] == kind and "." not in n.removeprefix(f"{name}.")]  # fmt: skip
        if len(ends) != 1:
            raise self.no(f"{short(name)} has {len(ends)} nodes {kind}")
        return ends[0]

    def pairs(self, group: Any, prefix: str) -> list[tuple[str, str]]:
        name = f"{prefix}edges"
        found = self.value(hdf5.member(group, "edges", name, self.no), name)
        if isinstance(found, np.ndarray) and not found.size:
            return []
        if not isinstance(found, np.ndarray) or found.dtype.kind != "O" or found.ndim != 2:
            raise self.no(f"{name} are no pairs of names")
        if found.shape[1] != 2 or len(found) > MOST:
            raise self.no(f"{name} are no pairs of names")
        return [(str(a), str(b)) for a, b in found]

    def fields(self, node: Any, called: str) -> dict[str, Any]:
        """The values of a node or of metadata; groups in it are left out."""
        import h5py

        found = {}
        for name in node:
            each = hdf5.member(node, name, f"{called}/{name}", self.no)
            if isinstance(each, h5py.Dataset):
                found[name] = self.value(each, f"{called}/{name}")
        return found

    def text(self, dataset: Any, called: str) -> str:
        found = self.value(dataset, called)
        if not isinstance(found, str):
            raise self.no(f"{called}: its type is no text")
        return found

    def value(self, dataset: Any, name: str) -> Any:
        """A number, text, or an array of numbers or (dtype object) of text."""
        import h5py

        dataset = hdf5.kept(dataset, name, self.no)
        self.values += 1
        if self.values > MOST:
            raise self.no(f"more than {MOST} values")
        if dataset.shape is None:
            return np.zeros(0)
        self.bytes += int(dataset.size) * dataset.dtype.itemsize
        afford(self.path, self.bytes, self.size, name)
        string = h5py.check_string_dtype(dataset.dtype)
        if string is None:
            if dataset.dtype.kind not in "biuf" or dataset.compression not in FILTERS:
                raise self.no(f"{name} holds {dataset.dtype}, not numbers")
            return dataset[()]
        if string.length is None:
            if (dataset.chunks and dataset.ndim != 1) or dataset.compression:
                raise self.no(f"{name} is text in pieces")
            if int(hdf5.stated(self.path, dataset, 1).sum()) > self.size:
                raise self.no(f"{name} states more text than there is")
        read = dataset.asstr()[()]
        return read if isinstance(read, str) else np.asarray(read, dtype=object)
