# %% [markdown]
# # Your own data
#
# At the end you will have trained a network on tensors of your own in Python, and on a folder of sound files from the
# command line, and know how right each is.

# %%
import os
import tempfile
import wave
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import synaptrace as st

os.chdir(tempfile.mkdtemp())  # what this page writes goes here

# %% [markdown]
# ## Tensors
#
# Anything that is events over time will do: an array (N, T, …) of N samples, T steps each, and N labels. Say, a
# 16 × 16 event camera before which a bar moves to the right, to the left, or down, with noise:

# %%
rng = torch.Generator().manual_seed(0)
classes, T, size = ["right", "left", "down"], 20, 16
labels = torch.arange(300) % 3
events = torch.bernoulli(torch.full((300, T, 1, size, size), 0.02), generator=rng)  # noise
for sample, label in enumerate(labels.tolist()):
    start = int(torch.randint(size, (), generator=rng))
    for t in range(T):
        place = (start + (-t if label == 1 else t)) % size
        if label == 2:
            events[sample, t, 0, place, :] = 1
        else:
            events[sample, t, 0, :, place] = 1

figure, axes = plt.subplots(1, 6, figsize=(10, 2))
for axis, t in zip(axes, range(0, 12, 2), strict=True):
    axis.imshow(events[0, t, 0], cmap="gray_r")
    axis.set(title=f"step {t}", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# `st.TensorData` cuts them: 70 % to train, 15 % to validate, 15 % to test, every class alike, by a seed. Test tensors of
# your own go in as `test=(events, labels)`; samples of different lengths as `lengths=`. (Data that don't fit into
# memory: `st.Loaders` takes PyTorch's DataLoaders.)

# %%
data = st.TensorData(events, labels, classes=classes, batch_size=16, seed=0)
print(data.meta)

# %% [markdown]
# A network that fits, a rule, and training. `run=` keeps it in a folder, checkpoints and figures included.

# %%
net = st.mlp(
    size * size,
    [80],
    len(classes),
    recurrent=True,
    neuron=st.LIF(threshold=1.0, decay=0.8, trace_decay=0.8),
    generator=torch.Generator().manual_seed(0),
)
rule = st.rules.make(
    "tp", net, eligibility=True, temperature="auto", generator=torch.Generator().manual_seed(0)
)
summary = st.fit(net, rule, data, epochs=20, lr=1e-2, run="runs/bars", progress=False)

score = st.evaluate(net, data)
print(f"test accuracy {score.accuracy:.1%} of {score.samples} samples")
print(dict(zip(classes, [f"{each:.0%}" for each in score.recall], strict=True)))

# %% [markdown]
# The bar's direction is in no single frame; what tells left from right is the order of frames, which membranes, traces
# and recurrent weights see.
#
# The run is one like any other: the command line knows it, tensors included.

# %% language="bash"
# synaptrace evaluate runs/bars

# %% [markdown]
# ## A folder of sounds
#
# For sound, a folder for each class is enough: `words/yes/1.wav`, `words/no/1.wav`, … Here are three "words" of 30
# recordings, made up: a tone that rises, one that falls, and one that trembles, each from another pitch.

# %%
rate, draw = 16000, np.random.default_rng(0)
seconds = np.arange(rate) / rate
for word in ("rise", "fall", "tremble"):
    folder = Path("words", word)
    folder.mkdir(parents=True)
    for number in range(30):
        pitch = draw.uniform(250, 500)
        bend = {
            "rise": 2**seconds,
            "fall": 0.5**seconds,
            "tremble": 1 + 0.15 * np.sin(40 * seconds),
        }[word]
        phase = 2 * np.pi * np.cumsum(pitch * bend) / rate
        sound = sum(np.sin(k * phase) / k for k in range(1, 6)) * np.sin(np.pi * seconds) ** 0.5
        sound = 0.1 * sound + draw.normal(0, 0.01, rate)
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((32767 * sound).clip(-32768, 32767).astype("<i2").tobytes())

# %% [markdown]
# `data inspect` looks before you train: what is there, and what the split is.

# %% language="bash"
# synaptrace data inspect folder --data.path words

# %% [markdown]
# Then it is one command. The settings are those of the preset `fsdd` (spoken digits): 40 mel bands with their
# differences, 200 recurrent neurons. A fifth of the recordings validates, a fifth is the test set.

# %% language="bash"
# synaptrace train --preset fsdd --data.name folder --data.path words --train.epochs 20 --name words --quiet

# %%
run = next(Path("runs").glob("*-words"))
plt.figure(figsize=(8, 4))
plt.imshow(plt.imread(run / "curve.png"))
plt.axis("off")
plt.show()

# %% [markdown]
# Eighteen test sounds are few: one is more than 5 points. For event cameras the files are `.npy`, arrays of t, x, y, p
# ([data sets](../data.md)).
#
# Next: [your own network](own-network.py); [few data](../howto/few-data.md); [sound that you record](../spotter.md).
