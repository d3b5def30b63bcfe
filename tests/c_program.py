"""Exports of small networks, and a C program that runs them on what a test gives it."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synaptrace.build import mlp
from synaptrace.data.audio.features import Features
from synaptrace.network import Network
from synaptrace.neuron import LIF
from synaptrace.rules.tp import TracesPropagation
from synaptrace.seeds import generator
from synaptrace.ship.c import fixed, numbers, rehearsal, source
from synaptrace.ship.c import plan as plans
from synaptrace.ship.c.export import parts as parts_of

STRICT = [
    "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffp-contract=off",
]  # fmt: skip
SANE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]

DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include "model.h"
#if LEARN
#include "learn.h"
static struct learner l;
#endif
#if REHEARSED
#include "rehearse.h"
#define SHARE FRACTION(0.5)
#else
#define REHEARSED 0
#define SHARE FRACTION(1)
#endif
static struct model m;
static double given[INPUTS];
static input x[INPUTS];
static void tell(double value) { fwrite(&value, sizeof value, 1, stdout); }

/* sequences, steps, steps between updates (0: one at the end), rate (0: no learning) */
int main(int count, char **words)
{
    int n = atoi(words[1]), steps = atoi(words[2]), every = atoi(words[3]);
    double rate = atof(words[4]), label;
    uint32_t seed = 1;
    (void)seed;
    (void)count;
    (void)every;
    (void)rate;
    model_init(&m);
#if LEARN
    learn_init(&l, &m);
#endif
    for (int i = 0; i < n; i++) {
        if (fread(&label, 8, 1, stdin) != 1)
            return 1;
        model_start(&m);
#if LEARN
        learn_start(&l, &m, (int)label, SHARE);
#endif
        for (int t = 1; t <= steps; t++) {
            if (fread(given, 8, INPUTS, stdin) != INPUTS)
                return 1;
            for (int j = 0; j < INPUTS; j++)
                x[j] = model_input((real)given[j]);
#if LEARN
            if (rate > 0) {
                learn_step(&l, &m, x);
                if (every && t % every == 0 && t < steps)
                    learn_update(&l, FRACTION(rate));
                continue;
            }
#endif
            model_step(&m, x);
        }
        for (int c = 0; c < CLASSES; c++)
            tell((double)m.logits[c]);
#if REHEARSED
        rehearse(&l, &m, &seed, SHARE, x);
#endif
#if LEARN
        if (rate > 0)
            learn_update(&l, FRACTION(rate));
        if (REHEARSED)
            learn_anchor(&l, FRACTION(0.01));
#endif
    }
#if LEARN
    for (int i = 0; i < LEARNED; i++)
        tell((double)l.weight[i]);
#endif
    return 0;
}
"""
HEAR = r"""
#include <stdio.h>
#include "features.h"
static struct features f;
static double given[HOP];
static real sound[HOP], x[INPUTS];
int main(void)
{
    features_start(&f);
    while (fread(given, sizeof *given, HOP, stdin) == HOP) {
        for (int i = 0; i < HOP; i++)
            sound[i] = (real)given[i];
        features_step(&f, sound, x);
        for (int i = 0; i < INPUTS; i++) {
            double value = (double)x[i];
            fwrite(&value, sizeof value, 1, stdout);
        }
    }
    return 0;
}
"""


def dense(
    hidden: list[int], *, rule: dict[str, Any] | None = None,
    neuron: dict[str, Any] | None = None, **model: Any,
) -> tuple[Network, TracesPropagation]:  # fmt: skip
    """A network of 20 → hidden → 4 that spikes, and TP with the class contrast on it."""
    draws = generator(0, "weights")
    lif = LIF(**{"threshold": 0.2, **(neuron or {})})
    net = mlp(20, hidden, 4, neuron=lif, generator=draws, **model)
    return net, TracesPropagation(net, **{"contrast": "class", **(rule or {})}, generator=draws)


def sequences(net: Network, n: int, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sparse events (n, steps, *in_shape), float64 of float32's precision, and labels."""
    draws = torch.Generator().manual_seed(1)
    shape = (n, steps, *net.in_shape)
    events = (torch.rand(shape, generator=draws) < 0.15) * torch.rand(shape, generator=draws)
    return events.double(), torch.randint(net.classes, (n,), generator=draws)


def write(
    out: Path, net: Network, rule: TracesPropagation | None, learn: str | None, steps: int = 12,
    precision: str = "float32", entry: fixed.Input | None = None, ears: Features | None = None,
    kept: rehearsal.Stored | None = None, name: str = "small",
) -> tuple[plans.Plan, fixed.Fixed | None]:  # fmt: skip
    """The program's files, and the driver."""
    out.mkdir(exist_ok=True)
    made = plans.plan(net, rule, learn, precision)
    whole = None if entry is None else fixed.fix(net, made, entry, steps)
    if whole is None:
        has = numbers.floating(net, source.text("types_float.h"))
    else:
        has = whole.numbers(fixed.types(whole, made))
    learner = rule if learn else None
    heads, tables, parts = parts_of(net, made, learner, kept, ears, 1.0, whole)
    about = {"name": name, "source": "a test", "version": "0", "steps": steps}
    names = [str(c) for c in range(net.classes)]
    files = {
        "model.h": source.header(made, has, about, heads),
        "model.c": source.constants(net, made, has, name, names, tables),
        "driver.c": DRIVER if ears is None else HEAR,
    }  # fmt: skip
    for file, text in (files | {each: source.text(each) for each in ["infer.c", *parts]}).items():
        (out / file).write_text(text)
    return made, whole


def compile(
    out: Path, real: str = "double", compiler: str = "gcc", extra: list[str] = SANE
) -> None:
    """The driver, without a warning."""
    sources = sorted(path.name for path in out.glob("*.c"))
    words = [compiler, "-O0", *STRICT, *extra, f"-DREAL={real}", "-o", "driver", *sources, "-lm"]
    done = subprocess.run(words, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(
    out: Path, net: Network, events: torch.Tensor, labels: torch.Tensor,
    every: int | None = None, rate: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Logits (n, classes), and the learned weights after it all."""
    n, steps = events.shape[:2]
    flat = events.reshape(n, -1).numpy()
    given = np.concatenate([labels.double().numpy()[:, None], flat], 1).tobytes()
    words = ["./driver", str(n), str(steps), str(every or 0), repr(rate)]
    done = subprocess.run(words, cwd=out, input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    said = np.frombuffer(done.stdout)
    cut = n * net.classes
    return said[:cut].reshape(n, -1), said[cut:]
