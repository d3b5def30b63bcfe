"""`synaptrace data list | fetch | prepare | inspect`."""

from __future__ import annotations

import argparse
from pathlib import Path

from synaptrace.errors import UserError

EXAMPLES = """\
examples:
  synaptrace data list
  synaptrace data fetch nmnist
  synaptrace data fetch shd --from ~/Downloads/shd_train.h5.zip
  synaptrace data prepare nmnist --path ~/nmnist --skip-bad
  synaptrace data inspect nmnist --data.saccades 3 --data.dt 5 --out nmnist.png

Data lie in $SYNAPTRACE_DATA, or else in the user's cache folder.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verbs to the parser of `synaptrace data`; `run` takes what it parses."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verbs.add_parser("list", help="the data sets, and which are there")
    fetch = verbs.add_parser("fetch", help="download a data set, or take it from a file here")
    fetch.add_argument("name", metavar="NAME", help="as in `synaptrace data list`")
    fetch.add_argument(
        "--from",
        dest="local",
        type=Path,
        metavar="PATH",
        help="an archive, a file or a folder here, in place of the download",
    )
    prepare = verbs.add_parser("prepare", help="bring a data set into the cache")
    _add_data(prepare)
    prepare.add_argument(
        "--skip-bad", action="store_true", help="leave out bad files, list them, and go on"
    )
    inspect = verbs.add_parser("inspect", help="say what a data set holds, and draw samples")
    _add_data(inspect)
    inspect.add_argument(
        "--out", type=Path, metavar="FILE", help="the picture (default: NAME.png here)"
    )


def run(options: argparse.Namespace) -> None:
    """Do what was asked for. Raises UserError as the verbs do."""
    from synaptrace.config import nested
    from synaptrace.data import verbs

    for name in options.settings:
        if not name.startswith("data."):
            raise UserError(f"--{name}: synaptrace data takes --data.… only")
    settings = nested(options.settings).pop("data", {})
    path = options.path if "path" in options else None
    if "path" in settings:
        path = Path(settings.pop("path"))
    if options.verb == "list":
        verbs.list_all()
    elif options.verb == "fetch":
        verbs.fetch(options.name, local=options.local)
    elif options.verb == "prepare":
        verbs.prepare(options.name, path=path, skip_bad=options.skip_bad, settings=settings)
    else:
        verbs.inspect(options.name, path=path, settings=settings, out=options.out)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="as in `synaptrace data list`")
    parser.add_argument("--path", type=Path, metavar="DIR", help="same as --data.path")
