# %% [markdown]
# # Learn a user
#
# At the end a network that knows eleven English words will have learned two new ones from eight recordings each, and
# have found them in a longer recording. No data set is needed, and no microphone: the recordings are made up here, and
# yours go in the same place.
#
# ## The network that comes along
#
# `keywords` is a recurrent network of 200 neurons, trained on Speech Commands. Wherever a command takes a run, it takes
# this name.

# %%
import json
import os
import tempfile
import wave
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import synaptrace as st

os.chdir(tempfile.mkdtemp())
print(st.load("keywords"))

# %% [markdown]
# ## Recordings
#
# A folder for each word, some `.wav` files in each: `synaptrace record mywords --words lamp,door --run keywords` makes
# them at your microphone. Here two sounds that are no speech stand in, so that this page can make them: "whistle", a tone that goes
# up and down, and "knock", three knocks. Each differs a little every time, as one's own words do.

# %%
rate, draw = 16000, np.random.default_rng(0)


def whistle():
    """0.5 s, a tone around 1.4 kHz that rises by a half, then falls by as much."""
    t = np.arange(int(rate * 0.5)) / rate
    pitch = draw.uniform(1200, 1600) * (1 + 0.5 * np.sin(4 * np.pi * t))
    return np.sin(2 * np.pi * np.cumsum(pitch) / rate) * np.sin(np.pi * t / 0.5) ** 0.5


def knock():
    """0.5 s, three short thuds of noise."""
    sound = np.zeros(int(rate * 0.5))
    for number in range(3):
        start = int(rate * (0.02 + 0.15 * number + draw.uniform(0, 0.02)))
        length = int(rate * 0.08)
        fade = np.exp(-np.arange(length) / (rate * 0.02))
        tone = np.sin(2 * np.pi * draw.uniform(180, 260) * np.arange(length) / rate)
        sound[start : start + length] += (tone + 0.5 * draw.normal(size=length)) * fade
    return sound


def save(path, sound):
    """Mono, 16 bits, 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((32767 * sound).clip(-32768, 32767).astype("<i2").tobytes())


def room(seconds):
    """A quiet room: faint noise."""
    return draw.normal(0, 0.0005, int(rate * seconds))


for word, make in {"whistle": whistle, "knock": knock}.items():
    for number in range(8):
        clip = room(1.0)
        sound, start = make() * draw.uniform(0.1, 0.3), int(rate * draw.uniform(0.1, 0.4))
        clip[start : start + len(sound)] += sound
        save(Path("mywords", word, f"{number}.wav"), clip)

# %% [markdown]
# ## Fine-tuning
#
# Of five recordings or more of a word, a fifth is kept aside to judge by: "your words". Against forgetting, the few
# utterances that came with the network are rehearsed beside yours.

# %% language="bash"
# synaptrace finetune keywords --words mywords --out my-spotter --quiet

# %% [markdown]
# Before, it knew neither word, so it couldn't get one right. Learning went on this processor, one recording after the
# other; the same rule runs [on a microcontroller](../ship.md).
#
# ## Listening
#
# A recording of ten seconds with four of these sounds, made anew:

# %%
said = [(1.5, "whistle"), (4.0, "knock"), (6.0, "whistle"), (8.0, "knock")]
stream = room(10)
for at, word in said:
    sound = 0.2 * {"whistle": whistle, "knock": knock}[word]()
    stream[int(rate * at) : int(rate * at) + len(sound)] += sound
save(Path("stream.wav"), stream)

# %% language="bash"
# synaptrace listen my-spotter/*/*/ --wav stream.wav --json > heard.txt

# %%
heard = [json.loads(line) for line in Path("heard.txt").read_text().splitlines()]
figure, axis = plt.subplots(figsize=(10, 3))
axis.specgram(stream, NFFT=512, Fs=rate, noverlap=256)
for each in heard:
    if each["state"] == "word":
        print(f"{each['time']:5.2f} s  {each['label']}  {each['probability']:.0%}")
        axis.axvline(each["time"], color="white")
        axis.text(each["time"] + 0.1, 6500, each["label"], color="white")
axis.set(xlabel="seconds", ylabel="Hz", title="Ten seconds of sound, and when each word was known")
plt.show()

# %% [markdown]
# A word is known half a breath after its end. The last column says how sure it is
# ([your own spotter](../spotter.md) has what the number means, and how to have fewer false alarms); with real voices
# and noise it is less.
#
# Next: [ship it to a device](ship.py); [how this was measured](../keywords.md), with real users.
