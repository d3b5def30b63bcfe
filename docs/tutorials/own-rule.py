# %% [markdown]
# # Your own rule
#
# At the end you will have a learning rule of your own in 40 lines, trained a network with it, and compared it with
# Traces Propagation and with no learning of the hidden layer at all.
#
# ## The idea
#
# *Committees.* Deal the hidden neurons out to the classes, like cards. Every committee should be the most active one when
# its class is there. So a layer has a classifier without a single weight: the mean trace of each committee. Its error says
# to each neuron whether it should spike more, and that times the surrogate times the trace of its inputs is an update.
#
#     c_k = mean of z over the neurons of committee k         z: traces of the layer's spikes
#     e   = (softmax(κ c) − y) / B
#     g_j = e_{k(j)} σ'(v_j),   ∂W = gᵀ q                      q: traces of the input
#
# Local in space and time, no matrix, no transposed weights. Is it any good?
#
# ## The code
#
# `InputTraces` runs the network and keeps what most rules need: `_fire` does a step of a layer, `_trace` moves q on, and
# `_readout` has the readout learn by the delta rule ([what else there is](../reference/api.md#inside-a-rule)). What is left
# is the idea itself. State lives in `self.state`, so that checkpoints have it.

# %%
import torch
from torch import Tensor

from synaptrace.rules.base import Locality
from synaptrace.rules.stream import InputTraces


class Committees(InputTraces):
    """Each class has a committee of neurons, which should be the most active one.

    Args:
        net: the network.
        sharpness: κ, by which a committee's mean trace counts.
    """

    name = "committees"
    locality = Locality(
        space=True, time=True, auxiliary="none", update_locked=False, weight_transport="no"
    )
    order = "B·(I + H)"

    def __init__(self, net, *, sharpness: float = 5.0, generator=None):
        super().__init__(net, generator=generator)
        self.sharpness = sharpness

    def _start(self, labels: Tensor) -> None:
        super()._start(labels)
        self.state["trace"] = self._zeros(layer.out_shape for layer in self.net.layers)

    def _layer(self, i: int, x: Tensor, running: Tensor | None) -> Tensor:
        layer, step = self.net.layers[i], self._fire(i, x, running)
        z = self.state["trace"][i].mul_(layer.neuron.lam).add_(step.out).flatten(1)
        committee = torch.arange(z.shape[1], device=z.device) % self.classes  # k(j)
        sizes = committee.bincount(minlength=self.classes)
        mean = z.new_zeros(len(z), self.classes).index_add_(1, committee, z) / sizes
        y, weight = self._one_hot(), self.sample_weight(running)
        log_p = (self.sharpness * mean).log_softmax(1)
        self._record(i, -(y * log_p * weight).sum(), None, running)  # the layer's loss, for the log
        e = (log_p.exp() - y) * weight
        delta = layer.unpool(e[:, committee].view(-1, *layer.out_shape), step.spikes)
        layer.accumulate(delta * step.psi, *self._trace(i, step))
        return step.out


# %% [markdown]
# That is all: a class of a `Rule` with a name is a rule, `st.rules.make("committees", net)`. Its keywords are its
# options.
#
# ## Three rules on the same network

# %%
import matplotlib.pyplot as plt

import synaptrace as st

data = st.data.load("digits", batch_size=64)
neuron = st.LIF(threshold=1.0, decay=0.9, trace_decay=0.9)


def train(name, **options):
    """Validation accuracy of each epoch, and the trained network."""
    net = st.mlp(512, [100], 10, neuron=neuron, generator=torch.Generator().manual_seed(0))
    rule = st.rules.make(name, net, generator=torch.Generator().manual_seed(0), **options)
    curve = []
    st.fit(
        net,
        rule,
        data,
        epochs=6,
        lr=3e-3,
        lr_readout=1e-2,
        progress=False,
        after_epoch=lambda line: curve.append(line["validation_accuracy"]),
    )
    return curve, net


figure, axis = plt.subplots(figsize=(7, 3.5))
for name, options in {
    "committees": {},
    "tp": {"eligibility": True, "temperature": "auto"},
    "readout-only": {},
}.items():
    curve, net = train(name, **options)
    axis.plot(range(1, 7), curve, marker="o", label=name)
    print(f"{name:13} test accuracy {st.evaluate(net, data).accuracy:.1%}")
axis.set(xlabel="epoch", ylabel="validation accuracy")
axis.legend()
plt.show()

# %% [markdown]
# One seed, one learning rate: a first look, not a result. For a fair one `synaptrace compare` gives each rule its own
# choice of rates, several seeds, and a test. It needs the rule in a file; the first cell is one (Jupyter keeps the cells'
# text in `In`):

# %%
import os
import tempfile
from pathlib import Path

os.chdir(tempfile.mkdtemp())
Path("committees.py").write_text(In[1])

# %% language="bash"
# synaptrace compare --rule.file committees.py --rules committees,readout-only \
#     --train.epochs 2 --model.hidden '[50]' --rates 3e-3,1e-2 --seeds 1 --quiet

# %% [markdown]
# (Two epochs and one seed, to keep this page short; leave the last options out, and add `tp` and others.) Every verb that
# needs the rule takes its file: `synaptrace train --rule.file committees.py --rule.name committees`, and then `evaluate`,
# `plot` or `report RUN --rule.file committees.py`. A run keeps the rule's name and no code.
#
# Before you believe a rule: test its gradient against autograd, where it is the gradient of a loss, on a network that
# spikes. [Contributing](../contributing.md#adding-a-rule) says how a rule becomes one of those that come along.
#
# Next: [the rules side by side](../rules.md); [what local means](../concepts/local.md).
