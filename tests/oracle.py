"""The autograd oracle; it lives with the benchmark, which times it beside the closed form."""

from synaptrace.rules.tp.reference import Oracle

__all__ = ["Oracle"]
