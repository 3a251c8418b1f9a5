"""Packed texts: a folder with a text's tokens as plain numbers, which are mapped into memory, and their vocabulary."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lth_ray.data.dataset import combined_digest, file_digest
from lth_ray.data.errors import DamagedDataset
from lth_ray.data.text.levels import make_vocabulary, read_vocabulary
from lth_ray.data.text.lines import Part
from lth_ray.data.text.vocabulary import Bytes, Vocabulary, Words, encoded

MANIFEST, VOCABULARY = "manifest.json", "vocabulary.json"
FORMAT, VERSION = "lth_ray packed text", 1
BUFFERED = 2**20  # tokens between writes
REMEDY = "remove its folder: in the cache it is made again when it is needed, elsewhere by `lth-ray data pack`"


@dataclass(frozen=True)
class Tokens:
    """A part's tokens in a file.

    digest: of the text they were made from.
    sha256: of the file.
    unknown: how many of them are `<unk>`.
    """

    tokens: int
    digest: str
    sha256: str
    unknown: int


@dataclass(frozen=True)
class PackedText:
    """A packed text.

    level, asked, min_count: what the vocabulary was made by; see config.Text.
    parts: "train", "test" and perhaps "validation".
    """

    folder: Path
    level: str
    asked: int | None
    min_count: int
    size: int
    end: int
    vocabulary_digest: str
    parts: Mapping[str, Tokens]

    def tokens(self, part: str) -> NDArray[np.generic]:
        """Return a part's tokens, whole numbers [n], mapped from the file: none is read yet."""
        path, n = self.folder / f"{part}.tokens", self.parts[part].tokens
        kind = number_type(self.size)
        if not path.is_file() or path.stat().st_size != n * kind.itemsize:
            raise DamagedDataset(path, f"is not the file of {n:,} tokens that the manifest names", REMEDY)
        return np.memmap(path, kind, "r", shape=(n,))

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return read_vocabulary(json.loads((self.folder / VOCABULARY).read_text()))

    @property
    def digest(self) -> str:
        """The digest of text and vocabulary, whatever was packed and where."""
        train = [self.parts["train"].digest, self.vocabulary_digest]
        return combined_digest(train, [self.parts[name].digest for name in sorted(self.parts) if name != "train"])


def number_type(size: int) -> np.dtype[np.generic]:
    """Return the smallest numbers that hold the tokens of a vocabulary."""
    return np.dtype("u1" if size <= 2**8 else "<u2" if size <= 2**16 else "<i4")


def pack(
    parts: Mapping[str, Part],
    level: str,
    size: int | None,
    min_count: int,
    folder: Path,
    given: Vocabulary | None = None,
) -> PackedText:
    """Make `folder` of a text, whole or not at all; what another process has made there first stands.

    given: the vocabulary, where it is not made of the text.

    The text is read line by line: to make the vocabulary of its training part, to number its tokens, and for digests.
    """
    vocabulary = given or make_vocabulary(level, parts["train"].lines(), size, min_count)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".packing-"))
    try:
        document = json.dumps(vocabulary.document, ensure_ascii=False).encode()
        (staging / VOCABULARY).write_bytes(document)
        found = {name: _write(part, vocabulary, staging / f"{name}.tokens") for name, part in parts.items()}
        made = PackedText(
            folder, level, size, min_count, vocabulary.size, vocabulary.end, hashlib.sha256(document).hexdigest(), found
        )
        (staging / MANIFEST).write_text(_manifest(made))
        staging.chmod(0o755)
        os.replace(staging, folder)
    except OSError:
        if open_packed(folder) is None:
            raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    packed = open_packed(folder)
    assert packed is not None
    return packed


def open_packed(folder: Path) -> PackedText | None:
    """Return the packed text in a folder, None where there is none. Raise DamagedDataset for what is another's."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text())
        if (document.pop("format"), document.pop("version")) != (FORMAT, VERSION):
            raise DamagedDataset(path, f"is no {FORMAT} of version {VERSION}", REMEDY)
        parts = {name: Tokens(**part) for name, part in document.pop("parts").items()}
        found = PackedText(folder, **document, parts=parts)
        sizes = [found.size, found.end, *(part.tokens for part in parts.values())]
        if not {"train", "test"} <= parts.keys() <= {"train", "validation", "test"} or not all(
            type(n) is int and n >= 0 for n in sizes
        ):
            raise ValueError("parts or sizes are missing")
    except DamagedDataset:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedDataset(path, f"is not a manifest of a packed text ({error!r})", REMEDY) from None
    return found


def is_packed_text(folder: Path) -> bool:
    """Return whether a folder has tokens and their manifest."""
    return (folder / MANIFEST).is_file() and (folder / "train.tokens").is_file()


def verify(packed: PackedText) -> list[str]:
    """Return what of a packed text is not what its manifest says: all is read."""
    paths = {packed.folder / f"{name}.tokens": part.sha256 for name, part in packed.parts.items()}
    paths[packed.folder / VOCABULARY] = packed.vocabulary_digest
    return [f"{path}: missing or damaged" for path, sha in paths.items() if not _is(path, sha)]


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and file_digest(path) == sha256


def _manifest(made: PackedText) -> str:
    document = {name: value for name, value in asdict(made).items() if name != "folder"}
    return json.dumps({"format": FORMAT, "version": VERSION, **document}, indent=1) + "\n"


def _write(part: Part, vocabulary: Vocabulary, path: Path) -> Tokens:
    """Write a part's tokens to a file."""
    kind, total, unknown, held = number_type(vocabulary.size), 0, 0, list[int]()
    is_words = isinstance(vocabulary, Words)
    with path.open("wb") as file:

        def flush() -> None:
            nonlocal total, unknown
            total += len(held)
            unknown += held.count(Words.unknown) if is_words else 0
            file.write(np.asarray(held, dtype=kind).tobytes())
            held.clear()

        for tokens in _tokens(part, vocabulary):
            held += tokens
            if len(held) >= BUFFERED:
                flush()
        flush()
    if not total:
        raise DamagedDataset(part.called, "is empty", "put some lines of text into it")
    return Tokens(total, part.digest(), file_digest(path), unknown)


def _tokens(part: Part, vocabulary: Vocabulary) -> Iterable[Iterable[int]]:
    """Yield the tokens of each line; at the level of bytes the text's own, whatever its encoding."""
    return part.raw() if isinstance(vocabulary, Bytes) else encoded(vocabulary, part.lines())
