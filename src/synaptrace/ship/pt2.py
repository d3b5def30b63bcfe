"""A network's step as a program of PyTorch: `torch.export`, saved as a .pt2 file.

    program(x, state…) -> (logits, state…)

The state is a tuple of tensors in the order of `network.State`: the membrane of each hidden layer,
the spikes of each, the logits, and the adaptation of each where thresholds adapt. It is zeros at
the start of a sample. The batch may be of any size from 1 on.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.files import replace_atomic
from synaptrace.network import Network, State
from synaptrace.ship import Options
from synaptrace.training.job import Trained


def export(trained: Trained, out: Path, options: Options) -> str:
    """Write the step of a run's network to ``out``; returns what is printed.

    Raises:
        UserError: an option that isn't for this target; another ending than .pt2; the file can't
            be written.
    """
    options.accept("pt2")
    if out.suffix != ".pt2":  # PyTorch would write, and read, no other
        raise UserError(f"{out}: a program of PyTorch is named .pt2; choose such an --out")
    write(trained.net, out)
    state = flat(trained.net.initial_state(1))
    return (
        f"{out}: torch.export.load it; .module()(x, *state) returns logits and the next state, "
        f"{len(state)} tensors, zeros at the start of a sample"
    )


def write(net: Network, path: str | Path) -> None:
    """Write the program of ``net.step``. Raises UserError where the file can't be written."""
    made = program(net)
    replace_atomic(path, lambda temporary: torch.export.save(made, temporary))


def program(net: Network) -> torch.export.ExportedProgram:
    """The program of ``net.step``, of any batch size."""
    step, batch = Step(net), torch.export.Dim("batch", min=1)
    x = net.readout.weight.new_zeros(2, *net.in_shape)
    # The state starts as one tensor of zeros in several places, which would become one input.
    state = tuple(each.clone() for each in flat(net.initial_state(2)))
    free = {0: batch}
    with torch.no_grad():
        return torch.export.export(
            step, (x, *state), dynamic_shapes=(free, tuple(free for _ in state)), strict=False
        )


def flat(state: State) -> tuple[Tensor, ...]:
    """The tensors of a state, in the program's order."""
    return (*state.membrane, *state.spikes, state.logits, *state.adaptation)


class Step(nn.Module):
    """`Network.step` with its state as single tensors."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, classes) and the next state, from x (B, *in_shape) and the state."""
        n = len(self.net.layers)
        before = State(state[:n], state[n : 2 * n], state[2 * n], state[2 * n + 1 :])
        logits, after = self.net.step(x, before)
        return logits, *flat(after)
