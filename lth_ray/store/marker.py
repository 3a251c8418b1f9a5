"""The marker of a storage, which tells it from any other folder or bucket; a record that only lth_ray writes
does so too.
"""

from __future__ import annotations

from itertools import islice
from pathlib import PurePosixPath

from lth_ray.store import layout
from lth_ray.store.errors import DamagedFile, MissingFile
from lth_ray.store.files import MARKER, Files
from lth_ray.store.records import decode_record, encode_record

KIND = "storage"
LOOKED_AT = 20  # records, at most, of a storage from before there were markers


def mark(files: Files) -> None:
    """Write the marker, unless there is one."""
    if not files.exists(MARKER):
        files.put_if_absent(MARKER, encode_record(KIND, MARKER, {"made_by": "lth_ray"}))


def is_storage(files: Files) -> bool:
    """Return whether the marker is there, or else a record of ours that is whole."""
    if _is_record(files, MARKER, KIND, MARKER):
        return True
    folders = ((layout.SEGMENTS, "segment"), (layout.TABLES, "table"))
    records = (
        _is_record(files, path, kind, PurePosixPath(path).stem)
        for folder, kind in folders
        for path in islice((e.path for e in files.entries(folder) if layout.is_own(e.path)), LOOKED_AT)
    )
    histories = (
        _is_record(files, path, "study", path)
        for path in islice((e.path for e in files.entries(layout.STUDIES) if e.path.endswith(".json")), LOOKED_AT)
    )
    return any(records) or any(histories)


def _is_record(files: Files, path: str, kind: str, key: str) -> bool:
    try:
        decode_record(files.get(path), kind, key, path)
    except (MissingFile, DamagedFile):
        return False
    return True
