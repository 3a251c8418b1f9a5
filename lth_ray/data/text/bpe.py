"""Byte-pair encoding (Sennrich et al. 2016) over bytes, trained on a text by the `tokenizers` library."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.config import ConfigError
from lth_ray.data.text.vocabulary import END, Vocabulary

FEWEST = 256  # every byte is a token, so that no text has an unknown one


@dataclass(frozen=True)
class Bpe(Vocabulary):
    """A vocabulary of pieces of words. What it encodes it decodes to the same text, but for a space that begins a line.

    tokenizer: the `tokenizers` library's JSON. Special tokens have the lowest numbers; the first of them ends lines.
    """

    tokenizer: str
    end = 0

    @property
    def size(self) -> int:  # type: ignore[override]
        return int(self._tokenizer.get_vocab_size())

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        found = self._tokenizer.encode_batch(list(lines), add_special_tokens=False)
        return [[*one.ids, self.end] for one in found]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text; special tokens are left out but for `end`, which is a newline."""
        lines: list[list[int]] = [[]]
        for token in tokens:
            if token == self.end:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(self._tokenizer.decode(line).removeprefix(" ") for line in lines)

    @property
    def document(self) -> dict[str, Any]:
        return {"level": "bpe", "tokenizer": self.tokenizer}

    @cached_property
    def _tokenizer(self) -> Any:
        found = tokenizers().Tokenizer.from_str(self.tokenizer)
        found.encode_special_tokens = True  # by their letters, where a text spells one out
        return found


def train_bpe(lines: Iterable[str], size: int, specials: Sequence[str] = (END,)) -> Bpe:
    """Return the encoding that merges the most frequent pairs of a text; the same for the same lines in any order.

    lines: of several languages for a joint encoding.
    size: tokens in all, `specials` and the 256 bytes included.
    specials: tokens that no text gives, the first of which ends lines.
    """
    if size < FEWEST + len(specials):
        raise ConfigError(
            f"vocabulary = {size}: by byte-pair encoding every byte is a token, beside {', '.join(specials)}; give "
            f"at least {FEWEST + len(specials)}"
        )
    library = tokenizers()
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(specials),
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(lines, trainer)
    return Bpe(made.to_str())


def tokenizers() -> Any:
    """Return the library, whose threads would outnumber the cores that a trial is given."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers as library
    except ImportError:
        raise ConfigError('byte-pair encoding needs the library tokenizers: pip install "lth_ray[text]"') from None
    return library
