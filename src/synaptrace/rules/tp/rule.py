"""Traces Propagation (TP): contrast the spike traces of samples with those of their labels.

Two streams run through the same weights. The sample stream is driven by x; the target stream is
driven by the label alone, which enters layer 1 through a label projection S (fixed and random
unless asked) onto neurons of their own. With Z_l the samples' traces, Y_l the labels' traces and
Y_0 the trace of the one-hot label, layer l minimises, at every step, the cross-entropy

    loss_l = mean over samples of CE(P, softmax(A)),  A = Z_l Y_lᵀ,  P = softmax(−D(Y_{l−1}))

D: pairwise Euclidean distances. Only the instantaneous path is differentiated, so the update is
three local factors (error, other stream's trace, surrogate) and needs no graph:

    E   = (softmax(A) − P) / B
    g^z = p*(E Y_l) ⊙ σ'(v^z − θ)        g^y = p*(Eᵀ Z_l) ⊙ σ'(v^y − θ)
    ∂W_l = g^zᵀ s^z_{l−1} + g^yᵀ s^y_{l−1}   (l = 1: g^zᵀ x, and ∂S = g^yᵀ y where S is trained)
    ∂R_l = the same with the layer's own spikes of step t−1 (l = 1: of the samples alone; the
           label's neurons have recurrent weights of their own, which stay as they are)
    readout: m^t = α m^{t−1} + W_o s_L,  ∂W_o = (softmax(m) − y)ᵀ Z_L / B

p* is the transpose of the pooling; in a convolution A and D are means over pixels, and the
errors are divided by their number.

The target stream depends on the class alone, so one row for each of the C classes present
stands for all n_c samples of it, exactly: A becomes B×C, and A + log n and log n − D take the
place of A and −D. No B×B matrix, and no B rows of target state. Where samples differ in length,
n_c counts those still running, and the rows of E of the others are zero. A part of a batch that
is told the labels and lengths of the whole has its rows, its n_c and its B: the parts' gradients
add up to the whole's.

``contrast="class"`` takes every class as a row and leaves log n out: a sample no longer sees who
shares its batch, and a batch of one learns. (Ours; "batch" is the published form.)

A variant learns in few updates (ours as well; off by default). Along a neuron's own membrane,
u^{t−1} = v^{t−1} + a constant where resets are cut, so ∂v^t/∂W = β ∂v^{t−1}/∂W + x^t: a trace of
the input, x̄^t = β x̄^{t−1} + x^t, takes the place of x^t. With ``eligibility``

    ∂W_l = g^zᵀ x̄^z + g^yᵀ x̄^y,  ∂R_l = g^zᵀ s̄^z + g^yᵀ s̄^y  (l = 1: g^zᵀ x̄, g^zᵀ s̄; ∂S = g^yᵀ ȳ)

and a ``temperature`` τ divides the similarities, A = Z Yᵀ / τ, so that both errors carry 1/τ:
traces are tens long, and at τ = 1 one spike decides the softmax. "auto" takes from the target
rows, a layer and step, τ = max(1, ½ · mean over pairs of rows of ‖Y_c − Y_c'‖² / M).

It remains local, forward only and without auxiliary matrices, and what it keeps doesn't grow with
T. It gives up this: the state has a trace for each input of each row more, of W (layer 1: of the
samples alone) and of R, so that a layer's u, s and z of H numbers a row become 3H + I, and
4H + I if recurrent; an update that follows every step multiplies dense traces, not spikes; and
where weights change amid a sequence a trace is ∂v/∂W of earlier weights, an approximation. Cutting
resets, λ and all paths between neurons leaves it short of the whole gradient, as the published
rule is.

Source: Pes, Yin, Stuijk, Corradi, arXiv 2509.13053; Neuromorph. Comput. Eng. 6(1):014002 (2026).
Locality: local in space and time; no feedback or auxiliary matrices but S; no weight transport;
not update-locked; "batch" needs a batch, "class" does not.
Memory between steps: u, s, z of B + C rows a layer, and with eligibility x̄ and s̄; during a step,
beyond that, at most five tensors of the largest layer's B + C rows and what one convolution call
takes (native/convolve.py also four bytes a weight, packed, or six on a matrix unit). With more than
512 class rows a step goes over them in blocks of 512 (blocks.py), and beside A, P, E and D, which
are B×C, its work space no longer grows with C. None grows with T.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from synaptrace.errors import UserError
from synaptrace.layers import operations
from synaptrace.network import Network
from synaptrace.rules.base import Rule
from synaptrace.rules.locality import Locality
from synaptrace.rules.tp import contrast as equations
from synaptrace.rules.tp import execute, presynaptic, targets
from synaptrace.rules.tp.contrast import Contrast
from synaptrace.rules.tp.label import Label
from synaptrace.rules.tp.presynaptic import Presynaptic
from synaptrace.rules.tp.targets import Targets


class TracesPropagation(Rule):
    """Traces Propagation on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        contrast: "batch", the published form, or "class".
        train_label: train the label projection too (``label.weight`` becomes a parameter).
        label_threshold: the threshold of the label's neurons; None takes the first layer's in a
            dense network and 1.0 in a convolutional one.
        eligibility: weights learn from filtered inputs instead of this step's alone.
        temperature: τ, by which similarities are divided, or "auto".
        margin: M of the temperature "auto".
        engine: what it runs on: "native", compiled; "torch", the steps below; "auto", the native
            one where it can be used (in a dense network: by the exact rule, no subclass that steps
            otherwise, with at most 8192 class rows). Results are the same up to rounding. In a
            dense network it does steps, where no weights are standardised, and whole sequences,
            after which of the state only labels, logits, losses and rates remain; in a
            convolutional one, a layer's work between its two convolutions.
        generator: draws the label projection.

    Raises:
        UserError: an unknown contrast or engine, a temperature or margin that isn't positive; at
            `start`, a batch of one under "batch"; at `sequence`, engine "native" where it can't be
            used.
    """

    name = "tp"
    locality = Locality(
        space=True, time=True, auxiliary="S (O·H), once", update_locked=False,
        weight_transport="no", batch=True,
    )  # fmt: skip
    order = "(B + min(B, O))·H"
    purposes: ClassVar = dict.fromkeys(("row_of_sample", "class_of_row", "log_counts"), "records")
    unsaved = ("engine",)
    block: ClassVar[int] = execute.BLOCK
    """With more target rows than this, a step goes over its rows in blocks of as many."""

    def __init__(
        self,
        net: Network,
        contrast: Literal["batch", "class"] = "batch",
        train_label: bool = False,
        label_threshold: float | None = None,
        *,
        eligibility: bool = False,
        temperature: float | Literal["auto"] = 1.0,
        margin: float = 10.0,
        engine: Literal["auto", "torch", "native"] = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net)
        if engine not in ("auto", "torch", "native"):
            raise UserError(f"rule.engine: {engine!r} is none of 'auto', 'torch', 'native'")
        self.contrast = Contrast(contrast, temperature, margin)
        self.presynaptic, self.train_label = Presynaptic(eligibility), train_label
        self.locality = replace(self.locality, batch=contrast == "batch")
        if contrast == "class":
            self.order = "(B + O)·H"
        if eligibility:
            self.order += " + (B + C)·I"
        self.engine, self.kept = engine, execute.Kept()
        self.operations: list[operations.Plain] = []
        self._label_operations: list[operations.Plain] = []
        first, weight = net.layers[0], net.layers[0].weight
        default = first.neuron.threshold if len(first.shape) == 1 else 1.0
        self.label_threshold = default if label_threshold is None else label_threshold
        label = Label(
            net.classes, math.prod(first.shape), neuron=first.neuron, shape=first.shape,
            recurrent=first.recurrent is not None, standardise=first.standardise, gain=net.gain,
            generator=generator,
        ).to(weight.device, weight.dtype)  # fmt: skip
        if not train_label:
            freeze(label, "weight")
        freeze(label, "recurrent")
        self.label = label

    def doubts(self) -> list[str]:
        """Says so where no label drives its neurons over their threshold: layers learn nothing."""
        beta, most = self.label.neuron.beta, float(self.label.forward_weight().detach().max())
        reach = most / (1 - beta) if beta < 1 else math.inf
        if reach >= self.label_threshold:
            return []
        return [
            f"rule.label_threshold: the label's neurons reach {reach:.2g} and spike at "
            f"{self.label_threshold:g}, so that only the readout learns; set it lower"
        ]

    def _choose(self, labels: Tensor) -> Targets:
        return targets.choose(self.contrast, labels, self.classes, self.whole_labels)

    def _open(self, labels: Tensor) -> None:
        rows = self._choose(labels)
        self.state |= {"class_of_row": [rows.class_of_row], "row_of_sample": [rows.row_of_sample]}

    def _start(self, labels: Tensor) -> None:
        samples, rows, layers = len(labels), len(labels) + len(self.targets), self.net.layers
        self.state |= {
            "membrane": [layer.zero_state(rows, layer.shape) for layer in layers],
            "spikes": [layer.zero_state(rows, layer.shape) for layer in layers],
            "trace": [layer.zero_state(rows, layer.out_shape) for layer in layers],
            "log_counts": [self._counted(None)],
        } | presynaptic.start(self.presynaptic, self.net, samples, rows)

    def _step(self, x: Tensor, running: Tensor | None) -> Tensor:
        return execute.step(self)(self, x, running)

    def _quickly(self, x: Tensor) -> Tensor | None:
        return execute.natively(self, x)

    def _whole(
        self, events: Tensor, optimizer: torch.optim.Optimizer | None, every: int | None
    ) -> bool:
        return execute.whole(self, events, optimizer, every)

    def twin(self) -> Self:
        """As `Stateful.twin`; what the engine keeps is of one batch alone."""
        made = super().twin()
        made.kept = execute.Kept()
        return made

    # What a step asks.

    @property
    def targets(self) -> Targets:
        """The target stream's rows."""
        (class_of_row,), (row_of_sample,) = (
            self.state["class_of_row"], self.state["row_of_sample"]
        )  # fmt: skip
        return Targets(class_of_row, row_of_sample)

    @property
    def label_operations(self) -> operations.Plain:
        """What the label's projection does."""
        return self._label_operations[0]

    def thresholds(self, i: int) -> tuple[int, float]:
        """Of layer i: the number of rows with the neuron's own threshold, and the others'."""
        return self.batch, self.net.layers[i].neuron.threshold if i else self.label_threshold

    def log_counts(self, running: Tensor | None) -> Tensor:
        """log n_c of the samples of the whole batch that haven't ended, (C,)."""
        return self.state["log_counts"][0] if running is None else self._counted(running)

    def label_distance(self) -> Tensor:
        """D of the labels' own traces at this step."""
        lam, like = self.net.layers[0].neuron.lam, self.net.readout.weight
        same = self.targets.same(like.dtype)
        return equations.label_distance(lam, self.time + 1, self.classes, same)

    def _counted(self, running: Tensor | None) -> Tensor:
        rows, everyone = self.targets, self.whole_running(running)
        row = rows.row_of_sample
        if "whole_labels" in self.state:
            row = rows.rows_of(self.whole_labels)
        ones = self.net.readout.weight.new_ones(len(row))
        counted = ones if everyone is None else everyone.to(ones.dtype)
        return equations.log_counts(self.contrast, row, counted, len(rows))

    def _refresh(self) -> None:
        self._label_operations = []  # the old one goes first
        super()._refresh()
        layers, native = [*self.net.layers, self.net.readout], execute.maps_natively(self)
        self.operations = operations.make(layers, self.forward_weights, native)
        with torch.no_grad():
            weight = self.label.forward_weight()
            self._label_operations = operations.make([self.label], [weight], False)

    def _restored(self, name: str) -> str | None:
        """What a kept tensor's name is now; None where it is no longer kept."""
        if name in ("asked", "target", "threshold"):
            return None
        return targets.RENAMED.get(name, name)

    def _add_class(self, generator: torch.Generator | None) -> None:
        old = self.label.weight.shape[1]
        if self.net.classes != old + 1:
            raise UserError(
                f"rule.add_class: the network has {self.net.classes} classes, the rule {old}; "
                "call net.add_class() once before"
            )
        self.label.add_column(self.net.gain, generator)


def freeze(module: nn.Module, name: str) -> None:
    """Make a parameter a buffer: saved and moved with the module, trained by nobody."""
    value = getattr(module, name)
    if value is not None:
        delattr(module, name)
        module.register_buffer(name, value.detach())
