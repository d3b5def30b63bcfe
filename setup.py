"""Builds the native engine: optional, as everything works without it, only slower.

Each instruction set is a compilation of the same source; the library picks one when it runs, so a
wheel serves every processor. It needs a C++17 compiler and nothing else. The library is loaded by
ctypes and links against no Python, so one wheel serves every Python, too.
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

FOLDER = "src/synaptrace/native/src"
FLAGS = ["-O3", "-g0", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
MORE = os.environ.get("CXXFLAGS", "").split()  # sanitizers, see tests/sanitize
AVX512 = [
    "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512",
]  # fmt: skip
EACH = ("tp/tasks.cpp", "maps/maps.cpp", "sums/convolve.cpp")
# The instruction sets of dispatch.cpp: what is compiled for each, how, and which it builds upon.
LEVELS: dict[str, tuple[tuple[str, ...], list[str], str]] = {
    "plain": (EACH, [], ""),
    "avx2": (EACH, ["-mavx2", "-mfma"], "plain"),
    "avx512": (EACH, AVX512, "plain"),
    "amx": (("amx/convolve.cpp",), [*AVX512, "-mamx-tile", "-mamx-bf16"], "avx512"),
}
ONCE = (
    "abi.cpp", "dispatch.cpp", "threads.cpp", "tp/entry.cpp", "maps/entry.cpp",
    "convolve/entry.cpp",
)  # fmt: skip
HEADERS = sorted(str(path) for path in Path(FOLDER).rglob("*.hpp"))
SOURCES = [f"{FOLDER}/{source}" for source in (*EACH, "amx/convolve.cpp", *ONCE)]


class Build(build_ext):
    def build_extension(self, ext: Extension) -> None:
        try:
            self.build_native(ext)
        except Exception as error:
            print(
                "synaptrace: the native engine is left out, the slower one works: "
                f"no C++17 compiler did the work ({type(error).__name__}, see above)"
            )

    def build_native(self, ext: Extension) -> None:
        objects: list[str] = []
        built: list[str] = []
        x86 = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")
        # The plain ones come first, so that of functions which all objects bring along, such as
        # std::min, the linker takes those that every processor can run.
        for level, (sources, flags, base) in LEVELS.items():
            if base and not (x86 and base in built):
                continue
            macros = [("LEVEL", level)]
            try:
                made = []
                for source in sources:
                    made += self.compile(source, level, [*FLAGS, *flags], macros)
            except Exception as error:  # a compiler that doesn't know the instruction set
                if not base:
                    raise
                print(f"synaptrace: the native engine has no {level}: {error}")
                continue
            objects += made
            built.append(level)
        macros = [(f"WITH_{level.upper()}", "1") for level in built]
        for source in ONCE:
            objects += self.compile(source, "all", FLAGS, macros)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            objects, str(target), extra_postargs=["-pthread", *MORE], target_lang="c++"
        )

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split(".")).with_suffix(".so"))  # as library.py looks for it

    def compile(
        self, source: str, level: str, flags: list[str], macros: list[tuple[str, str]]
    ) -> list[str]:
        return self.compiler.compile(
            [f"{FOLDER}/{source}"],
            output_dir=f"{self.build_temp}/{level}",
            macros=macros,
            extra_postargs=[*flags, "-pthread", *MORE],
            depends=HEADERS,
        )

    def get_outputs(self) -> list[str]:
        return [path for path in super().get_outputs() if Path(path).exists()]

    def copy_extensions_to_source(self) -> None:
        if self.get_outputs():
            super().copy_extensions_to_source()


class Wheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        built = any(Path(self.bdist_dir).rglob("_native.so"))
        return "py3", "none", super().get_tag()[2] if built else "any"


setup(
    cmdclass={"build_ext": Build, "bdist_wheel": Wheel},
    ext_modules=[
        Extension(
            "synaptrace.native._native",
            sources=SOURCES,
            depends=HEADERS,
            language="c++",
            optional=True,
        )
    ],
)
