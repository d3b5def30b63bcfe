"""`synaptrace report`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
One HTML file, to be read, sent or kept: it needs no server and no network. Of a run, a fine-tuned
run, or the directory of a comparison, a sweep or a fine-tuning of many users: settings that differ
from the preset, curves, confusion, one sample's spikes, traces in a plane, memory, cost,
environment, and the command that does it again. Of comparisons and sweeps the network of the best
is looked at, of many users the first one's.

No test set is read: test accuracies are those that training stored; confusion, sample and
embedding are of validation samples, of training samples where there are none. Needs Plotly
(pip install 'synaptrace[report]'). Data that have moved: --data.path DIR.

examples:
  synaptrace report runs/20260131-120000-digits
  synaptrace report runs/20260131-120000-digits --sample 3 --out report.html
  synaptrace report runs/compare-digits-1a2b3c4d --out rules.html
  synaptrace report runs/finetune-fsdd-1a2b3c4d
"""
    parser.add_argument("directory", metavar="RUN|STUDY", type=Path,
                        help="of a run, a comparison, a sweep or a fine-tuning")  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=Path, help="by default report.html in it")
    parser.add_argument("--sample", metavar="N", type=int, default=0,
                        help="number of the validation sample that is shown (0)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    from synaptrace import builtin, report
    from synaptrace.names import printed

    where = options.directory
    out = options.out or builtin.beside(builtin.find(where)) / "report.html"
    print(printed(report.write(where, out, sample=options.sample, data_path=options.data_path)))
    return 0
