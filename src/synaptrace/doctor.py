"""What this machine and installation can do, and what would make them do more."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy
import torch

from synaptrace import __version__, data
from synaptrace.data import inspect
from synaptrace.data.cache import cores, home
from synaptrace.errors import UserError, one_line
from synaptrace.native import library
from synaptrace.settings_list import devices

Kind = Literal["fine", "could be better", "broken"]
EXTRAS = {
    "datasets": ("h5py", "tonic", "soundfile"), "audio": ("sounddevice",),
    "tensorboard": ("tensorboard",), "nir": ("nir",), "sweep": ("optuna",),
    "report": ("plotly",),
    "bench": ("snntorch", "spikingjelly", "braintrace"),
    "docs": ("material", "mkdocstrings", "mkdocs_jupyter", "selenium"),
}  # fmt: skip
"""The modules of the optional dependencies in pyproject.toml."""
NEEDED = ("scipy", "sklearn", "matplotlib", "PIL", "pydantic", "yaml", "safetensors", "tqdm",
          "pooch", "rich")  # fmt: skip
"""The modules that everything needs, beside PyTorch and NumPy."""
COMPILERS = ("c++", "g++", "clang++")
AGAIN = "pip install --force-reinstall --no-deps synaptrace"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str
    found: str
    kind: Kind = "fine"
    advice: str = ""
    """What to do about it; empty where there is nothing to do."""


def findings() -> list[Finding]:
    """Everything, in the order in which it is told. What can't be looked at is a broken finding."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        versions, engine, processor, places, extras, gpu,
    ]  # fmt: skip
    made: list[Finding] = []
    for check in checks:
        try:
            made += check()
        except (UserError, OSError) as error:
            made.append(Finding(check.__name__, one_line(str(error)), "broken", "see the message"))
    return made


def versions() -> Iterator[Finding]:
    """The package, Python, and what everything needs."""
    try:
        installed = metadata.version("synaptrace")
    except metadata.PackageNotFoundError:
        installed = None
    other = installed not in (None, __version__)
    yield Finding(
        "synaptrace", f"{__version__} in {Path(__file__).parent}",
        "could be better" if other else "fine",
        f"pip knows version {installed}, another copy; install again" if other else "",
    )  # fmt: skip
    yield Finding("Python", platform.python_version())
    yield Finding("PyTorch", str(torch.__version__))
    yield Finding("NumPy", numpy.__version__)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        yield Finding("needed packages", f"missing: {', '.join(missing)}", "broken",
                      "pip install --force-reinstall synaptrace")  # fmt: skip


def engine() -> Iterator[Finding]:
    """The native engine, and why it isn't a better one."""
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    compiler = Finding("compiler", found or "none found", "fine" if found else "could be better",
                       "" if found else "install g++ or clang++ (apt install g++)")  # fmt: skip
    named = os.environ.get(library.LIBRARY)
    native, reason = library.find()  # a wrong `LIBRARY` is broken
    if native is None:
        how = AGAIN if found else f"install g++, then {AGAIN}"
        built = bool(list(Path(library.__file__).parent.glob("_native*.so")))
        yield Finding("native engine", f"none: {reason}", "broken" if built else "could be better",
                      f"PyTorch does its work, slower; {how}")  # fmt: skip
        yield compiler
        return
    level = library.level()
    chosen = os.environ.get(library.LEVEL)
    every = [native.synaptrace_level_name(i).decode() for i in range(native.synaptrace_levels())]
    absent = [name for name in ("plain", "avx2", "avx512", "amx") if name not in every]
    lacks = [name for name in every if name not in library.levels()]
    x86 = platform.machine() in ("x86_64", "AMD64")
    why = []
    if chosen and chosen != library.levels()[-1]:
        why.append(f"{library.LEVEL}={chosen} chose it; unset it for {library.levels()[-1]}")
    if lacks:
        why.append(f"the processor lacks {', '.join(lacks)}")
    if absent:
        why.append(
            f"{', '.join(absent)} was not compiled: a newer compiler, then {AGAIN}" if x86
            else "other levels are for x86-64"
        )  # fmt: skip
    better = bool(chosen and chosen != library.levels()[-1]) or (bool(absent) and x86)
    about = f"{level}" + (f" from {named}" if named else "")
    yield Finding("native engine", about, "could be better" if better else "fine", "; ".join(why))
    yield compiler


def processor() -> Iterator[Finding]:
    """Cores and threads."""
    threads = torch.get_num_threads()
    set_by = next((n for n in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if os.environ.get(n)), None)
    few = threads < cores() and set_by is not None
    yield Finding(
        "threads", f"{threads} of {cores()} cores" + (f", by {set_by}" if set_by else ""), "fine",
        f"--train.threads N, or unset {set_by}, for more" if few else "",
    )  # fmt: skip


def places() -> Iterator[Finding]:
    """Where data and caches lie, how large they are, and which data sets are there."""
    where = home()
    given = "SYNAPTRACE_DATA" if os.environ.get("SYNAPTRACE_DATA") else "the user's cache folder"
    above = next(each for each in (where, *where.parents) if each.exists())
    free = shutil.disk_usage(above).free / 2**30
    writable = above.is_dir() and os.access(above, os.W_OK)
    yield Finding(
        "where data lie", f"{where} ({given}), {free:.1f} GiB free",
        "fine" if writable else "broken",
        "" if writable else "can't be written; set SYNAPTRACE_DATA to a folder of yours",
    )  # fmt: skip
    prepared = where / "prepared"
    count, total = size(prepared)
    yield Finding("caches", f"{total / 2**20:.1f} MiB in {count} files, {prepared}", "fine",
                  "may be removed; they are made again when needed" if count else "")  # fmt: skip
    for name in sorted(data.NAMES):
        source = inspect.find(name)
        if not source.layout:
            yield Finding(f"data {name}", "comes along")
        elif source.folder.is_dir():
            yield Finding(f"data {name}", str(source.folder))
        elif name == "folder":
            yield Finding(f"data {name}", "your own", "fine", "--data.path DIR")
        else:
            yield Finding(f"data {name}", "not there", "fine",
                          f"synaptrace data fetch {name}, or --data.path DIR")  # fmt: skip


def size(folder: Path) -> tuple[int, int]:
    """Files below a folder, and their bytes; links aren't followed."""
    count = total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
            count += 1
    return count, total


def extras() -> Iterator[Finding]:
    """The optional dependencies."""
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if find_spec(name) is None]
        found = ", ".join(name for name in modules if name not in missing)
        lacking = f"not installed: {', '.join(missing)}" if missing else ""
        told = "; ".join(filter(None, [found, lacking]))
        yield Finding(f"extra {extra}", told, "fine",
                      f"pip install 'synaptrace[{extra}]'" if missing else "")  # fmt: skip


def gpu() -> Iterator[Finding]:
    """Accelerators that PyTorch can use."""
    found = devices()[1:]
    if found:
        yield Finding("GPU", ", ".join(found), "fine", f"--train.device {found[0].split()[0]}")
        return
    seen = sys.platform == "linux" and Path("/proc/driver/nvidia/version").exists()
    if seen and torch.version.cuda is None:
        yield Finding("GPU", "an NVIDIA driver, but PyTorch is built without CUDA",
                      "could be better", "pip install --force-reinstall torch")  # fmt: skip
    elif seen:
        yield Finding("GPU", f"an NVIDIA driver, but PyTorch with CUDA {torch.version.cuda} sees "
                      "no device", "could be better", "see nvidia-smi")  # fmt: skip
    else:
        yield Finding("GPU", "none; networks train on the processor")
