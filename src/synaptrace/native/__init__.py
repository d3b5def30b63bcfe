"""The compiled library: sequences of dense networks (`library`), work on maps (`maps`) and
convolutions of spikes (`convolve`), all of which know tensors and neurons, never a network.

`why` says what is missing where it can't be used, `level` which instruction set it uses. How it is
built up: README.md beside this file.
"""

from synaptrace.native.library import level, why

__all__ = ["level", "why"]

level()  # an instruction set that isn't there is said at once, before anything is written
