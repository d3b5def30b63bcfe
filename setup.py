"""Builds the native engine: optional, as everything works without it, only slower.

Each instruction set is a compilation of the same source; the library picks one when it runs, so a
wheel serves every processor. It needs a C++17 compiler and nothing else.
"""

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FOLDER = "src/synaptrace/engine"
FLAGS = ["-O3", "-g0", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
LEVELS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": [
        "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma",
        "-mprefer-vector-width=512",
    ],
}  # fmt: skip
AMX = [*LEVELS["avx512"], "-mamx-tile", "-mamx-bf16"]
LEVELLED, ONCE = ("tasks.cpp", "maps.cpp"), ("native.cpp", "entry.cpp")
HEADERS = sorted(str(path) for path in Path(FOLDER).glob("*.hpp"))
UNIT = f"{FOLDER}/convolve.cpp"


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
        objects, macros = [], []
        for source in LEVELLED:
            objects += self.compile(source, "plain", FLAGS, [("LEVEL", "plain")])
        if sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64"):
            for level, flags in LEVELS.items():
                try:
                    for source in LEVELLED:
                        objects += self.compile(source, level, [*FLAGS, *flags], [("LEVEL", level)])
                    macros.append((f"WITH_{level.upper()}", "1"))
                except Exception as error:  # a compiler that doesn't know the instruction set
                    print(f"synaptrace: the native engine has no {level}: {error}")
        if "WITH_AVX512" in dict(macros):
            try:
                objects += self.compile("convolve.cpp", "amx", [*FLAGS, *AMX], [])
            except Exception as error:
                print(f"synaptrace: the native engine has no matrix unit: {error}")
        for source in ONCE:
            objects += self.compile(source, "all", FLAGS, macros)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            objects, str(target), extra_postargs=["-pthread"], target_lang="c++"
        )

    def compile(
        self, source: str, level: str, flags: list[str], macros: list[tuple[str, str]]
    ) -> list[str]:
        return self.compiler.compile(
            [f"{FOLDER}/{source}"],
            output_dir=f"{self.build_temp}/{level}",
            macros=macros,
            extra_postargs=[*flags, "-pthread"],
            depends=HEADERS,
        )

    def get_outputs(self) -> list[str]:
        return [path for path in super().get_outputs() if Path(path).exists()]

    def copy_extensions_to_source(self) -> None:
        if self.get_outputs():
            super().copy_extensions_to_source()


setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(
            "synaptrace.engine._native",
            sources=[f"{FOLDER}/{source}" for source in (*LEVELLED, *ONCE)],
            depends=[*HEADERS, UNIT],
            language="c++",
            optional=True,
        )
    ],
)
