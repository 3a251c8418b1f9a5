"""JSON records with a digest: what is read back is what was written, for this key, or an error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from lth_ray.store.errors import DamagedFile

Record = dict[str, Any]
NAME = '"record": '  # what stands before the record, the last of the document


def encode_record(kind: str, key: str, record: Mapping[str, Any]) -> bytes:
    """Return a JSON document: kind, key, integrity and the record, whose order of keys is kept.

    Floats are exact. NaN and infinities are written as Python's json does (a loss that became NaN is a result).
    """
    text = json.dumps(record)
    envelope = json.dumps({"kind": kind, "key": key, "integrity": _integrity(kind, key, text)})
    return f"{envelope[:-1]}, {NAME}{text}}}".encode()


def decode_record(data: bytes, kind: str, key: str, path: str) -> Record:
    """Return the record.

    Raise DamagedFile where it is truncated, foreign, of another kind or key, or was altered.
    """
    try:
        document = data.decode()
        envelope = json.loads(document)
        found, recorded, record = (envelope["kind"], envelope["key"]), envelope["integrity"], envelope["record"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(path, f"it is truncated or not a record of lth_ray ({error!r})") from error
    if found != (kind, key):
        raise DamagedFile(path, f"it is the {found[0]} of {found[1]!r}, not the {kind} of {key!r}")
    if not isinstance(record, dict) or not _is_whole(kind, key, record, document, recorded):
        raise DamagedFile(path, "its digest differs from the one recorded in it")
    return record


def _is_whole(kind: str, key: str, record: Record, document: str, recorded: str) -> bool:
    """Return whether a record is what was written.

    Its text counts as it stands, since writing thousands of measurements anew takes longer than all else; or,
    where the document was laid out in another way, what it says.
    """
    text = document.partition(NAME)[2].rstrip().removesuffix("}")
    return recorded == _integrity(kind, key, text) or recorded == _integrity(kind, key, json.dumps(record))


def _integrity(kind: str, key: str, text: str) -> str:
    """Return the digest of the list [kind, key, record] in JSON.

    text: the record's.
    """
    return hashlib.sha256(f"{json.dumps([kind, key])[:-1]}, {text}]".encode()).hexdigest()
