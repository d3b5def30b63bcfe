"""`synaptrace export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from synaptrace import builtin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """
--to c writes a folder: C99 without dependencies or allocation, weights as constants, a program
that runs it, and a test that holds it against this network (make, make test). With --learn it also
learns on the device, one utterance at a time, by Traces Propagation with the class contrast: all
weights, the readout alone, or those of some layers; these live in RAM, the others in flash. With
--rehearse, sequences that it was trained on are kept in flash, so that it doesn't forget.

--to nir writes one file in the neuromorphic intermediate representation, as the importer of the
--target reads it. NIR's reset is hard: a network trained with the soft one needs --reset-as hard,
and what that costs on the validation samples is printed. --to pt2 writes one time step as a program
of PyTorch (torch.export), for ExecuTorch or AOTInductor.

examples:
  synaptrace export runs/20260131-120000-digits --to c --out digits-c
  synaptrace export runs/20260131-120000-fsdd --to c --out words-c --learn all --front-end
  synaptrace export runs/20260131-120000-fsdd --to c --out words-c --learn all --rehearse 5
  synaptrace export runs/20260131-120000-fsdd --to c --out words-c --precision int8
  synaptrace export keywords --to c --out words-c --front-end --decide
  synaptrace export runs/20260131-120000-digits --to nir --target norse --reset-as hard --out d.nir
  synaptrace export runs/20260131-120000-digits --to pt2 --out digits.pt2
"""
    parser.epilog += f"\n{builtin.about()}\n"
    parser.add_argument("run_directory", metavar="RUN", type=Path, help="run directory")
    parser.add_argument("--to", metavar="TARGET", required=True, help="c, nir or pt2")
    parser.add_argument("--out", metavar="PATH", type=Path, required=True, help="where it goes")
    parser.add_argument("--learn", metavar="A,…", help="c: all, readout, layers.N")
    parser.add_argument("--precision", metavar="P", default="float32",
                        help="c: of the weights, float32, int16 or int8 (float32)")  # fmt: skip
    parser.add_argument("--front-end", action="store_true",
                        help="c: also from sound to the network's input")  # fmt: skip
    parser.add_argument("--decide", action="store_true",
                        help="c: also where words are in a stream, and how sure")  # fmt: skip
    parser.add_argument("--rehearse", metavar="N", type=int,
                        help="c: sequences of each class kept, to be learned again")  # fmt: skip
    parser.add_argument(
        "--target",
        metavar="NAME",
        default="generic",
        help="nir: generic, snntorch, spikingjelly, norse, sinabs, lava",
    )
    parser.add_argument("--reset-as", metavar="hard", help="nir: spikes set the membrane to zero")


def run(options: argparse.Namespace) -> int:
    from synaptrace import ship
    from synaptrace.training import job

    export = ship.target(options.to)
    trained = job.trained(options.run_directory, options.data_path)
    asked = ship.Options(
        options.run_directory, options.learn, options.precision, options.front_end,
        options.rehearse, options.decide, options.target, options.reset_as,
    )  # fmt: skip
    print(export(trained, options.out, asked))
    return 0
