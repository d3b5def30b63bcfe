"""Fitting the simulated camera to real recordings of images that are known.

1. Leak: twice the rate of ON events of pixels that no image comes near, the median over pixels,
   for a pixel begins anywhere between its thresholds, and half of them far from the upper one.
2. Path, blur and dark: the signed events so far, times their thresholds, are the change of the
   log intensity since the start. What comes nearest in squares is found by gradient descent.
3. Real pixels lose events while they are refractory, which 2 knows nothing of. So the camera is
   simulated with what was found, and 2 is done to the simulation: by as much as it then errs, what
   was found is set right (indirect inference: Gouriéroux, Monfort, Renault, J. Appl. Econometrics
   8:S85, 1993), twice. Its threshold is the one that sends as many events as the real one.
4. Jitter: the shift of each move in time that brings a recording nearest to the path.
5. Mismatch: how far each pixel's number of events, over all images, is from the simulation's.

The refractory period isn't fitted: 1 ms, the simulation's step, as hardly any event follows
another of its pixel within 2 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data.sets.nmnist import SACCADES, SENSOR
from synaptrace.data.simulate import atis
from synaptrace.data.simulate.camera import place
from synaptrace.seeds import generator

Array = NDArray[Any]
Say = Callable[[str], object]

FAR = 8
"""Pixels from the image beyond which a pixel is quiet."""

WINDOWS = ((15.0, 85.0), (110.0, 190.0), (220.0, 300.0))
"""Milliseconds that a move, early or late, doesn't leave."""

ENOUGH = 300
"""Events of a pixel and polarity from which its mismatch can be told."""


@dataclass(frozen=True)
class Recordings:
    """Real recordings and what they are of.

    Args:
        images: (N, 28, 28) in [0, 1], as bright as the camera saw them.
        t, x, y, p: events of all recordings, t in microseconds.
        sample: which recording each event is of.
    """

    images: Tensor
    t: Array
    x: Array
    y: Array
    p: Array
    sample: Array

    def frames(self, width: float, late: float = 0.0) -> Tensor:
        """Event counts (N, T, 2, 34, 34) in bins of ``width`` ms, those ``late`` ms too late."""
        time = self.t / 1000 - late
        steps = math.ceil(SACCADES[-1] / width)
        step = (time / width).astype(np.int64).clip(0, steps - 1)
        size = (len(self.images), steps, 2, *SENSOR)
        cell = np.ravel_multi_index((self.sample, step, self.p, self.y, self.x), size)
        counts = np.bincount(cell, minlength=math.prod(size))
        return torch.from_numpy(counts.astype(np.float32)).view(size)

    def some(self, count: int) -> Recordings:
        """At most ``count`` of them, evenly spread."""
        chosen = np.unique(np.linspace(0, len(self.images) - 1, count).round().astype(np.int64))
        number = np.full(len(self.images), -1)
        number[chosen] = np.arange(len(chosen))
        kept = number[self.sample] >= 0
        t, x, y, p = (each[kept] for each in (self.t, self.x, self.y, self.p))
        return Recordings(self.images[chosen], t, x, y, p, number[self.sample[kept]])


def quiet_rates(real: Recordings) -> tuple[float, float]:
    """OFF and ON events per second of a pixel that no image comes near, medians over pixels."""
    room = SENSOR[0] - real.images.shape[1]
    drawn = F.pad((real.images < 1).float()[:, None], (0, room, 0, room))
    near = F.max_pool2d(drawn, 2 * FAR + 1, 1, FAR)[:, 0] > 0
    quiet = ~near.numpy()
    seconds = quiet.sum(0) * SACCADES[-1] / 1000
    counts = np.zeros((2, *SENSOR))
    far = quiet[real.sample, real.y, real.x]
    np.add.at(counts, (real.p[far], real.y[far], real.x[far]), 1)
    looked_at = seconds > 0.1 * seconds.max()
    off, on = (float(np.median((count / seconds.clip(1e-9))[looked_at])) for count in counts)
    return off, on


@dataclass(frozen=True)
class Linear:
    """The model of step 2, differentiable: no pixel forgets, none is refractory."""

    path: Tensor
    """(64, 2): where the image's corner lies at every knot."""
    logs: Tensor
    """Logarithms of blur, dark, threshold OFF, threshold ON."""

    @property
    def settings(self) -> dict[str, float]:
        """Of the camera, but for the thresholds, which mean less than they say."""
        blur, dark = self.logs[:2].exp().tolist()
        return {"blur": blur, "dark": dark}

    def levels(self, images: Tensor) -> Tensor:
        """Log intensities (K, N, 34, 34) at every knot."""
        blur, dark = self.logs[:2].exp()
        size, (rows, columns) = images.shape[1], SENSOR
        down = place(size, rows, self.path[:, 0, None, None], blur)[:, None]
        across = place(size, columns, self.path[:, 1, None, None], blur)[:, None]
        light = 1 + down @ (images - 1) @ across.transpose(2, 3)
        levels: Tensor = (light.clamp(min=0) + dark).log()
        return levels

    def change(self, frames: Tensor) -> Tensor:
        """What events (N, T, 2, 34, 34) say of the change of level, (T, N, 34, 34)."""
        off, on = self.logs[2:].exp()
        signed: Tensor = on * frames[:, :, 1] - off * frames[:, :, 0]
        return signed.transpose(0, 1)


