"""Records as text: the digest is that of what they say, read off the text as it stands where that is possible."""

import hashlib
import json

import pytest

from lth_ray.store import DamagedFile
from lth_ray.store.records import decode_record, encode_record

RECORD = {"journal": {"step": [0, 20], "test_loss": [2.3025, None]}, "note": 'says "record": {} and ë', "nested": {}}


def test_the_document_is_plain_json_with_the_digest_of_what_it_says() -> None:
    document = json.loads(encode_record("segment", "k", RECORD))
    digest = hashlib.sha256(json.dumps(["segment", "k", RECORD]).encode()).hexdigest()
    assert document == {"kind": "segment", "key": "k", "integrity": digest, "record": RECORD}
    assert list(document) == ["kind", "key", "integrity", "record"]


@pytest.mark.parametrize("indent", [None, 1], ids=["as written", "laid out anew"])
def test_what_is_read_is_what_was_written(indent: int | None) -> None:
    data = encode_record("segment", "k", RECORD)
    again = data if indent is None else json.dumps(json.loads(data), indent=indent).encode()
    assert decode_record(again, "segment", "k", "path") == RECORD


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"2.3025", b"2.3026"), (b'"record": {', b'"record": {"more": 1, '), (b"}}", b"}, 1}"), (b"{", b"\xff{")],
    ids=["a number", "one more field", "no JSON", "no text"],
)
def test_what_was_altered_is_damaged(old: bytes, new: bytes) -> None:
    altered = encode_record("segment", "k", RECORD).replace(old, new, 1)
    with pytest.raises(DamagedFile, match="path"):
        decode_record(altered, "segment", "k", "path")


def test_what_was_laid_out_anew_and_altered_is_damaged() -> None:
    document = json.loads(encode_record("segment", "k", RECORD))
    document["record"]["journal"]["step"][1] = 21
    with pytest.raises(DamagedFile, match="digest"):
        decode_record(json.dumps(document, indent=1).encode(), "segment", "k", "path")
