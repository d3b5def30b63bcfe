"""How each framework's released importer reads a neuron of NIR, the intermediate representation.

NIR states τ v' = (v_leak − v) + r I with weights before it, a spike at v > θ, and a reset to
v_reset. The importers don't agree on the time step, on r, on the spike at v = θ, on pools, nor on
the reset, so that no one file is right everywhere. docs/nir.md says what each of them does;
tests/test_nir_frameworks.py holds it against them.

Source: Pedersen et al., Nat. Commun. 15:8122 (2024), and nir 1.0.8, snnTorch 1.0.0,
SpikingJelly 2.0.0, Norse 1.1.0, Sinabs 3.1.3 with nirtorch 2.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from synaptrace.errors import UserError


@dataclass(frozen=True)
class Dialect:
    """What a framework's importer makes of a file.

    Args:
        dt: seconds in a time step where the user says nothing; 1 where τ is in steps.
        raw: it multiplies the input by r dt/τ, so that r = τ/dt leaves weights as they are; else
            r = 1, and weights are divided by 1 − β.
        exponential: β = exp(−1/τ), and the input is taken as it is.
        at_threshold: it spikes at v ≥ θ, as we do; else at v > θ.
        affine: it knows no weights without a bias.
        sums: it knows no average pool, but a sum.
        subtracts: it resets by subtraction, whatever the file says.
        note: what whoever imports the file should know.
    """

    dt: float = 1e-4
    raw: bool = False
    exponential: bool = False
    at_threshold: bool = False
    affine: bool = False
    sums: bool = False
    subtracts: bool = False
    note: str = ""

    def tau(self, beta: float) -> float:
        """τ of a decay β within 0 and 1."""
        return -1 / math.log(beta) if self.exponential else self.dt / (1 - beta)

    def beta(self, tau: float) -> float:
        """The inverse of `tau`."""
        if self.exponential:
            return math.exp(-1 / tau) if tau > 0 else 0.0
        return 1 - self.dt / tau

    def r(self, beta: float) -> float:
        """r of a decay β."""
        return self.tau(beta) / self.dt if self.raw else 1.0

    def divisor(self, beta: float) -> float:
        """What weights are divided by."""
        return 1.0 if self.raw or self.exponential else 1 - beta

    def gain(self, tau: float, r: float) -> float:
        """What the input of a neuron in a file is multiplied by; 1 where that is rounding."""
        gain = 1.0 if self.exponential else r * self.dt / tau
        return 1.0 if math.isclose(gain, 1.0, rel_tol=1e-6) else gain

    def threshold(self, theta: float) -> np.float32:
        """The threshold to write for spikes at v ≥ θ, v being float32."""
        found = np.float32(theta)
        return found if self.at_threshold else np.nextafter(found, np.float32(-np.inf))

    def theta(self, threshold: float) -> float:
        """The inverse of `threshold`."""
        if self.at_threshold:
            return threshold
        return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


DIALECTS = {
    "generic": Dialect(note="as NIR says, by Euler's rule in steps of 1e-4 s"),
    "snntorch": Dialect(
        raw=True,
        note="import with snntorch.import_nir.import_from_nir, which prints; reset_mem() of each "
        "snn.Leaky before a new sample",
    ),
    "spikingjelly": Dialect(
        raw=True,
        at_threshold=True,
        note="import with spikingjelly.activation_based.nir_exchange.import_from_nir; give back "
        "the state that a step returned",
    ),
    "norse": Dialect(
        dt=1e-3,
        sums=True,
        note="import with norse.torch.from_nir; give back the state that a step returned",
    ),
    "sinabs": Dialect(
        dt=1.0,
        exponential=True,
        at_threshold=True,
        affine=True,
        sums=True,
        subtracts=True,
        note="import with sinabs.nir.from_nir, then set spike_fn = sinabs.activation.SingleSpike "
        "of each LIFSqueeze, which else spikes several times a step",
    ),
    "lava": Dialect(
        affine=True,
        sums=True,
        note="written for the importer of NIR's paper (paper/nir_to_lava.py), and untested: Lava "
        "asks for a Python before 3.11",
    ),
}
"""Every target of `--to nir`."""


def dialect(name: str, option: str = "--target") -> Dialect:
    """The dialect ``name``. Raises UserError, naming ``option``, for an unknown one."""
    if name not in DIALECTS:
        raise UserError(f"{option}: {name!r} is none of {', '.join(DIALECTS)}")
    return DIALECTS[name]
