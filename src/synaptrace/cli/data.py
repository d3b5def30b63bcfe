"""`synaptrace data list | fetch | prepare | inspect`."""

from __future__ import annotations

import argparse
from pathlib import Path

VERBS = {
    "list": "the data sets, and which are there",
    "fetch": "download a data set, or take it from a file here",
    "prepare": "bring a data set into the cache",
    "inspect": "say what a data set holds, and draw samples",
}
EPILOG = """
examples:
  synaptrace data list
  synaptrace data fetch nmnist
  synaptrace data fetch shd --from ~/Downloads/shd_train.h5.zip
  synaptrace data prepare nmnist --data.path ~/nmnist --skip-bad
  synaptrace data inspect nmnist --data.saccades 3 --data.dt 5 --out nmnist.png

settings of prepare and inspect, as of synaptrace train:
  --data.path DIR         where the files lie (where `fetch` puts them)
  --data.…                each data set has options of its own: synaptrace options NAME

Files and caches lie in $SYNAPTRACE_DATA, or else in the user's cache folder.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs to the parser of `synaptrace data`."""
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _, fetch, prepare, inspect = (
        verbs.add_parser(
            verb, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
            epilog="\n".join(["examples:", *each_with(f"  synaptrace data {verb}")]),
        )
        for verb, purpose in VERBS.items()
    )  # fmt: skip
    for verb in (fetch, prepare, inspect):
        verb.add_argument("name", metavar="NAME", help="as in `synaptrace data list`")
    fetch.add_argument("--from", dest="local", metavar="PATH", type=Path,
                       help="an archive, file or folder, not the download")  # fmt: skip
    prepare.add_argument("--skip-bad", action="store_true",
                         help="leave out bad files, list them, and go on")  # fmt: skip
    inspect.add_argument("--out", metavar="FILE", type=Path,
                         help="the picture, a PNG (NAME.png here)")  # fmt: skip


def each_with(start: str) -> list[str]:
    """The examples that begin so."""
    return [line for line in EPILOG.splitlines() if line.startswith(start)]


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; ``options.settings`` holds the --section.key values, as text.

    Raises:
        UserError: as the verbs do.
    """
    from synaptrace.config import nested
    from synaptrace.data import inspect
    from synaptrace.errors import UserError
    from synaptrace.files import expand_user

    given = getattr(options, "settings", {})
    for name in given:
        if not name.startswith("data."):
            raise UserError(f"--{name}: synaptrace data takes --data.… settings alone")
    settings = nested(given).get("data", {})
    path = settings.pop("path", None)
    where = None if path is None else expand_user(path, "data.path")
    if options.verb == "list":
        inspect.list_all()
    elif options.verb == "fetch":
        inspect.fetch(options.name, local=options.local)
    elif options.verb == "prepare":
        inspect.prepare(options.name, path=where, skip_bad=options.skip_bad, settings=settings)
    else:
        inspect.inspect(options.name, path=where, settings=settings, out=options.out)
    return 0
