"""Parallel text: files of two languages whose lines are translations of each other, found, checked and encoded."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lth_ray.config import ConfigError, nearest
from lth_ray.config.tasks.translation import BEGIN, END, PAD
from lth_ray.data.cache import cached_arrays
from lth_ray.data.errors import DamagedDataset, MissingDataset
from lth_ray.data.sets.download import places
from lth_ray.data.text.bpe import Bpe, tokenizers, train_bpe
from lth_ray.data.text.lines import STEMS, Part
from lth_ray.printing import enumerated

NAMES = ("multi30k", "wmt14", "wmt16", "text:PATH")
SETS: dict[str, dict[str, tuple[str, ...]]] = {  # the stems of the files of each part
    "multi30k": {"train": ("train",), "validation": ("val",), "test": ("test_2016_flickr",)},
    "wmt14": {"train": ("train",), "validation": ("newstest2013",), "test": ("newstest2014",)},
    "wmt16": {"train": ("train",), "validation": ("newstest2013",), "test": ("newstest2014",)},
    "text": STEMS,
}
ENDINGS = ("", ".txt", ".gz", ".txt.gz")
AT_A_TIME = 10_000  # lines that are encoded
SPECIALS = {END: "<eos>", PAD: "<pad>", BEGIN: "<bos>"}


@dataclass(frozen=True)
class Sides:
    """The two files of a part, whose lines are pairs."""

    source: Path
    target: Path

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield its pairs of sentences. Raise DamagedDataset for files of unequal length, and for an empty line."""
        read, lines = 0, [Part((path,)).lines() for path in (self.source, self.target)]
        for read, (first, second) in enumerate(zip_longest(*lines), 1):
            if first is None or second is None:
                counts = [sum(1 for _ in Part((path,)).raw()) for path in (self.source, self.target)]
                raise DamagedDataset(
                    self.source,
                    f"has {counts[0]:,} lines, and {self.target} has {counts[1]:,}",
                    "each line of the one must be the translation of that line of the other: complete the shorter",
                )
            for path, line in ((self.source, first), (self.target, second)):
                if not line.strip():
                    raise DamagedDataset(f"{path}, line {read}", "is empty", "remove this line from both languages")
            yield first, second
        if not read:
            raise DamagedDataset(self.source, "is an empty file", "give it sentences")

    def digests(self) -> list[str]:
        """Return the sha256 of each file's content."""
        return [Part((path,)).digest() for path in (self.source, self.target)]


@dataclass(frozen=True)
class Side:
    """The tokens of some sentences, one behind another.

    tokens: int32; END behind each sentence.
    starts: int64 [n + 1], where each begins, and where the last ends.
    """

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.starts)

    def first(self, n: int) -> "Side":
        starts = self.starts[: n + 1]
        return Side(self.tokens[: starts[-1]], starts)

    def take(self, rows: NDArray[np.bool_]) -> "Side":
        """Return the sentences where `rows` is True."""
        lengths = self.lengths
        kept = self.tokens[np.repeat(rows, lengths)]
        return Side(kept, np.concatenate([[0], lengths[rows].cumsum()]).astype(np.int64))


