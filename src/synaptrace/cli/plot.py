"""`synaptrace plot`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
curve      accuracy, losses and spike rates over the epochs
embedding  the last layer's traces in a plane (t-SNE)
filters    the first layer's filters
features   spike counts of every layer's maps over one sample

examples:
  synaptrace plot curve runs/20260131-120000-digits
  synaptrace plot features runs/20260131-120000-digits-conv --sample 3 --out maps.png
"""
    parser.add_argument("what", choices=["curve", "embedding", "filters", "features"])
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="run directory")
    parser.add_argument("--sample", metavar="N", type=int, default=0,
                        help="features: number of the validation sample (0)")  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=Path, help="the PNG; by default in RUN")


def run(options: argparse.Namespace) -> int:
    from synaptrace.study import plots
    from synaptrace.training import job

    if options.what == "curve":
        print(plots.learning_curve(options.run_directory, options.out))
        return 0
    trained = job.trained(options.run_directory)
    out = options.out or trained.run / f"{options.what}.png"
    picture: Path | None
    if options.what == "filters":
        picture = plots.filters(trained.net, out)
    elif options.what == "features":
        events = plots.sample(trained.load_data(), options.sample)
        picture = plots.feature_maps(trained.net, events, out)
    else:
        picture = plots.embedding(trained.net, trained.load_data(), out)
    print(picture or "too few samples, or a silent layer: nothing to show")
    return 0
