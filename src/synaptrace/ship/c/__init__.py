"""A trained network as a C program (C99, no dependency, no allocation)."""

from synaptrace.ship.c.export import export

__all__ = ["export"]
