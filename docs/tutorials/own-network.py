# %% [markdown]
# # Your own network
#
# At the end you will have a network of a convolution and a dense layer, each with neurons of its own, trained on
# handwritten digits, and have looked into it.
#
# ## Layers
#
# `st.mlp`, `st.conv` and `st.vgg` make the usual ones. Other orders are a list (a `st.Dense` with `recurrent=True` also
# sees its own last spikes):

# %%
import matplotlib.pyplot as plt
import torch

import synaptrace as st

g = torch.Generator().manual_seed(0)
net = st.Network(
    [
        st.Conv(
            (2, 16, 16), 8, pool=("max", 2), neuron=st.LIF(threshold=0.5, decay=0.5), generator=g
        ),
        st.Dense(8 * 8 * 8, 80, neuron=st.LIF(threshold=0.5, decay=0.9), generator=g),
    ],
    10,
)
print(net)

# %% [markdown]
# The numbers have to fit: a step of the digits is (2, 16, 16), on and off events of 16 × 16 pixels; the convolution (3 × 3)
# keeps the size, its pool halves it, so the dense layer has 8 · 8 · 8 inputs. What doesn't fit says so:

# %%
try:
    st.Network([st.Conv((2, 16, 16), 8, pool=("max", 2)), st.Dense(100, 80)], 10)
except st.errors.UserError as error:
    print(error)

# %% [markdown]
# ## Training
#
# A `Network` is an `nn.Module`, and every rule takes it. (Layers are never called, so that hooks on them don't fire;
# `net.record` is the way to see inside.) Traces Propagation drives each layer by the label, too, whose neurons in the first
# layer have a threshold of their own, 1.0 in a convolution; here nothing would reach it, and training would say so. So it is
# set lower.

# %%
data = st.data.load("digits", batch_size=32)
rule = st.rules.make(
    "tp",
    net,
    eligibility=True,
    temperature="auto",
    label_threshold=0.3,
    generator=torch.Generator().manual_seed(0),
)


def spiking(title):
    """How many of all possible spikes each layer makes, on a batch to validate."""
    events, _, _ = next(data.batches("validation"))
    seen = net.record(events, ["spikes"])
    print(title, {name: f"{each.mean():.1%}" for name, each in seen.items() if "spikes" in name})


spiking("spikes before:")
st.fit(net, rule, data, epochs=4, lr=3e-3, lr_readout=1e-2, progress=False)
spiking("spikes after: ")
print(f"test accuracy {st.evaluate(net, data).accuracy:.1%}")

# %% [markdown]
# Look at the spikes first when a network doesn't learn: a silent layer has nothing to tell the next one. A lower
# threshold, or `gain` in deep networks, wakes it up.
#
# ## Looking inside

# %%
events, labels, _ = next(data.batches("test"))
seen = net.record(events[:, :1])
maps = seen["layers.0.spikes"][:, 0].sum(0)  # (8, 16, 16), spikes of 30 steps
figure, axes = plt.subplots(2, 8, figsize=(10, 3))
for channel in range(8):
    axes[0, channel].imshow(net.layers[0].weight[channel, 0].detach(), cmap="RdBu_r")
    axes[1, channel].imshow(maps[channel])
    for axis in axes[:, channel]:
        axis.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("filter")
axes[1, 0].set_ylabel("spikes")
figure.suptitle(
    f"The convolution: what its filters became, and what they see of a {int(labels[0])}"
)
plt.show()

# %% [markdown]
# ## From the command line
#
# The same layers as a setting, so that every verb has them:
#
#     synaptrace train --model.kind layers \
#         --model.layers "[{conv: 8, pool: [max, 2]}, {dense: 80, neuron: {decay: 0.9}}]"
#
# In a settings file it reads better ([layers](../howto/layers.md)).
#
# Next: [your own rule](own-rule.py); a surrogate of your own is [ten lines](../own.md).
