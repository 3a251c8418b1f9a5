"""The levels at which a text is cut into tokens, and the vocabulary of each: made from a text, given, or read."""

from collections.abc import Iterable, Mapping
from typing import Any

from lth_ray.data.text.bpe import Bpe, train_bpe
from lth_ray.data.text.given import LEVEL, Given
from lth_ray.data.text.vocabulary import Bytes, Vocabulary, Words, word_vocabulary


def make_vocabulary(level: str, lines: Iterable[str], size: int | None, min_count: int) -> Vocabulary:
    """Return the vocabulary of a text at a level: "word", "byte" or "bpe".

    size, min_count: see config.Text; of bytes nothing is to be said.
    """
    if level == "byte":
        return Bytes()
    if level == "word":
        return word_vocabulary(lines, size, min_count)
    assert size is not None, "config.Text sees to it"
    return train_bpe(lines, size)


def read_vocabulary(document: Mapping[str, Any]) -> Vocabulary:
    """Return the vocabulary of a `document`."""
    if document["level"] == "byte":
        return Bytes()
    if document["level"] == LEVEL:
        return Given(document["tokenizer"], document["end"])
    return Words(tuple(document["words"])) if document["level"] == "word" else Bpe(document["tokenizer"])
