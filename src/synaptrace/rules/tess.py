"""TESS: S-TLLR's traces, with each layer's error from a fixed local classifier of square waves.

    r = A p(s),  c = M r / d,  δ = p*(Aᵀ Mᵀ (softmax(c) − y)) / (d B)
    ∂W = a_pre (δ ⊙ ψ)ᵀ q + a_post (δ ⊙ h)ᵀ x,  ∂R the same with q_R and s′     (see `stllr`)

M and the adaptive average A are those of `waves`. At every step δ is the gradient of the layer's
own cross-entropy; with λ_pre = a_post = 0 and a_pre = 1 so is ∂W.

Source: Apolinario, Roy, Frenkel, arXiv 2502.01837 (IJCNN 2025); published: λ_pre .5, λ_post .2,
a_pre 1, and a_post 0 (DVS data) or 1 (CIFAR). Every step has the label, as in the paper; the
authors' script, up to commit 07b311d, withholds it from the layers in its last ``delay-ls`` steps.
Locality: local in space and time; fixed projections, which can be computed anew at every step;
transport within the layer; not update-locked; the readout trains beside (see `stream`).
Memory between steps: u, s, q (and q_R, if recurrent; and h, where a_post isn't 0) of each layer,
the readout's z, and M (O·d) of each layer unless ``regenerate``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from synaptrace.network import Network
from synaptrace.rules.locality import Locality
from synaptrace.rules.stllr import CausalTraces
from synaptrace.rules.waves import Waves


class TESS(CausalTraces):
    """TESS on a network (equations and source above).

    Args:
        net: the network; its gradients are what the rule adds to.
        lambda_pre, lambda_post: factors per step of the two traces, from 0 to 1.
        a_pre, a_post: weights of the causal and the anti-causal term.
        regenerate: compute M at every step instead of keeping it: the same numbers, less memory.

    Raises:
        UserError: a factor that is not within 0 and 1.
    """

    classifiers: Sequence[Waves]
    name = "tess"
    locality = Locality(
        space=True, time=True, auxiliary="M (O·d), each layer, or computed", update_locked=False,
        weight_transport="within the layer",
    )  # fmt: skip
    order = "B·(I + H) + O·H"

    def __init__(
        self,
        net: Network,
        lambda_pre: float = 0.5,
        lambda_post: float = 0.2,
        a_pre: float = 1.0,
        a_post: float = 0.0,
        regenerate: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(net, lambda_pre, lambda_post, a_pre, a_post)
        if regenerate:
            self.locality = replace(self.locality, auxiliary="none (M is computed)")
            self.order = "B·(I + H)"
        self.classifiers = nn.ModuleList(  # type: ignore[assignment]
            Waves(net, i, square=True, keep=not regenerate) for i in range(len(net.layers))
        )

    def _layer(self, i: int, x: Tensor, running: Tensor | None) -> Tensor:
        layer, classifier, step = self.net.layers[i], self.classifiers[i], self._fire(i, x, running)
        weight, labels = self.sample_weight(running), self.state["labels"][0][:, None]
        r = classifier.shrink(step.out)
        log_softmax = classifier.project(r).div_(classifier.length).log_softmax(1)
        off = self._off(log_softmax.exp()).mul_(weight)
        error = classifier.back(off).div_(classifier.length)
        self._learn(i, step, layer.unpool(classifier.grow(error, step.out), step.spikes))
        self._record(i, -(log_softmax.gather(1, labels) * weight).sum(), None, running)
        return step.out
