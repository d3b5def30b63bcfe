"""`synaptrace plot`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
curve      accuracy, losses and spike rates over the epochs; of several runs validation accuracy,
           with mean and deviation over the last ten epochs
embedding  the last layer's traces in a plane (t-SNE)
filters    the first layer's filters
features   spike counts of every layer's maps over one sample

Data that have moved since the training: --data.path DIR.

examples:
  synaptrace plot curve runs/20260131-120000-digits
  synaptrace plot curve runs/20260131-130000-fsdd runs/20260131-140000-fsdd-paper --out both.png
  synaptrace plot features runs/20260131-120000-digits-conv --sample 3 --out maps.png
"""
    parser.add_argument("what", choices=["curve", "embedding", "filters", "features"])
    parser.add_argument("run_directory", metavar="RUN", type=Path, nargs="+", help="run directory")
    parser.add_argument("--sample", metavar="N", type=int, default=0,
                        help="features: number of the validation sample (0)")  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=Path, help="the PNG; by default in RUN")


def run(options: argparse.Namespace) -> int:
    from synaptrace import builtin, plots, text_table
    from synaptrace.errors import UserError
    from synaptrace.keyword import reopen
    from synaptrace.names import printed
    from synaptrace.training import job

    first, *others = options.run_directory
    if others and options.what != "curve":
        raise UserError(f"plot {options.what}: takes one run, not {1 + len(others)}")
    if others:
        out = options.out or Path(plots.CURVE)
        what = "validation, last ten epochs at most"
        found = plots.learning_curves(options.run_directory, out)
        rows = [[printed(e), what, f"{mean:.2%} ± {100 * sd:.2f}"] for e, mean, sd in found]
        print(text_table.shown(rows, head=False))
        print(printed(out))
        return 0
    if options.what == "curve":
        print(printed(plots.learning_curve(first, options.out)))
        return 0
    trained = job.trained(first, options.data_path)
    out = options.out or builtin.beside(trained.run) / f"{options.what}.png"
    picture: Path | None
    if options.what == "filters":
        picture = plots.filters(trained.net, out)
    elif options.what == "features":
        events = plots.sample(reopen.load_data(trained), options.sample)
        picture = plots.feature_maps(trained.net, events, out)
    else:
        picture = plots.embedding(trained.net, reopen.load_data(trained), out)
    print(printed(picture or "too few samples, or a silent layer: nothing to show"))
    return 0
