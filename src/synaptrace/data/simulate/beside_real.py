"""`python -m synaptrace.bench camera`: simulated recordings beside real ones of the same images.

The real ones are N-MNIST's training recordings 1 to 500, those that the camera is fitted to; with
``--fit`` it is fitted to them anew first, and the constants of `atis` are printed.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data.sets import nmnist
from synaptrace.data.sets.nmnist import SACCADES, SENSOR
from synaptrace.data.simulate import atis, nmnist_sim
from synaptrace.data.simulate.calibrate import Recordings, calibrate
from synaptrace.data.simulate.nmnist_sim import FITTED
from synaptrace.errors import UserError
from synaptrace.seeds import generator

WIDTH = 15.0
"""Milliseconds of a bin of the rates that are printed."""

MOST = 8
"""Events of a pixel up to which pixels are counted."""


def main(options: argparse.Namespace) -> None:
    """Compare, fit first where asked, and print a line a quantity."""
    real = read(options.path, options.real)
    constants: dict[str, Any] = {"rows": atis.ROWS, "columns": atis.COLUMNS}
    jitter = atis.JITTER
    if options.fit:
        found = calibrate(real)
        for name, value in found.items():
            print(f"{name} = {rounded(value)}")
        jitter = found["JITTER"]
        constants = {"rows": found["ROWS"], "columns": found["COLUMNS"], **found["SETTINGS"]}
    recorded = real.frames(WIDTH)
    first, second = (simulate(real.images, jitter, seed, constants) for seed in (0, 1))
    compare(recorded, first, second)
    if options.plot:
        draw(recorded, first, options.plot)
        print(f"plot: {options.plot}")


def read(path: Path | None, real: Path) -> Recordings:
    """The first recordings and their images. Raises UserError where there are none of them."""
    images = nmnist_sim.read(nmnist_sim.SOURCE.locate(path))[0]
    prepared = nmnist.prepare(path=real)
    places = {
        int(Path(file).stem): sample
        for sample, file in enumerate(prepared.notes["file"])
        if prepared.notes["split"][sample] == "train" and int(Path(file).stem) <= FITTED
    }
    if not places:
        raise UserError(f"{real}: none of the training recordings 1 to {FITTED} are here")
    numbers = sorted(places)
    events = [prepared[places[number]] for number in numbers]
    t, x, y, p = (
        np.concatenate([each[name] for each in events]).astype(np.int64) for name in "txyp"
    )
    sample = np.repeat(np.arange(len(events)), [len(each["t"]) for each in events])
    seen = 1 - torch.from_numpy(images[np.array(numbers) - 1]).float() / 255
    return Recordings(seen, t, x, y, p, sample)


def simulate(images: Tensor, jitter: Any, seed: int, constants: dict[str, Any]) -> Tensor:
    """Events (N, 21, 2, 34, 34) in 15 ms, each chunk with thresholds and timing of its own."""
    frames = []
    for start in range(0, len(images), nmnist_sim.CHUNK):
        chunk = images[start : start + nmnist_sim.CHUNK]
        seen = nmnist_sim.look(chunk, generator(seed, "comparison", start), jitter, **constants)
        frames.append(seen.view(len(chunk), -1, round(WIDTH), 2, *SENSOR).sum(2).float())
    return torch.cat(frames)


def compare(real: Tensor, simulated: Tensor, again: Tensor) -> None:
    """Print the tables. All (N, 21, 2, 34, 34); ``again`` is simulated with other draws."""
    print(f"{len(real)} recordings; real beside simulated, means of a recording")
    print("saccade\tOFF\tsimulated\tON\tsimulated\tcosine\tsimulated twice")
    ends = [0, *(round(end / WIDTH) for end in SACCADES)]
    saccades = [slice(a, b) for a, b in pairwise(ends)]
    for number, saccade in enumerate(saccades, 1):
        one, two, three = (f[:, saccade].sum(1) for f in (real, simulated, again))
        counts = [f.sum((2, 3)).mean(0).tolist() for f in (one, two)]
        pairs = "\t".join(f"{counts[0][k]:.0f}\t{counts[1][k]:.0f}" for k in (0, 1))
        print(f"{number}\t{pairs}\t{cosine(one, two):.3f}\t{cosine(two, three):.3f}")
    print(
        "cosine: of the two event images of a saccade, the mean over recordings; simulated twice:"
    )
    print("of two simulations of the same image, which differ in thresholds, timing and noise")
    print("ms\tOFF in a ms\tsimulated\tON in a ms\tsimulated")
    rates = [f.sum((3, 4)).mean(0) / WIDTH for f in (real, simulated)]
    for step, (one, two) in enumerate(zip(*(rate.tolist() for rate in rates), strict=True)):
        pairs = "\t".join(f"{one[k]:.1f}\t{two[k]:.1f}" for k in (0, 1))
        print(f"{step * WIDTH:.0f}-{(step + 1) * WIDTH:.0f}\t{pairs}")
    print("pixels of so many events in the first saccade\tOFF\tsimulated\tON\tsimulated")
    images = [f[:, saccades[0]].sum(1) for f in (real, simulated)]
    for events in range(1, MOST + 1):
        pixels = [(f == events).float().sum((2, 3)).mean(0).tolist() for f in images]
        pairs = "\t".join(f"{pixels[0][k]:.1f}\t{pixels[1][k]:.1f}" for k in (0, 1))
        print(f"{events}\t{pairs}")


def cosine(one: Tensor, two: Tensor) -> float:
    """Mean over samples of the cosine between (N, 2, 34, 34)."""
    return F.cosine_similarity(one.flatten(1), two.flatten(1)).mean().item()


def rounded(value: Any) -> Any:
    """To the digits that `atis` keeps: 2 decimals of a list, 3 digits of others."""
    if isinstance(value, dict):
        return {name: float(f"{each:.3g}") for name, each in value.items()}
    return tuple(round(each, 2) for each in value)


def draw(real: Tensor, simulated: Tensor, path: Path) -> None:
    """Event images of some recordings, real above simulated: OFF blue, ON red, and the rates."""
    from matplotlib.figure import Figure

    shown = min(8, len(real))
    figure = Figure(figsize=(1.3 * shown, 5), layout="constrained")
    grid = figure.add_gridspec(3, shown, height_ratios=(1, 1, 1.3))
    for row, (name, frames) in enumerate((("real", real), ("simulated", simulated))):
        for column in range(shown):
            axes = figure.add_subplot(grid[row, column])
            off, on = frames[column, : round(SACCADES[0] / WIDTH)].sum(0) / 8
            light = torch.stack([1 - off, 1 - off / 2 - on / 2, 1 - on], 2).clamp(0, 1)
            axes.imshow(light.numpy())
            axes.set_xticks([])
            axes.set_yticks([])
            if not column:
                axes.set_ylabel(name)
    axes = figure.add_subplot(grid[2, :])
    time = WIDTH * (np.arange(math.ceil(SACCADES[-1] / WIDTH)) + 0.5)
    for name, frames, style in (("real", real, "-"), ("simulated", simulated, "--")):
        rates = frames.sum((3, 4)).mean(0) / WIDTH
        axes.plot(time, rates[:, 0].numpy(), style, color="#0072B2", label=f"OFF, {name}")
        axes.plot(time, rates[:, 1].numpy(), style, color="#D55E00", label=f"ON, {name}")
    axes.set(xlabel="ms", ylabel="events in a ms")
    axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--data.path", dest="path", type=Path, help="the folder of MNIST")
    parser.add_argument(
        "--data.real", dest="real", type=Path, required=True, help="the folder of N-MNIST"
    )
    parser.add_argument("--fit", action="store_true", help="fit first, and print the constants")
    parser.add_argument("--plot", type=Path, help="write a PNG here")
