"""The native engine: sequences of dense networks without Python between time steps.

`TracesPropagation.sequence` and `Network.forward` use it by themselves where they can. It reads
only the weight rows of active inputs, adds to gradients only where a spike was, and may step Adam
in the same pass; results are those of the plain path up to rounding. `why` says what is missing
where it can't be used, `level` which instruction set it uses.
"""

from synaptrace.engine.library import level, why

__all__ = ["level", "why"]
