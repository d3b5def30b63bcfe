"""The command line: one file a verb, each with ``add_arguments(parser)`` and ``run(options)``.

Exit codes: 0 done; 1 the doctor found something broken; 2 bad input, one line on standard error;
3 training diverged; 130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any, NoReturn

from synaptrace import __version__
from synaptrace.errors import UserError, one_line, short
from synaptrace.meanings import meant

VERBS = {
    "train": "train a network; without options, the embedded digits",
    "resume": "go on with a run that was cut off",
    "evaluate": "accuracy, recall, confusion and spikes of a trained network",
    "predict": "the label and probability of files",
    "finetune": "adapt a trained network to a new speaker from a few utterances",
    "listen": "recognise words in a sound file or at the microphone, as they are spoken",
    "record": "record your own words into a data set",
    "export": "ship a trained network: as a C program that runs, and learns, on a device",
    "runs": "what was trained: accuracies, settings, and what was cut off",
    "compare": "learning rules side by side on the same network, data and budget",
    "sweep": "the best settings of a search, chosen by validation",
    "memory": "bytes of each rule by purpose, counted and measured",
    "plot": "pictures of a run: curve, embedding, spikes, filters, feature maps, raster, membranes",
    "report": "one HTML file of a run, a comparison, a sweep or a fine-tuning",
    "data": "data sets: list, fetch, prepare, inspect",
    "presets": "ready settings, and the published figures beside them",
    "options": "every setting: its type, default and meaning, and the presets that set it",
    "doctor": "what this machine and installation can do, and what would make them do more",
}
SETTINGS = ("train", "data", "compare", "sweep", "finetune", "memory")
"""Verbs that take --section.key value."""
MOVED = ("resume", "evaluate", "predict", "listen", "export", "plot", "report")
"""Verbs that take --data.path alone, where a run's data have moved since."""
OWN = (*SETTINGS, *MOVED)
"""Verbs that take --rule.file and --data.file, Python files with parts of the user's own."""

ALONE = tuple(verb for verb in VERBS if verb not in ("train", "resume"))
"""Verbs that several processes can't do together."""

OUT_OF_MEMORY = (
    "can't allocate memory", "not enough memory", "out of memory", "storage size calculation",
    "integer multiplication overflow",
)  # fmt: skip
"""What PyTorch says where a tensor is larger than the machine, or than any."""

WORD = r"[\w-]+"
EXAMPLES = """
examples:
  synaptrace train                                the embedded digits, in under a minute
  synaptrace train --train.epochs 10 --seeds 3    other settings, three seeds
  synaptrace presets                              what else there is to train
  synaptrace evaluate runs/20260131-120000-digits
"""


