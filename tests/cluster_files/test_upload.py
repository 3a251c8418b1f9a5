"""The upload that `ray job submit --working-dir .` sends, by Ray's own packaging."""

import shutil
import zipfile
from pathlib import Path

from tests.repository import ROOT, listed

BESIDE_SOURCES_BYTES = (
    300_000  # names, and what lies at the top; sources are sent as they are: anything else would show
)
LEFT_BEHIND = (
    ".venv/lib/site.py", "venv/lib/site.py", "lth_storage/segments/a/state.safetensors", "mlruns/1/meta.yaml",
    "mlflow.db", "tests/test_a.py", "docs/digits.png", "benchmarks/loop.py", "cluster/README.md", ".git/config",
    ".mypy_cache/a.json", "data/train.arrow", "studies/weights.pt", "lth_ray/__pycache__/a.pyc", "photos/cat/1.jpg",
    "lth_ray.egg-info/PKG-INFO",
)  # fmt: skip
SENT = ("lth_ray/a.py", "lth_ray/record/paper/targets.csv", "studies/mine.py", "mine.py", "my_models/net.py")


def uploaded(folder: Path, target: Path) -> zipfile.ZipFile:
    """The package that Ray would upload of `folder`."""
    from ray._private.runtime_env.packaging import create_package

    create_package(str(folder), target, include_gitignore=True, excludes=[])
    return zipfile.ZipFile(target)


def clone(folder: Path) -> Path:
    """The repository's own files alone."""
    for name in listed():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_this_repository_is_sent_in_kilobytes(tmp_path: Path) -> None:
    package = uploaded(clone(tmp_path / "clone"), tmp_path / "package.zip")
    names = [info.filename for info in package.infolist() if not info.is_dir()]
    sources = sum((ROOT / name).stat().st_size for name in listed() if name.startswith(("lth_ray/", "studies/")))
    assert sources < (tmp_path / "package.zip").stat().st_size < sources + BESIDE_SOURCES_BYTES
    tops = {name.split("/")[0] for name in names}
    assert {"lth_ray", "studies"} <= tops
    left = {"tests", "docs", "benchmarks", "cluster", ".git", ".venv", "lth_storage", "mlruns", ".mypy_cache"}
    assert not tops & left
    assert not [name for name in names if "__pycache__" in name]


def test_every_file_of_the_package_and_the_studies_is_sent(tmp_path: Path) -> None:
    package = uploaded(clone(tmp_path / "clone"), tmp_path / "package.zip")
    assert {name for name in listed() if name.startswith(("lth_ray/", "studies/"))} <= set(package.namelist())


def test_data_results_and_environments_stay_and_python_goes(tmp_path: Path) -> None:
    """Whatever lies in a lab's checkout: big files stay, also in folders of its own."""
    folder = tmp_path / "checkout"
    for name in (*LEFT_BEHIND, *SENT):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    for name in (".rayignore", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    package = uploaded(folder, tmp_path / "package.zip")
    files = {info.filename for info in package.infolist() if not info.is_dir()}
    assert files == set(SENT)


def test_without_the_file_all_of_it_would_go(tmp_path: Path) -> None:
    """So that the tests above can fail."""
    for name in ("tests/test_a.py", "studies/weights.pt"):
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / name).write_text("x")
    package = uploaded(tmp_path / "checkout", tmp_path / "package.zip")
    assert {"tests/test_a.py", "studies/weights.pt"} <= set(package.namelist())
