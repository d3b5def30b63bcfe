"""`synaptrace predict`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
Files are what the run's data set is made of (pictures, sound, recordings), or .npy arrays of
events (steps, …) as the network sees them. Sound of another rate or of several channels is
resampled and mixed down. Prints a line a file: file, label, probability. Where the data are needed
(kws01) and have moved: --data.path DIR.

examples:
  synaptrace predict runs/20260131-120000-digits seven.png events.npy
  synaptrace predict runs/20260131-120000-digits *.png --top 3 --json
  synaptrace predict runs/20260131-120000-fsdd mine.wav
"""
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="run directory")
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+", help="what to recognise")
    parser.add_argument("--top", metavar="K", type=int, default=1, help="the K likeliest (1)")
    parser.add_argument("--json", action="store_true", help="print a JSON object a line")


def run(options: argparse.Namespace) -> int:
    import torch

    from synaptrace.data import read_file
    from synaptrace.names import printed
    from synaptrace.text_table import shown
    from synaptrace.training import job

    trained = job.trained(options.run_directory, options.data_path)
    net, classes = trained.net, trained.classes
    known = {"features": trained.features, "dataset": trained.load_data}
    events = [read_file(path, net, trained.config.data | known) for path in options.files]
    rows = []
    for path, each in zip(options.files, events, strict=True):
        with torch.no_grad():
            probability = net(each[:, None])[0].softmax(0)
        chances, labels = probability.topk(min(max(options.top, 1), len(classes)))
        top = [(classes[i], p) for i, p in zip(labels.tolist(), chances.tolist(), strict=True)]
        if options.json:
            ranked = [{"label": label, "probability": p} for label, p in top]
            print(json.dumps({"file": str(path), **ranked[0], "top": ranked}))
        else:
            told = [cell for label, p in top for cell in (printed(label), f"{p:.4f}")]
            rows.append([printed(path), *told])
    if rows:
        print(shown(rows, head=False))
    return 0
