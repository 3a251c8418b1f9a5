"""The repository's files as git lists them: never what a study, a build or a reader has left beside them."""

import subprocess
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]


@cache
def listed() -> frozenset[str]:
    """Their names from ROOT on. Without git, all of what has been unpacked there."""
    # whoever runs the tests, whoever owns the clone
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    try:
        names = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if "__pycache__" not in path.parts]
    return frozenset(name for name in names if name and (ROOT / name).is_file())


def files(folder: str, pattern: str = "*") -> list[Path]:
    """Those in a folder, or anywhere below one whose name ends with "/**"; sorted."""
    top, deep, _ = folder.partition("/**")
    inside = [(name, str(PurePosixPath(name).parent)) for name in sorted(listed())]
    return [
        ROOT / name
        for name, parent in inside
        if (parent == top or (deep and f"{parent}/".startswith(f"{top}/"))) and fnmatchcase(Path(name).name, pattern)
    ]


def has(path: Path) -> bool:
    """Return whether a file, or a folder with one, is the repository's."""
    name = path.resolve()
    if not name.is_relative_to(ROOT):
        return False
    inside = name.relative_to(ROOT).as_posix()
    return inside in listed() or inside == "." or any(other.startswith(f"{inside}/") for other in listed())
