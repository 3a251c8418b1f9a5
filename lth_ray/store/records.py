"""JSON records with a digest: what is read back is what was written, for this key, or an error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lth_ray.store.errors import DamagedFile

Record = dict[str, Any]


def encode_record(kind: str, key: str, record: Mapping[str, Any]) -> bytes:
    """A JSON document: kind, key, integrity and the record, whose order of keys is kept.

    Floats are exact. NaN and infinities are written as Python's json does (a loss that became NaN is a result).
    """
    envelope = {"kind": kind, "key": key, "integrity": _integrity(kind, key, record), "record": record}
    return json.dumps(envelope).encode()


def decode_record(data: bytes, kind: str, key: str, path: str) -> Record:
    """The record. Raises DamagedFile where it is truncated, foreign, of another kind or key, or was altered."""
    try:
        envelope = json.loads(data)
        found, recorded, record = (envelope["kind"], envelope["key"]), envelope["integrity"], envelope["record"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(path, f"it is truncated or not a record of lth_ray ({error!r})") from error
    if found != (kind, key):
        raise DamagedFile(path, f"it is the {found[0]} of {found[1]!r}, not the {kind} of {key!r}")
    if not isinstance(record, dict) or _integrity(kind, key, record) != recorded:
        raise DamagedFile(path, "its digest differs from the one recorded in it")
    return record


def _integrity(kind: str, key: str, record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps([kind, key, record]).encode()).hexdigest()
