"""The files of cluster/, and copies of them with one thing wrong."""

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
SCHEMAS = Path(__file__).parent / "schemas"
ABSENT = object()
RAY = "2.60.0"


def documents(name: str) -> list[dict[str, Any]]:
    """The YAML documents of cluster/NAME."""
    return [document for document in yaml.safe_load_all((CLUSTER / name).read_text()) if document]


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy in which `path` (keys and indices with slashes) holds `value`, or is gone when that is ABSENT."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    result = copy.deepcopy(document)
    place: Any = result
    for part in way:
        place = place[part]
    if value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return result


def pinned(package: str) -> str:
    """The exact version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.lower().startswith(f"{package.lower()}=="))
