"""Python files of the user's own, which are run because the command line names them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from synaptrace import data, rules
from synaptrace.data.inputs import check_file, reason
from synaptrace.errors import UserError
from synaptrace.own import OPTIONS
from synaptrace.surrogate import SURROGATES, Surrogate


def present() -> dict[str, str]:
    """The files that this process has run, by option, for a process that it starts to `load`."""
    return {
        option: str(module.__file__)
        for option, prefix in OPTIONS.items()
        for name, module in sys.modules.items()
        if name.startswith(f"{prefix}.")
    }


def load(files: Mapping[str, str]) -> None:
    """Run Python files of the user's own, as the command line names them ({option: file}).

    Raises:
        UserError: a file that can't be read or run, or that defines nothing of its own.
    """
    for option, text in files.items():
        file = Path(text).expanduser().absolute()
        check_file(file)
        name = f"{OPTIONS[option]}.{file.stem}"
        spec = spec_from_file_location(name, file)
        if file.suffix != ".py" or spec is None or spec.loader is None:
            raise UserError(f"--{option}: {file} is no Python file; it should end with .py")
        before, made = sys.modules.get(name), module_from_spec(spec)
        sys.modules[name] = made
        try:
            spec.loader.exec_module(made)
            check(option, file, made)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            if before is not None:
                sys.modules[name] = before
            if isinstance(error, UserError):
                raise
            line, kind = place(error, file), type(error).__name__
            raise UserError(f"{file}{line}: can't be run ({kind}: {reason(error)})") from error


def check(option: str, file: Path, made: ModuleType) -> None:
    """Raises UserError where a file defines nothing that its option is for, or takes a name that is
    another's."""
    if option == "data.file":
        if not callable(getattr(made, "load", None)):
            raise UserError(f"{file}: defines no load(*, path=None, batch_size=64, …) -> Dataset")
        if file.stem in data.NAMES:
            raise UserError(
                f"{file}: {file.stem!r} is a data set that comes along; rename the file"
            )
        return
    own = [kind for kind in vars(made).values() if getattr(kind, "__module__", "") == made.__name__]
    found = [k for k in own if isinstance(k, type) and issubclass(k, rules.Rule | Surrogate)]
    if not found:
        raise UserError(f"{file}: defines no rule (a class of synaptrace.rules.Rule) or surrogate")
    for kind in found:
        taken = rules.NAMES if issubclass(kind, rules.Rule) else SURROGATES
        if "name" not in vars(kind) or kind.name in taken:
            raise UserError(f'{file}: {kind.__name__} needs a name of its own: name = "mine"')


def place(error: BaseException, file: Path) -> str:
    """ ":LINE" of ``file`` in which an error arose, "" where it is none of its lines."""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            found = f":{trace.tb_lineno}"
        trace = trace.tb_next
    return found
