"""`synaptrace plot`."""

from __future__ import annotations

import argparse
from pathlib import Path

WHAT = ("curve", "embedding", "spikes", "filters", "features", "raster", "membrane")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
curve      accuracy, losses and spike rates over the epochs; of several runs validation accuracy,
           with mean and deviation over the last ten epochs
embedding  the last layer's traces in a plane (t-SNE)
spikes     spike rate of each layer over the epochs
filters    the first layer's weights, a filter or neuron at a time, as the sensor's image
features   spike counts of every layer's maps, or neurons, over one sample
raster     every spike of one sample, layer by layer
membrane   membranes over one sample, of the neurons of a layer that spike most

Data that have moved since the training: --data.path DIR.

examples:
  synaptrace plot curve runs/20260131-120000-digits
  synaptrace plot curve runs/20260131-130000-fsdd runs/20260131-140000-fsdd-paper --out both.png
  synaptrace plot raster runs/20260131-120000-digits --sample 3
  synaptrace plot membrane runs/20260131-120000-digits --sample 3 --layer 0
  synaptrace plot features runs/20260131-120000-digits-conv --sample 3 --out maps.png
"""
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("run_directory", metavar="RUN", type=Path, nargs="+", help="run directory")
    parser.add_argument("--sample", metavar="N", type=int, default=0,
                        help="features, raster, membrane: number of the validation "
                        "sample (0)")  # fmt: skip
    parser.add_argument("--layer", metavar="N", type=int,
                        help="membrane: which hidden layer (0)")  # fmt: skip
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
    if options.layer is not None and options.what != "membrane":
        raise UserError(f"--layer: goes with membrane, not with {options.what}")
    if options.what in ("curve", "spikes"):
        draw = plots.learning_curve if options.what == "curve" else plots.spikes
        print(printed(draw(first, options.out)))
        return 0
    trained = job.trained(first, options.data_path)
    out = options.out or builtin.beside(trained.run) / f"{options.what}.png"
    picture: Path | None
    if options.what == "filters" and len(trained.net.in_shape) == 3:
        picture = plots.filters(trained.net, out)
    else:
        data = reopen.load_data(trained)
        shape = data.meta.shape
        if options.what == "embedding":
            picture = plots.embedding(trained.net, data, out)
        elif options.what == "filters":
            picture = plots.filters(trained.net, out, shape)
        else:
            events, label = plots.labelled(data, options.sample)
            title = f"sample {options.sample}: {data.meta.classes[label]}"
            if options.what == "features":
                picture = plots.feature_maps(trained.net, events, out, shape=shape)
            elif options.what == "raster":
                picture = plots.raster(trained.net, events, out, title)
            else:
                picture = plots.membrane(trained.net, events, out, options.layer or 0, title)
    print(printed(picture or "too few samples, or a silent layer: nothing to show"))
    return 0
