"""The places where a file or folder lies that a study names by a path."""

from pathlib import Path


def places(path: str, data_root: str | None) -> list[Path]:
    """Return where to look for it: a relative path inside the data root, then inside the working directory."""
    roots = (Path(root).expanduser() for root in (data_root or "", ""))
    return list(dict.fromkeys((root / Path(path).expanduser()).absolute() for root in roots))
