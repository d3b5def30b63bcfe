"""Numbers as C: tables of weights, laid out by input, and the constants of model.h."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from synaptrace.layers import Conv, Dense, Layer
from synaptrace.network import Network

Array = NDArray[np.float32]
WIDTH = 100


def by_input(layer: Layer | Dense) -> Array:
    """Forward weights with the input first: (inputs, neurons), or (C, 3, 3, channels)."""
    weight = layer.forward_weight().detach().to(torch.float32)
    order = (1, 2, 3, 0) if isinstance(layer, Conv) else (1, 0)
    return weight.permute(order).contiguous().numpy()


def recurrent(layer: Layer) -> Array | None:
    """Recurrent weights, (neuron before, neuron)."""
    if layer.recurrent is None:
        return None
    return layer.recurrent.detach().to(torch.float32).t().contiguous().numpy()


def weights(net: Network) -> list[Array]:
    """All weights of the forward pass, layer by layer, then the readout's."""
    found: list[Array] = []
    for layer in net.layers:
        own = recurrent(layer)
        found += [by_input(layer), *([] if own is None else [own])]
    return [*found, by_input(net.readout)]


def identity(tables: Iterable[Array]) -> int:
    """A checksum of weights."""
    crc = 0
    for table in tables:
        crc = zlib.crc32(table.astype("<f4").tobytes(), crc)
    return crc


def number(value: float) -> str:
    """A constant, exact in double precision."""
    text = repr(float(value))
    return text if any(c in text for c in ".en") else f"{text}.0"


def single(value: float) -> str:
    """A float32 constant, exact in both precisions."""
    text = f"{value:.9g}"
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"


def table(declaration: str, values: Sequence[str]) -> str:
    """``declaration`` = { … }; in lines of at most `WIDTH` characters."""
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {value},"
    lines.append(line)
    return "\n".join([f"{declaration} = {{", *lines, "};\n"])


def values(declaration: str, numbers: NDArray[np.generic]) -> str:
    """A table of float32 or whole numbers."""
    write = str if numbers.dtype.kind == "i" else single
    return table(declaration, [write(value) for value in numbers.ravel().tolist()])
