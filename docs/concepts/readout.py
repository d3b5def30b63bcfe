# %% [markdown]
# # The readout
#
# The last layer doesn't spike. It sums what the last hidden layer fires, with weights W and a decay α (`readout_decay`):
#
#     m = α m + W s        the logits
#
# The class with the largest logit is the answer, at the end or at any step before. You will see a decision grow.

# %%
import matplotlib.pyplot as plt
import torch

import synaptrace as st

data = st.data.load("digits", batch_size=32)
neuron = st.LIF(threshold=1.0, decay=0.9, trace_decay=0.9)
net = st.mlp(512, [100], 10, neuron=neuron, generator=torch.Generator().manual_seed(0))
rule = st.rules.make(
    "tp", net, eligibility=True, temperature="auto", generator=torch.Generator().manual_seed(0)
)
st.fit(net, rule, data, epochs=4, lr=1e-2, progress=False)
print(f"test accuracy {st.evaluate(net, data).accuracy:.1%}")

events, labels, _ = next(data.batches("validation"))
logits = net.record(events)["readout"]  # (T, B, 10)
figure, axis = plt.subplots(figsize=(8, 3))
for digit, line in enumerate(logits[:, 0].T):
    own = digit == int(labels[0])
    axis.plot(line, color="#D55E00" if own else "#BBBBBB", label=f"class {digit}" if own else None)
axis.set(xlabel="time step", ylabel="m", title="Logits of one digit; its own class in red")
axis.legend()
plt.show()

# %% [markdown]
# ## Deciding early
#
# Most samples are clear long before their end. `net.decide` stops each as soon as the softmax of its logits reaches a
# confidence; a device saves the steps that are left.

# %%
events, labels, _ = (
    torch.cat(each, dim) if each[0] is not None else None
    for each, dim in zip(zip(*data.batches("test"), strict=True), (1, 0, 0), strict=True)
)
for confidence in (0.4, 0.6, 0.9, 2.0):
    classes, steps = net.decide(events, confidence)
    right = (classes == labels).float().mean()
    print(
        f"confidence {confidence:5}: {right:.1%} right after {steps.float().mean():.1f} of {len(events)} steps"
    )

# %% [markdown]
# (A confidence above 1 is never reached: all steps.)
#
# ## Learning it
#
# Every rule trains the readout by the delta rule, softmax(m) − y times the trace of the hidden spikes: exact,
# and at hand. So the hidden layers are what rules differ in, and a rule that trains the readout alone, `readout-only`, is
# the floor under all of them.
#
# Next: [what local means](local.md), and what the other rules need.
