"""The native engine: sequences of dense networks without Python between time steps.

`TracesPropagation.sequence` and `Network.forward` use it by themselves where they can. It reads
only the weight rows of active inputs, adds to gradients only where a spike was, and may step Adam
in the same pass; results are those of the plain path up to rounding, numbers below the normal ones
(1e-38 in float32) being taken for zeros, and the same bits on any number of threads. Steps are done
in blocks of at most 32, so memory doesn't grow with T. Beyond the plain path's it is a copy of
weights, gradients and, where it steps Adam, moments, and layer 1's target stream, kept in at most
64 MiB while its weights are fixed.

Convolutional networks run step by step, the element-wise work on maps in one pass (`maps`) and
their convolutions on a matrix unit where the processor has one (`convolve`).

`why` says what is missing where it can't be used, `level` which instruction set it uses.
"""

from synaptrace.native.library import level, why

__all__ = ["level", "why"]
