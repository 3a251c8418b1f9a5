"""Provenance: the code that asked a question."""

import getpass
import subprocess
import sys
from pathlib import Path


def script_folder() -> Path:
    """Return the folder of the script that runs now, else the working directory."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).absolute().parent if script else Path.cwd()


def made_by() -> dict[str, str]:
    """Return MLflow's tags for its columns "Source" and "Created by": the script that runs now, and who runs
    it.
    """
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    named = {"mlflow.source.name": Path(script).name, "mlflow.source.type": "LOCAL"} if script else {}
    try:
        return named | {"mlflow.user": getpass.getuser()}
    except (OSError, KeyError):  # a container's user without a name
        return named


def commit_of(folder: Path) -> str:
    """Return the git commit of a folder, with "+changes" where its working tree differs from it; "" without
    git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    return commit + ("+changes" if commit and _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
