"""`python -m synaptrace.bench WHAT`: the measurements behind the documentation's figures."""

import argparse
import sys

import torch

from synaptrace.bench import check, data, listen, rules, scale, speed, step
from synaptrace.data.simulate import beside_real
from synaptrace.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m synaptrace.bench", description=__doc__)
    parser.add_argument("--threads", type=int, help="PyTorch threads (default: its own choice)")
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    verb = verbs.add_parser("speed", help="TP beside its peers on four networks (the default)")
    speed.add_arguments(verb)
    verb.set_defaults(run=speed.main)
    verb = verbs.add_parser("step", help="the first of them, or VGG-9 over batch and length")
    step.add_arguments(verb)
    verb.set_defaults(run=step.main)
    verb = verbs.add_parser("check", help="the engine's speed beside what was recorded, in seconds")
    check.add_arguments(verb)
    verb.set_defaults(run=check.main)
    verb = verbs.add_parser("data", help="samples per second, loaded beside trained")
    data.add_arguments(verb)
    verb.set_defaults(run=data.main)
    verb = verbs.add_parser("camera", help="simulated recordings beside real ones, or fit to them")
    beside_real.add_arguments(verb)
    verb.set_defaults(run=beside_real.main)
    verb = verbs.add_parser("listen", help="words heard in one long stream")
    listen.add_arguments(verb)
    verb.set_defaults(run=listen.main)
    verb = verbs.add_parser("rules", help="batches of other rules, dense and on maps")
    rules.add_arguments(verb)
    verb.set_defaults(run=rules.main)
    verb = verbs.add_parser("scale", help="one network on several processes: time, bytes, limits")
    scale.add_arguments(verb)
    verb.set_defaults(run=scale.main)
    options = parser.parse_args(sys.argv[1:] or ["speed"])
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        options.run(options)
    except UserError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
