"""Vocabularies: what numbers stand for a text's words, or for its bytes. Each is a function of the training text."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import ConfigError

UNKNOWN, END = "<unk>", "<eos>"
LINES = 1_000  # that are encoded at a time


class Vocabulary(ABC):
    """A numbering of tokens, from 0 to `size` - 1.

    end: the number that stands before a text's first token, and ends every line, where none but these says so.
    """

    size: int
    end: int

    @abstractmethod
    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each line, what ends it included."""

    @abstractmethod
    def decode(self, tokens: Iterable[int]) -> str:
        """Return what the tokens stand for; `end` stands for a newline."""

    @property
    @abstractmethod
    def document(self) -> dict[str, Any]:
        """It as plain data, by which levels.read_vocabulary makes it again."""


@dataclass(frozen=True)
class Words(Vocabulary):
    """A vocabulary of words, separated by white space in the text.

    words: by number; `<unk>`, which stands for all others, and `<eos>` come first.
    """

    words: tuple[str, ...]
    unknown, end = 0, 1

    @property
    def size(self) -> int:  # type: ignore[override]
        return len(self.words)

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        number, unknown = self.numbers.get, self.unknown
        return [[*(number(word, unknown) for word in line.split()), self.end] for line in lines]

    def decode(self, tokens: Iterable[int]) -> str:
        return " ".join("\n" if token == self.end else self.words[token] for token in tokens).replace(" \n ", "\n")

    @property
    def document(self) -> dict[str, Any]:
        return {"level": "word", "words": list(self.words)}


@dataclass(frozen=True)
class Bytes(Vocabulary):
    """The 256 values of a byte; a newline ends a line."""

    size, end = 256, 10

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        return [[*line.encode(), self.end] for line in lines]

    def decode(self, tokens: Iterable[int]) -> str:
        return bytes(tokens).decode(errors="replace")

    @property
    def document(self) -> dict[str, Any]:
        return {"level": "byte"}


def word_vocabulary(lines: Iterable[str], size: int | None = None, min_count: int = 1) -> Words:
    """Return the words of a text, the most frequent first and equally frequent ones by their characters.

    size: keep so many of them, `<unk>` and `<eos>` included; None for all.
    min_count: leave out what occurs less often.
    """
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line.split())
    if not counts:
        raise ConfigError("Text.name: there is no word in the text to train on; give one that has some")
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    kept = [word for word in ranked if counts[word] >= min_count and word not in (UNKNOWN, END)]
    return Words((UNKNOWN, END, *kept[: None if size is None else max(0, size - 2)]))


def encoded(vocabulary: Vocabulary, lines: Iterable[str]) -> Iterator[list[int]]:
    """Yield the tokens of each line of a text, some lines at a time."""
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) == LINES:
            yield from vocabulary.encode(held)
            held.clear()
    yield from vocabulary.encode(held)
