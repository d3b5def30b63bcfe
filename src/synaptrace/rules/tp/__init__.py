"""Traces Propagation, a file for each idea; README.md says where to begin."""

from synaptrace.rules.tp.rule import TracesPropagation

__all__ = ["TracesPropagation"]
