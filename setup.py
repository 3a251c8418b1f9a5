"""Builds the compiled kernels, once for each instruction set; an installation without a C++ compiler does without.

The folder `studies/` is the package `lth_ray.studies` of what is installed: its scripts are run, and never imported.
"""

import os
import platform
import runpy
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FOLDER = Path("lth_ray") / "training" / "kernels"
SOURCES = ["network.cpp", "norm.cpp", "linear/linear.cpp", "conv/conv.cpp"]
FLAGS = ["-std=c++17", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi"]
WIDE = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]
SETS = {"portable": [], "avx2": ["-mavx2", "-mfma"], "avx512": WIDE}


class BuildKernels(build_ext):
    """Compiles the same source for every instruction set into one library, which chooses when it is used."""

    def build_extension(self, ext: Extension) -> None:
        sources = runpy.run_path(str(FOLDER / "sources.py"))
        digest = sources["source_digest"]
        macros = [("SOURCE", digest())]
        macros += [(f"{part}_SOURCE", digest(sources[part])) for part in ("LINEAR", "CONV")]
        names = SETS if platform.machine() in ("x86_64", "AMD64") else ("portable",)
        parts = [("any", "dispatch.cpp"), *((name, file) for file in SOURCES for name in names)]

        def compiled(part: tuple[str, str]) -> list[str]:
            name, file = part
            return self.compiler.compile(
                [str(FOLDER / file)],
                output_dir=str(Path(self.build_temp) / name),
                macros=[*macros, ("ISA", name)],
                extra_postargs=[*FLAGS, *SETS.get(name, [])],
                depends=ext.depends,
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = [*chain.from_iterable(pool.map(compiled, parts))]
        self.compiler.link_shared_object(objects, self.get_ext_fullpath(ext.name), target_lang="c++")


setup(
    packages=[*find_packages(include=["lth_ray", "lth_ray.*"]), "lth_ray.studies"],
    package_dir={"lth_ray.studies": "studies"},
    ext_modules=[
        Extension(
            "_lth_ray_kernels",
            [str(FOLDER / source) for source in SOURCES],
            depends=[str(path) for path in sorted(FOLDER.rglob("*.[ch]*"))],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernels},
)
