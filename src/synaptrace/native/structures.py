"""The library's structures as Python sees them, field by field: tp/job.hpp, maps/maps.hpp and
convolve/convolve.hpp say what each is."""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int64, c_void_p


class Matrix(ctypes.Structure):
    """A weight, its gradient and Adam's moments and constants."""

    _fields_ = (
        *((name, c_void_p) for name in ("weight", "grad", "mean", "square")),
        *((name, c_int64) for name in ("has_grad", "step")),
        *((name, c_double) for name in ("rate", "beta1", "beta2", "epsilon")),
    )


class Layer(ctypes.Structure):
    """A dense layer: sizes, neuron and weights."""

    _fields_ = (
        *((name, c_int64) for name in ("inputs", "outputs", "hard", "surrogate")),
        *((name, c_double) for name in ("threshold", "beta", "lam", "scale")),
        ("weight", Matrix),
        ("recurrent", Matrix),
    )


class Job(ctypes.Structure):
    """A sequence of a dense network, to learn from or to infer."""

    _fields_ = (
        *((name, c_int64) for name in ("is_double", "learn", "steps", "batch", "layers")),
        *((name, c_int64) for name in ("classes", "rows", "capacity", "every", "threads")),
        *((name, c_int64) for name in ("level", "count_classes", "whole", "eligibility")),
        ("events", c_void_p),
        *((name, c_void_p) for name in ("lengths", "labels", "row", "class_of", "counts")),
        *((name, c_void_p) for name in ("stream_offset", "stream_index")),
        *((name, c_double) for name in ("label_threshold", "readout_decay", "temperature")),
        *((name, c_double) for name in ("margin", "confidence")),
        *((name, Matrix) for name in ("label", "label_recurrent", "readout")),
        ("layer", ctypes.POINTER(Layer)),
        ("logits", c_void_p),
        *((name, c_void_p) for name in ("losses", "rates", "spikes", "ends", "update")),
    )


class State(ctypes.Structure):
    """A layer's state between two steps."""

    _fields_ = tuple(
        (name, c_void_p)
        for name in (
            "membrane", "spikes", "next_membrane", "next_spikes", "trace", "input_trace",
            "recurrent_trace", "v", "slope",
        )
    )  # fmt: skip


class Step(ctypes.Structure):
    """One step of a job."""

    _fields_ = (
        ("job", ctypes.POINTER(Job)),
        ("state", ctypes.POINTER(State)),
        *((name, c_void_p) for name in ("before", "losses", "rates", "error")),
        *((name, c_int64) for name in ("time", "keeps_label", "has_label")),
    )


class Outer(ctypes.Structure):
    """A gradient gᵀ x, of which few x aren't zeros."""

    _fields_ = (
        *((name, c_int64) for name in ("is_double", "rows", "outputs", "inputs")),
        *((name, c_void_p) for name in ("g", "x", "grad")),
        ("level", c_int64),
    )


class Fire(ctypes.Structure):
    """A step of neurons on maps."""

    _fields_ = (
        *((name, c_int64) for name in ("is_double", "rows", "size", "samples", "hard")),
        ("surrogate", c_int64),
        *((name, c_double) for name in ("threshold", "other_threshold", "beta", "scale")),
        *((name, c_void_p) for name in ("v", "u", "s")),
        *((name, c_int64) for name in ("threads", "level")),
    )


class Spread(ctypes.Structure):
    """Errors of pooled maps, spread to the neurons: g = p*(δ) ⊙ σ'."""

    _fields_ = (
        *((name, c_int64) for name in ("is_double", "rows", "height", "width", "channels")),
        ("pool", c_int64),
        *((name, c_void_p) for name in ("delta", "spikes", "slope")),
        *((name, c_int64) for name in ("threads", "level")),
    )


class Convolution(ctypes.Structure):
    """A convolution of spikes, forward or its gradient."""

    _fields_ = (
        *((name, c_int64) for name in ("rows", "height", "width", "inputs", "outputs")),
        *((name, c_void_p) for name in ("x", "g", "out", "parts", "work")),
        *((name, c_int64) for name in ("threads", "level")),
    )


STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Matrix, Layer, Job, State, Step, Outer, Fire, Spread, Convolution,
)  # fmt: skip


def description() -> str:
    """All structures, a line each, as `synaptrace_abi` in abi.cpp writes them."""
    return "".join(map(describe, STRUCTURES))


def describe(structure: type[ctypes.Structure]) -> str:
    """A line "structure:bytes field:kind:offset:bytes …"."""
    line = f"{structure.__name__}:{ctypes.sizeof(structure)}"
    for name, kind, *_ in structure._fields_:
        place = getattr(structure, name)
        line += f" {name}:{letter(kind)}:{place.offset}:{place.size}"
    return line + "\n"


def letter(kind: type) -> str:
    """i for an integer, d for a float, s for a structure, p for a pointer."""
    if issubclass(kind, ctypes.Structure):
        return "s"
    return {c_int64: "i", c_double: "d"}.get(kind, "p")