def fit_path(images: Tensor, frames: Tensor, begin: Linear, steps: int) -> Linear:
    """Step 2, by Adam; second differences of the path keep it smooth where nothing is seen.

    Args:
        images: (N, 28, 28).
        frames: events (N, 63, 2, 34, 34) in 5 ms.
        begin: where the descent begins.
    """
    so_far = frames.cumsum(1)
    path, logs = (each.clone().requires_grad_() for each in (begin.path, begin.logs))
    descent = torch.optim.Adam([{"params": [path], "lr": 0.1}, {"params": [logs], "lr": 0.06}])
    decay = torch.optim.lr_scheduler.ExponentialLR(descent, 0.02 ** (1 / steps))
    fit = Linear(path, logs)
    for _ in range(steps):
        levels, change = fit.levels(images), fit.change(so_far)
        residual = (levels[1:] - levels[0] - change).square().mean() / change.square().mean()
        bend = (path[2:] - 2 * path[1:-1] + path[:-2]).square().mean()
        descent.zero_grad()
        (residual + 2e-3 * bend).backward()  # type: ignore[no-untyped-call]
        descent.step()
        decay.step()
    return Linear(path.detach(), logs.detach())


def infer(
    real: Recordings, leak: float, rounds: int = 2, steps: int = 60, say: Say = print
) -> tuple[Linear, Linear]:
    """Steps 2 and 3: the path as it was found, and as it must have been."""
    found = fit_path(real.images, real.frames(atis.KNOT), start(), steps)
    true = found
    for round_ in range(rounds):
        settings = {"leak": leak, **true.settings}
        settings["threshold"] = fit_threshold(real, true, settings)
        say(f"round {round_}\t" + "\t".join(f"{k} {v:.3f}" for k, v in settings.items()))
        again = fit_path(real.images, simulate(real.images, true, **settings), found, steps)
        off = (again.path - true.path).abs().mean()
        say(f"round {round_}\tpath errs by {off:.3f} pixels on average")
        true = Linear(true.path + found.path - again.path, true.logs + found.logs - again.logs)
    return found, true


def fit_shifts(real: Recordings, fit: Linear, span: int = 12) -> Array:
    """Step 4: milliseconds (N, 3) by which each recording's moves are late, whole numbers."""
    model = fit.levels(real.images).diff(dim=0)
    windows = [slice(round(a / atis.KNOT), round(b / atis.KNOT)) for a, b in WINDOWS]
    misses = []
    for shift in range(-span, span + 1):
        miss = fit.change(real.frames(atis.KNOT, late=shift)) - model
        each = [miss[window].cumsum(0).square().sum((0, 2, 3)) for window in windows]
        misses.append(torch.stack(each, 1))
    best: Array = torch.stack(misses).argmin(0).numpy() - span
    return best


def fit_threshold(real: Recordings, fit: Linear, settings: dict[str, float]) -> float:
    """For step 3: secant steps on the number of events, which falls as the threshold rises."""
    threshold, wanted = 0.2, len(real.t)
    for _ in range(6):
        found = simulate(real.images, fit, **settings, threshold=threshold).sum().item()
        threshold *= (found / wanted) ** 0.8
    return threshold


def fit_mismatch(real: Recordings, fit: Linear, settings: dict[str, float]) -> float:
    """Step 5: standard deviation of log(simulated / real) over pixels and polarities.

    A pixel's number of events goes as 1 / threshold, and that of many images hardly varies.
    """
    alike = simulate(real.images, fit, **settings, mismatch=0.0).sum((0, 1))
    seen = real.frames(SACCADES[-1]).sum((0, 1))
    enough = (seen > ENOUGH) & (alike > ENOUGH)
    return (alike[enough] / seen[enough]).log().std().item()


def simulate(images: Tensor, fit: Linear, **settings: Any) -> Tensor:
    """Events (N, 63, 2, 34, 34) in 5 ms of the camera on the fitted path."""
    rows, columns = fit.path.T.tolist()
    camera = atis.camera(rows=rows, columns=columns, **settings)
    width = round(atis.KNOT / camera.dt)
    draws = generator(0, "calibration")
    steps, shape = camera.steps // width, (width, 2, *SENSOR)
    frames = camera.stream(images, draws, chunk=50)
    return torch.cat([some.view(-1, steps, *shape).sum(2) for some in frames]).float()


def calibrate(real: Recordings, say: Say = print) -> dict[str, Any]:
    """All steps: what `atis` holds, by name."""
    off, on = quiet_rates(real)
    say(f"events of a quiet pixel per second\tOFF {off:.3f}\tON {on:.3f}")
    some = real.some(100)
    found, true = infer(some, 2 * on, say=say)
    jitter = fit_shifts(some, found).std(0).tolist()
    settings = {"leak": 2 * on, **true.settings}
    settings["threshold"] = fit_threshold(some, true, settings)
    settings["mismatch"] = fit_mismatch(real, true, settings)
    rows, columns = true.path.T.tolist()
    return {"ROWS": rows, "COLUMNS": columns, "JITTER": jitter, "SETTINGS": settings}


def start() -> Linear:
    """Where the descent begins: straight moves between the corners that the eye finds."""
    corners = np.array([(1.6, 0.2), (1.6, 0.2), (6.4, 2.3), (6.4, 2.3), (1.0, 6.0), (1.0, 6.0),
                        (1.6, 0.2), (1.6, 0.2)])  # fmt: skip
    times = (0, 15, 80, 115, 190, 225, 295, 315)
    knots = np.arange(0, SACCADES[-1] + 1, atis.KNOT)
    path = np.stack([np.interp(knots, times, corners[:, axis]) for axis in (0, 1)], 1)
    logs = torch.tensor([0.5, 0.2, 0.25, 0.25]).log()
    return Linear(torch.from_numpy(path).float(), logs)
