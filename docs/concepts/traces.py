# %% [markdown]
# # Traces and contrast
#
# How Traces Propagation (TP) learns, seen on real digits while it does. You will know what the letters Z, Y, A, P and E
# of [the rule](../inside/tp.md) look like.
#
# ## A trace
#
# Spikes are instants. To compare two neurons, or two samples, each neuron keeps a fading count of its spikes, its
# **trace**: z = λ z + s, with `trace_decay` λ. It is one number a neuron, whatever the length of the sequence.

# %%
import matplotlib.pyplot as plt
import torch

import synaptrace as st
from synaptrace.rules.tp import contrast

torch.manual_seed(0)
data = st.data.load("digits", batch_size=64)
neuron = st.LIF(threshold=1.0, decay=0.9, trace_decay=0.9)
net = st.mlp(512, [100], 10, neuron=neuron, generator=torch.Generator().manual_seed(0))
events, labels, _ = next(data.batches("validation"))

seen = net.record(events[:, :1])
spikes, trace = seen["layers.0.spikes"][:, 0], seen["layers.0.trace"][:, 0]
busy = int(spikes.sum(0).argmax())
figure, axis = plt.subplots(figsize=(8, 2.5))
axis.plot(trace[:, busy])
axis.eventplot(
    spikes[:, busy].nonzero().flatten(), lineoffsets=-0.5, linelengths=0.5, color="#E69F00"
)
axis.set(xlabel="time step", title=f"Trace (blue) and spikes (orange) of neuron {busy}")
plt.show()

# %% [markdown]
# ## A label becomes a stream
#
# The network runs twice over, with the same weights. The **sample stream** is driven by events, and has traces Z, a row a
# sample. The **target stream** is driven by the label alone: at every step the class enters layer 1 through a fixed random
# matrix, its neurons spike, and have traces Y, a row a class. Layers above get both streams through the weights that
# they have.
#
# A rule's state is open to see: the first B rows are the samples', the others the classes'.

# %%
rule = st.rules.make(
    "tp",
    net,
    eligibility=True,
    temperature="auto",
    engine="torch",
    generator=torch.Generator().manual_seed(0),
)


def streams():
    """Z (B, 100) and Y (C, 100), its classes (C,), and a step's A, P and E, after a batch's steps."""
    rule.start(labels)
    for x in events:
        rule.step(x)
    z, y = rule.state["trace"][0].tensor_split([len(labels)])
    classes, log_n = rule.state["class_of_row"][0], rule.log_counts(None)
    tau = contrast.temperature(rule.contrast, y[:, None])
    a = contrast.similarity(z[:, None], y[:, None]) / tau
    below = contrast.label_distance(neuron.lam, len(events), net.classes, torch.eye(len(classes)))
    p = contrast.target_distribution(below, log_n)[rule.state["row_of_sample"][0]]
    e, _ = contrast.contrast_error(a, p.clone(), log_n, 1 / len(labels))
    rule.finish()
    net.zero_grad()
    return z, y, classes, a, p, e


z, y, classes, a, p, e = streams()
order = labels.argsort()
figure, axes = plt.subplots(1, 2, figsize=(10, 3.5))
axes[0].imshow(z[order], aspect="auto")
axes[0].set(title="Z: traces of 64 digits", xlabel="neuron", ylabel="sample, by class")
axes[1].imshow(y[classes.argsort()], aspect="auto")
axes[1].set(title="Y: traces of the ten labels", xlabel="neuron", ylabel="class")
plt.show()

# %% [markdown]
# ## The contrast
#
# A sample should be more like its own label's row than like another's. At every step, in every layer:
#
# - **A**, the similarity: Z Yᵀ (over a temperature), a number for each sample and class;
# - **P**, the target: how alike the layer below holds the classes. In layer 1 that is nearly one-hot, the label itself;
# - **E**, the error: softmax(A) − P, over B. Where it is zero there is nothing to learn.
#
# A neuron's weights move by E times the other stream's trace, times σ', times what came in: three factors that are all
# at hand. Before training, and after each of two epochs:


# %%
def show(title, epoch):
    """A, P and E as they are now, samples sorted by class."""
    _, _, classes, a, p, e = streams()
    columns, scale = classes.argsort(), len(labels)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3))
    for axis, each, name in zip(
        axes, [a.softmax(1), p, e * scale], ["softmax(A)", "P", "E · B"], strict=True
    ):
        low = -1 if name == "E · B" else 0
        picture = axis.imshow(
            each[order][:, columns],
            aspect="auto",
            vmin=low,
            vmax=1,
            cmap="RdBu_r" if low else "viridis",
        )
        axis.set(
            title=name, xlabel="class", ylabel="sample, by class" if name == "softmax(A)" else ""
        )
        figure.colorbar(picture, ax=axis)
    figure.suptitle(title)
    plt.show()
    right = (classes[a.argmax(1)] == labels).float().mean()
    print(
        f"epoch {epoch}: mean |E·B| {(e * scale).abs().mean():.3f}; "
        f"the own label's row is the nearest for {right:.0%}, "
        f"the readout is right for {(net.predict(events) == labels).float().mean():.0%}"
    )


show("Before training", 0)
for epoch in (1, 2):
    st.fit(net, rule, data, epochs=2, lr=1e-2, progress=False, seed=epoch)
    show(f"After {2 * epoch} epochs", 2 * epoch)

# %% [markdown]
# These digits are of the validation set: nobody trained on them. Only batches of training samples moved a weight, by what
# was at hand in the layer. A last **readout** turns the traces into classes; it has a rule of its own, the delta
# rule ([the readout](readout.py)).
#
# Next: [the readout](readout.py); [the rule, equation by equation](../inside/tp.md).
