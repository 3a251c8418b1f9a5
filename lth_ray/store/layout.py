"""The place of each kind of thing in a store. Every one is a single file, written atomically.

A file of tensors whose bytes two writers could make differently has its content in its name. Nothing counts until a
record (segments/, tables/) names it: records are the only points of commitment.

segments/KEY.json, tables/KEY.json: records. states/TRAJECTORY/STEP-CONTENT[+optimizer].safetensors, STEP in 12 digits.
masks/CONTENT.safetensors. checkpoints/KEY/STEP.safetensors: of unfinished segments. studies/STUDY/NAME: a study's own.
claims/KEY.TURN.json: of what a run is at.
bundles/NAME.bundle: records, masks and states, many in one. damaged/PATH: what was set aside. lth_ray.json: the
marker of a storage. Names that cannot be a path's raise StorageError.
"""

from __future__ import annotations

import re

from lth_ray.store.errors import StorageError

SEGMENTS, TABLES, STATES, MASKS = "segments", "tables", "states", "masks"
CHECKPOINTS, STUDIES, CLAIMS, DAMAGED = "checkpoints", "studies", "claims", "damaged"
TENSORS, OPTIMIZER = ".safetensors", "+optimizer.safetensors"
STATE = re.compile(r"states/([^/]+)/(\d{12,})-[^/]*\.safetensors")
NAME = re.compile(r"[A-Za-z0-9._+=@,-]+")
# The names that lth_ray itself gives: a trajectory is a digest, a segment's key one with its last step.
_TRAJECTORY, _KEY = r"(?:[a-z]+-)?[0-9a-f]{32}", r"(?:[a-z]+-)?[0-9a-f]{32}(?:-\d+)?"
_KEPT = (
    rf"(?:segments|tables)/{_KEY}\.json|masks/[0-9a-f]{{64}}\.safetensors"
    rf"|states/{_TRAJECTORY}/\d{{12,}}-[0-9a-f]{{16}}(?:\+optimizer)?\.safetensors"
    rf"|checkpoints/{_KEY}(?:@[a-z]+)?/\d{{12,}}\.safetensors"
    rf"|claims/{_KEY}(?:@[a-z]+)?\.\d+\.json|bundles/[0-9a-f]{{32}}\.bundle"
)
OWN = re.compile(rf"{_KEPT}|{DAMAGED}/(?:{_KEPT}|{STUDIES}/.+\.json)|\.tmp/(?:[a-z]+-)?[0-9a-f]{{32}}")


def segment_path(key: str) -> str:
    return f"{SEGMENTS}/{component(key)}.json"


def table_path(key: str) -> str:
    return f"{TABLES}/{component(key)}.json"


def state_path(trajectory: str, step: int, content: str, with_optimizer: bool = False) -> str:
    return f"{states_folder(trajectory)}/{step:012d}-{content[:16]}{OPTIMIZER if with_optimizer else TENSORS}"


def state_of(path: str) -> tuple[str, int] | None:
    """Return (trajectory, step) of a state's path; None for any other path."""
    match = STATE.fullmatch(path)
    return (match[1], int(match[2])) if match else None


def states_folder(trajectory: str) -> str:
    return f"{STATES}/{component(trajectory)}"


def mask_path(content: str) -> str:
    return f"{MASKS}/{component(content)}{TENSORS}"


def checkpoint_path(key: str, step: int) -> str:
    return f"{checkpoints_folder(key)}/{step:012d}{TENSORS}"


def checkpoints_folder(key: str) -> str:
    return f"{CHECKPOINTS}/{component(key)}"


def study_path(study: str, name: str) -> str:
    return f"{STUDIES}/{component(study)}/{name}"


def claim_path(key: str, turn: int) -> str:
    return f"{CLAIMS}/{component(key)}.{turn}.json"


def is_own(path: str) -> bool:
    """Return whether a path is of the form that lth_ray gives to what it keeps or sets aside; another's files
    are not.
    """
    return OWN.fullmatch(path) is not None


def component(name: str) -> str:
    """Return one component of a path, the same on every file system. Raise StorageError for anything else."""
    if not NAME.fullmatch(name) or name.startswith("."):
        raise StorageError(f"{name!r} cannot name a file in the store: use letters, digits and . _ + = @ , - only")
    return name


def checked(path: str) -> str:
    """Return a path below the store's root. Raise StorageError for one that is absolute or leads outside."""
    if not path or any(piece in ("", ".", "..") for piece in path.split("/")):
        raise StorageError(f"{path!r} is not a path inside the store: it must be relative, without empty parts or '..'")
    return path
