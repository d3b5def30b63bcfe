"""`python -m synaptrace.bench WHAT`: the measurements behind the documentation's figures."""

import argparse
import sys

import torch

from synaptrace.bench import check, data, listen, rules, scale, speed, step
from synaptrace.data.simulate import beside_real
from synaptrace.errors import UserError

VERBS = {
    "speed": (speed, "TP beside its peers on four networks (the default)"),
    "step": (step, "the first of them, or VGG-9 over batch and length"),
    "check": (check, "the engine's speed beside what was recorded, in seconds"),
    "data": (data, "samples per second, loaded beside trained"),
    "camera": (beside_real, "simulated recordings beside real ones, or fit to them"),
    "listen": (listen, "words heard in one long stream"),
    "rules": (rules, "batches of other rules, dense and on maps"),
    "scale": (scale, "one network on several processes: time, bytes, limits"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m synaptrace.bench", description=__doc__)
    parser.add_argument("--threads", type=int, help="PyTorch threads (default: its own choice)")
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    for name, (module, said) in VERBS.items():
        verb = verbs.add_parser(name, help=said)
        module.add_arguments(verb)
        verb.set_defaults(run=module.main)
    options = parser.parse_args(sys.argv[1:] or ["speed"])
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        options.run(options)
    except UserError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
