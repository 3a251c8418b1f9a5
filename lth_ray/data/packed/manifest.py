"""The manifest of a packed set: the content of each shard, and the checksums that make the set's identity."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lth_ray.data.errors import DamagedDataset

MANIFEST = "manifest.json"
FORMAT, VERSION = "lth_ray packed images", 1

SHARD = re.compile(r"(train|test)-\d{5,}\.arrow")
SHA256 = re.compile(r"[0-9a-f]{64}")

Channels = tuple[float, ...]


@dataclass(frozen=True)
class Shard:
    """One Arrow file beside the manifest."""

    name: str
    rows: int
    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        """Raise ValueError for what is none: names and digests become paths, and a manifest may come from
        anywhere.
        """
        for value, form in ((self.name, SHARD), (self.sha256, SHA256)):
            if not form.fullmatch(value):  # TypeError for what is no text
                raise ValueError(f"{value!r} is no name of a shard" if form is SHARD else f"{value!r} is no sha256")
        for count in (self.rows, self.bytes):
            if type(count) is not int or count < 0:
                raise ValueError(f"{count!r} is no number of rows or bytes")


@dataclass(frozen=True)
class Manifest:
    """The description of a packed set.

    classes: their names, in the order of the labels.
    train, test: shards in reading order.
    mean, std: per channel on the 0..1 scale, of all training images as packed.
    short_side: pixels, None where images were left as they are.
    source: the kind of layout that was packed.
    plan: digest of what it was packed from, so that packing can tell that it is done.
    left_out: images that could not be read.
    """

    classes: tuple[str, ...]
    train: tuple[Shard, ...]
    test: tuple[Shard, ...]
    mean: Channels
    std: Channels
    short_side: int | None
    quality: int
    source: str
    plan: str
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The sha256 over the set's meaning: classes, and the sizes, rows and checksums of its shards; no
        place or date.
        """
        shards = [[split, s.name, s.rows, s.bytes, s.sha256] for split in ("train", "test") for s in self.split(split)]
        meaning = [FORMAT, VERSION, list(self.classes), shards, list(self.mean), list(self.std)]
        return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()

    def split(self, name: str) -> tuple[Shard, ...]:
        """Return the shards of "train" or "test"."""
        return self.train if name == "train" else self.test

    def rows(self, split: str) -> int:
        """Return the number of images of "train" or "test"."""
        return sum(shard.rows for shard in self.split(split))

    def encode(self) -> bytes:
        """Return JSON, for people as well: counts come first."""
        counts = {name: {"rows": self.rows(name), "shards": len(self.split(name))} for name in ("train", "test")}
        document = {"format": FORMAT, "version": VERSION, "digest": self.digest, "counts": counts, **asdict(self)}
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def decode(data: bytes, where: str) -> Manifest:
    """Return the manifest in `data`.

    Raise DamagedDataset, naming `where`, if it is none, of another version or was edited.
    """
    try:
        document = json.loads(data)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            found = f"{document['format']} version {document['version']}"
            raise DamagedDataset(where, f"is {found}, and this lth_ray reads version {VERSION}", "pack the set again")
        manifest = Manifest(
            classes=tuple(document["classes"]),
            train=_shards(document["train"]),
            test=_shards(document["test"]),
            mean=tuple(document["mean"]),
            std=tuple(document["std"]),
            **{name: document[name] for name in ("short_side", "quality", "source", "plan")},
            left_out=tuple(document["left_out"]),
        )
        _check(manifest)
    except DamagedDataset:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedDataset(where, f"is not a manifest of a packed set ({error!r})", "pack the set again") from None
    if document.get("digest") != manifest.digest:
        raise DamagedDataset(where, "does not match its own digest: it was edited", "pack the set again")
    return manifest


def _check(manifest: Manifest) -> None:
    """Raise ValueError where a field is not what `finish` writes there."""
    names = [shard.name for shard in manifest.train + manifest.test]
    if len(set(names)) < len(names):
        raise ValueError("a shard is named twice")
    for split in ("train", "test"):
        if not manifest.rows(split) or any(shard.name.split("-")[0] != split for shard in manifest.split(split)):
            raise ValueError(f"{split} has no rows, or others' shards")
    if not manifest.classes or not all(isinstance(name, str) for name in manifest.classes + manifest.left_out):
        raise ValueError("classes and what is left out must be names")
    for channels, least in ((manifest.mean, 0.0), (manifest.std, 1e-9)):
        if len(channels) != 3 or not all(math.isfinite(value) and value >= least for value in channels):
            raise ValueError(f"{channels} are no three means or deviations")


def _shards(found: list[Mapping[str, Any]]) -> tuple[Shard, ...]:
    return tuple(Shard(**shard) for shard in found)
