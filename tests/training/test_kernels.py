"""Installation: with a compiler the kernels are built, without one it goes on and says so."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lth_ray.training.kernels.sources import source_digest

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Return what setup.py makes of the sources, in a folder of its own."""
    folders = "--build-lib", str(folder), "--build-temp", str(folder / "temp")
    command = [sys.executable, "setup.py", "build_ext", *folders]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)


def libraries(folder: Path) -> list[Path]:
    return list(folder.glob("_lth_ray_kernels*.so"))


def test_an_installation_without_a_compiler_goes_on(tmp_path: Path) -> None:
    done = build(tmp_path, CC="false", CXX="false")
    assert done.returncode == 0
    assert "_lth_ray_kernels" in done.stdout + done.stderr
    assert not libraries(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
def test_an_installation_with_a_compiler_builds_them(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    (library,) = libraries(tmp_path)
    source = ctypes.CDLL(str(library)).source
    source.restype = ctypes.c_char_p
    assert source().decode() == source_digest()
    assert library.stat().st_size < 1_000_000  # a submitted job carries it along