class Parser(argparse.ArgumentParser):
    """Complains in one line, and knows no abbreviations."""

    def error(self, message: str) -> NoReturn:
        """One line for a wrong word, as for any other bad input."""
        wrong, _, known = message.partition(" (choose from ")
        hint = ""
        if known:
            message = f"{wrong}; there are {', '.join(re.findall(WORD, known))}"
            hint = meant(wrong.rpartition("choice: ")[2].strip("'"), re.findall(WORD, known))
        raise UserError(f"{message}{hint or f'; see {self.prog} --help'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal can't encode is escaped
            stream.reconfigure(errors="backslashreplace")
    try:
        with together(words):
            return run(words)
    except UserError as error:
        if not error.told:
            print(f"synaptrace: {one_line(str(error))}", file=sys.stderr)
        return getattr(error, "exit_code", 2)
    except KeyboardInterrupt:
        print("synaptrace: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # a reader such as head has seen enough
        sys.stderr.close()
        return 0
    except Exception as error:
        reason = cause(error)
        if reason is None:  # a fault of ours, which its traceback tells best
            raise
        print(f"synaptrace: {one_line(reason)}", file=sys.stderr)
        return 2


def together(words: list[str]) -> AbstractContextManager[Any]:
    """Joins the processes that torchrun started. Raises UserError for a verb that knows one."""
    if not os.environ.get("MASTER_ADDR") or (os.environ.get("WORLD_SIZE") or "1") == "1":
        return nullcontext()
    if words and words[0] in ALONE:
        error = UserError(f"torchrun: {words[0]} runs in one process; train and resume in several")
        error.told = os.environ.get("RANK") != "0"
        raise error
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # what else it says is traces of C++
    from synaptrace.training import team

    return team.joined()


def cause(error: Exception) -> str | None:
    """What outside the program led to ``error``: the machine, the files, the sizes asked for.
    None where it is none of these."""
    text = str(error)
    allocator = isinstance(error, RuntimeError) and any(w in text.lower() for w in OUT_OF_MEMORY)
    if allocator or isinstance(error, MemoryError):
        return f"out of memory ({text or 'no more'}); choose a smaller network, batch or file"
    if isinstance(error, RecursionError):
        return "the input is nested too deeply to be read"
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        return f"{where}{error.strerror or text}"
    if isinstance(error, UnicodeEncodeError):
        return f"{short(error.object)}: holds characters that aren't {error.encoding}; rename it"
    return None


def run(words: list[str]) -> int:
    """Parse, then call the verb's `run`. Only the chosen verb's module is imported."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="synaptrace", epilog=EXAMPLES, formatter_class=raw, allow_abbrev=False,
        description="Spiking neural networks that learn by local rules, Traces Propagation first.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"synaptrace {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, purpose in VERBS.items():
        verb = verbs.add_parser(name, help=purpose, formatter_class=raw, allow_abbrev=False)
        if name == chosen:
            module = import_module(f"synaptrace.cli.{name}")
            verb.description = purpose[0].upper() + purpose[1:] + "."
            module.add_arguments(verb)
            verb.epilog = f"{(verb.epilog or '').rstrip()}\n{more(name)}"
            verb.set_defaults(run=module.run)
    given = words
    if chosen == "options":  # a setting as it is written elsewhere, --train.lr
        words = [word.removeprefix("--") if "." in word else word for word in words]
    words, settings = take_settings(words)
    moved = settings.pop("data.path", None) if chosen in MOVED else None
    files = take_files(settings) if chosen in OWN else {}
    if settings and chosen not in SETTINGS:
        but = " but --data.path" if chosen in MOVED else ""
        raise UserError(f"--{next(iter(settings))}: synaptrace {chosen} takes no settings{but}")
    options, unknown = parser.parse_known_args(words)
    if unknown:
        own = verbs.choices[chosen] if chosen in VERBS else parser
        keys = [f"--{key}" for key in every_setting()] if chosen in SETTINGS else []
        raise UserError(
            f"unrecognized arguments: {' '.join(unknown)}"
            + (mistaken(unknown[0], own, keys) or f"; see {own.prog} --help")
        )
    options.data_path, options.given = moved, given
    if chosen in SETTINGS:
        options.settings = settings
    if files:
        from synaptrace import own_files

        own_files.load(files)
    code: int | None = options.run(options)
    return code or 0


def more(verb: str) -> str:
    """The end of a verb's help: what it takes besides its own options, where it doesn't say so."""
    told = {
        "settings, --section.key VALUE: synaptrace options lists them": verb in SETTINGS[2:],
        "parts of your own: --rule.file FILE.py, --data.file FILE.py": verb in OWN[1:],
    }
    lines = [line for line, holds in told.items() if holds]
    return "\n".join(["", *lines, ""]) if lines else ""


def every_setting() -> list[str]:
    """The settings that all runs have, as section.key, without importing PyTorch."""
    from synaptrace.sections import SAID

    return [f"{section}.{key}" for section, said in SAID.items() for key in said]


def mistaken(word: str, parser: argparse.ArgumentParser, settings: list[str]) -> str:
    """The end of a message on a word that ``parser`` doesn't know; empty where none is like it."""
    name = word.partition("=")[0]
    if not name.startswith("--"):
        return ""
    same = [each for each in settings if each.rpartition(".")[2] == name[2:]]
    known = same or [*re.findall(r"--[a-z][a-z-]*", parser.format_help()), *settings]
    return meant(same[0] if same else name, known)


def take_files(settings: dict[str, str]) -> dict[str, str]:
    """Take the options that name Python files out of the settings; a settings file has none."""
    from synaptrace.own import OPTIONS

    return {option: settings.pop(option) for option in OPTIONS if option in settings}


def take_settings(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Take every ``--section.key value`` (or =value) out of the words.

    Raises:
        UserError: one without value, or given twice.
    """
    rest: list[str] = []
    settings: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, text = word[2:].partition("=")
        if not word.startswith("--") or "." not in name:
            rest.append(word)
            continue
        if not equals:
            if not left or (left[0].startswith("--") and left[0] != "--"):
                raise UserError(f"--{name}: needs a value")
            text = left.pop(0)
        if text.count("[") > text.count("]"):
            raise UserError(f"--{name}: {short(text)} ends too soon; write [100,50] without spaces")
        if name in settings:
            raise UserError(f"--{name}: given twice")
        settings[name] = text
    return rest, settings