@dataclass(frozen=True)
class Pairs:
    """Pairs of encoded sentences."""

    source: Side
    target: Side

    def __len__(self) -> int:
        return len(self.source.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The tokens of the longer side of each, its end included."""
        return np.maximum(self.source.lengths, self.target.lengths)

    def first(self, n: int) -> "Pairs":
        """Return the first n pairs, or all where there are fewer."""
        return self if n >= len(self) else Pairs(self.source.first(n), self.target.first(n))

    def take(self, rows: NDArray[np.bool_]) -> "Pairs":
        return self if rows.all() else Pairs(self.source.take(rows), self.target.take(rows))


@dataclass(frozen=True)
class Corpus:
    """A parallel text, encoded.

    digest: of the files' contents and of the encoding, which follows from them.
    parts: "train", "test" and, where there is one, "validation".
    """

    digest: str
    encoding: Bpe
    parts: dict[str, Pairs]


@lru_cache(maxsize=2)
def read_corpus(
    name: str, languages: tuple[str, str], vocabulary: int, validated: bool, data_root: str | None
) -> Corpus:
    """Return the parallel text of a name (config.Translation); a process keeps the ones it used last.

    languages: source and target.
    validated: whether its validation part is needed.
    Errors: ConfigError for an unknown name, MissingDataset and DamagedDataset, which name file and line.
    """
    root = None if data_root is None else Path(data_root).expanduser()
    sides = find(name, languages, validated, root)
    files = {part: one.digests() for part, one in sides.items()}
    tokenizers()  # or it says how to install it
    asked = json.dumps([files, vocabulary, version("tokenizers")])

    def make() -> dict[str, NDArray[Any]]:
        encoding = train_bpe(chain.from_iterable(sides["train"].pairs()), vocabulary, list(SPECIALS.values()))
        made: dict[str, NDArray[Any]] = {"tokenizer": np.frombuffer(encoding.tokenizer.encode(), np.uint8)}
        for part, one in sides.items():
            for side, (tokens, starts) in zip(("source", "target"), _encoded(encoding, one.pairs()), strict=True):
                made |= {f"{part} {side} tokens": tokens, f"{part} {side} starts": starts}
        return made

    kept = cached_arrays(hashlib.sha256(asked.encode()).hexdigest(), make)
    encoding = Bpe(kept["tokenizer"].tobytes().decode())

    def side(part: str, name: str) -> Side:
        return Side(kept[f"{part} {name} tokens"].astype(np.int32), kept[f"{part} {name} starts"].astype(np.int64))

    parts = {part: Pairs(side(part, "source"), side(part, "target")) for part in sides}
    lines = json.dumps([files, hashlib.sha256(kept["tokenizer"].tobytes()).hexdigest()], sort_keys=True)
    return Corpus(hashlib.sha256(lines.encode()).hexdigest(), encoding, parts)


def _encoded(
    encoding: Bpe, pairs: Iterable[tuple[str, str]]
) -> tuple[tuple[NDArray[np.int32], NDArray[np.int64]], ...]:
    """Return (tokens, starts) of each side of pairs."""
    found: list[list[NDArray[np.int32]]] = [[], []]
    lengths: list[list[int]] = [[], []]
    left = iter(pairs)
    while some := list(islice(left, AT_A_TIME)):
        for place, lines in enumerate(zip(*some, strict=True)):
            sentences = encoding.encode(lines)
            lengths[place] += map(len, sentences)
            found[place].append(np.fromiter(chain.from_iterable(sentences), np.int32))
    return tuple(
        (np.concatenate(tokens), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
        for tokens, sizes in zip(found, lengths, strict=True)
    )


def find(name: str, languages: tuple[str, str], validated: bool, root: Path | None) -> dict[str, Sides]:
    """Return the files of the parts of a set that are needed. Raise ConfigError for an unknown name, and
    MissingDataset, which says what was looked for.
    """
    kind, _, path = name.partition(":")
    if kind not in SETS or (kind == "text") != bool(path):
        raise ConfigError(f"Translation.name = {name!r}: no such set; {nearest(name, NAMES)}")
    folders = [(root or Path()) / Path(path).expanduser()] if path else [place / name for place in places(root)]
    parts = {part: stems for part, stems in SETS[kind].items() if part != "validation" or validated}
    return {part: _sides(name, folders, stems, languages) for part, stems in parts.items()}


def _sides(name: str, folders: list[Path], stems: tuple[str, ...], languages: tuple[str, str]) -> Sides:
    """Return the two files of a part, from one folder and of one stem: another's might be of another text."""
    missing = languages[0]  # beside what is there of a pair
    for folder in folders:
        for stem in stems:
            source, target = (_file(folder / f"{stem}.{language}") for language in languages)
            if source and target:
                return Sides(source, target)
            missing = languages[1] if source else missing
    looked = enumerated(f"{stem}.{missing}" for stem in stems)
    remedy = "put it there, or give --data-root" if ":" not in name else "put it there, or give another PATH"
    raise MissingDataset(
        f"Translation.name = {name!r}: there is no {looked} (or .txt, .gz, .txt.gz) in "
        f"{enumerated(map(str, folders))}; {remedy}"
    )


def _file(path: Path) -> Path | None:
    """Return a file by its path without an ending, None where there is none."""
    return next((place for ending in ENDINGS if (place := path.with_name(path.name + ending)).is_file()), None)
