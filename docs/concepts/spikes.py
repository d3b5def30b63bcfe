# %% [markdown]
# # Spikes
#
# What a spiking neuron does, in four pictures. You will know what `st.LIF(threshold, decay, reset, surrogate)` sets.
#
# ## One neuron
#
# A leaky integrate-and-fire (LIF) neuron has a **membrane** `u`. Each time step it keeps a share `decay` (β) of it and
# adds the current `I`, the weighted spikes that arrive. Where it reaches the **threshold** θ it spikes, and the membrane
# is **reset**:
#
#     v = β u + I          before the reset
#     s = 1 if v ≥ θ       the spike
#     u = v − θ s          "soft" reset; "hard": u = v (1 − s)
#
# That is all of `synaptrace.neuron`; here it is, a step at a time:

# %%
import matplotlib.pyplot as plt
import torch

import synaptrace as st
from synaptrace.neuron import advance

torch.manual_seed(0)
T = 60
current = 0.35 * torch.bernoulli(torch.full((T, 1), 0.5))  # one input that spikes half the time


def simulate(neuron):
    """Membranes before the reset and spikes, (T,) each."""
    u, membranes, spikes = torch.zeros(1), [], []
    for drive in current:
        membranes.append(neuron.decay * u + drive)
        u, s = advance(neuron, drive, u)
        spikes.append(s)
    return torch.cat(membranes), torch.cat(spikes)


figure, axes = plt.subplots(3, 1, figsize=(8, 5), sharex=True)
for axis, decay in zip(axes, [1.0, 0.9, 0.5], strict=True):
    v, s = simulate(st.LIF(threshold=1.0, decay=decay))
    axis.plot(v)
    axis.axhline(1.0, color="grey", linestyle=":")
    axis.eventplot(s.nonzero().flatten(), lineoffsets=1.5, linelengths=0.3, color="#E69F00")
    axis.set_ylabel(f"v, decay {decay}")
    print(f"decay {decay}: {int(s.sum())} spikes")
axes[-1].set_xlabel("time step")
figure.suptitle("The same input; membrane (blue), threshold (dotted), spikes (orange)")
plt.show()

# %% [markdown]
# With decay 1 nothing is forgotten; with 0.5 so much is that this input never makes a spike. The decay sets how
# long a neuron remembers, about 1 / (1 − β) steps.
#
# ## The reset
#
# "soft" subtracts θ and keeps what was above it, so strong input makes more spikes; "hard" forgets it.

# %%
current = torch.full((T, 1), 0.7)
for reset in ("soft", "hard"):
    _, s = simulate(st.LIF(threshold=1.0, decay=0.9, reset=reset))
    print(f"{reset} reset, a constant current of 0.7: {int(s.sum())} spikes in {T} steps")

# %% [markdown]
# ## The surrogate
#
# A spike is a step function of v: its derivative is zero nearly everywhere, so no gradient would ever reach a weight.
# Every rule here that needs the derivative uses a **surrogate** σ' in its place, a smooth bump around the threshold. The
# spikes themselves stay exactly 0 or 1.

# %%
distance = torch.linspace(-2, 2, 401)  # v − θ
figure, axis = plt.subplots(figsize=(7, 3))
for surrogate in (st.ATan(1.0), st.FastSigmoid(5.0), st.Triangle(1.0)):
    axis.plot(distance, surrogate(distance.clone()), label=repr(surrogate))
axis.set(xlabel="v − θ", ylabel="σ'", title="What stands for the derivative of the spike")
axis.legend()
plt.show()

# %% [markdown]
# A neuron far below its threshold hardly learns: it is silent, and σ' is almost zero there. So when a network doesn't
# learn, look first whether it spikes.
#
# ## A network of them
#
# `st.mlp` makes layers of such neurons; `net.record` runs them and keeps everything. Here are the spikes of one
# handwritten digit of the data that come with the package: events of a simulated camera, and what 100 untrained neurons
# make of them.

# %%
data = st.data.load("digits")
events, labels, _ = next(data.batches("validation"))  # (T, B, 2, 16, 16), (B,)
net = st.mlp(
    512,
    [100],
    10,
    neuron=st.LIF(threshold=1.0, decay=0.9),
    generator=torch.Generator().manual_seed(0),
)
seen = net.record(events[:, :1])
spikes = seen["layers.0.spikes"][:, 0]  # (T, 100)

figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for axis, each, title in zip(
    axes,
    [events[:, 0].flatten(1), spikes],
    [f"events of a {int(labels[0])}", "hidden layer"],
    strict=True,
):
    time, neuron = each.nonzero(as_tuple=True)
    axis.plot(time, neuron, ".", markersize=2)
    axis.set(xlabel="time step", ylabel="neuron", title=title)
plt.show()
print({name: tuple(each.shape) for name, each in seen.items()})

# %% [markdown]
# Time comes first in every tensor: (T, B, …).
#
# Next: [traces and contrast](traces.py), how such a network learns.
