# %% [markdown]
# # Ship to C
#
# At the end you will have a C program that reads digits as your trained network does, in four bytes a weight and in one,
# and have run its tests. Needed: gcc and make.
#
# ## Train
#
# Ten epochs on the digits that come with the package, from the command line:

# %%
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

os.chdir(tempfile.mkdtemp())

# %% language="bash"
# synaptrace train --train.epochs 10 --quiet

# %% [markdown]
# ## What will it take?
#
# Before you write a line of C: bytes of flash and RAM that the program needs, to recognise or to learn on the device.

# %% language="bash"
# set -o pipefail
# synaptrace memory --to c --preset digits | cut -f 1,13,14 | column -t -s "$(printf '\t')"

# %% [markdown]
# ## Export
#
# Twice, with weights of four bytes and of one. The verb says how accurate the program itself is, to the last bit, on the
# whole test set.

# %% language="bash"
# synaptrace export runs/*-digits --to c --out digits-c | tail -n 3
# synaptrace export runs/*-digits --to c --out digits-int8 --precision int8 | tail -n 4
# ls digits-int8

# %% [markdown]
# The folder is plain C99: no allocation, no library but `math.h` (in whole numbers not even that). Its sizes are in
# `model.h`, its weights in `model.c`:

# %%
print(
    "\n".join(
        line
        for line in Path("digits-int8/model.h").read_text().splitlines()
        if line.startswith("#define")
    )[:600]
)

# %% [markdown]
# ## Test
#
# `make test` builds it and holds it against the network that it was made from, on samples of the test set.

# %%
for folder in ("digits-c", "digits-int8"):
    if shutil.which("gcc") and shutil.which("make"):
        made = subprocess.run(
            ["make", "-s", "-C", folder, "test"], check=True, capture_output=True, text=True
        )
        print(folder, made.stdout.strip().splitlines()[-1], sep=": ")
    else:
        print("no gcc or make here: nothing is tested")

# %% [markdown]
# ## In numbers

# %%
sizes = {
    folder: json.loads(Path(folder, "export.json").read_text())
    for folder in ("digits-c", "digits-int8")
}
constants = ("weights", "tables")
flash = [
    sum(size for name, size in each["bytes"].items() if name in constants) / 1024
    for each in sizes.values()
]
figure, axis = plt.subplots(figsize=(6, 2))
axis.barh(["float32", "int8"], flash, color=["#777777", "#0072B2"])
axis.set(xlabel="flash, KiB, without 2 KiB of code", title="The same network, 512 → 200 → 10")
plt.show()

# %% [markdown]
# With `--learn all` the program also learns, one sample at a time; with `--front-end` it hears sound. `make test-m4` runs
# all of it on an emulated Cortex-M4F.
#
# Next: [devices](../ship.md) goes on to a program that learns a speaker; [NIR](../nir.md) to other frameworks.
