"""The autograd oracle; it lives with the benchmark, which times it beside the closed form."""

from synaptrace.bench.oracle import Oracle

__all__ = ["Oracle"]
