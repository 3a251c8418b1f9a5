"""The tokens of a tokenizer that was made elsewhere: a Hugging Face folder's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lth_ray.data.text.bpe import tokenizers
from lth_ray.data.text.vocabulary import Vocabulary

LEVEL = "hf"


@dataclass(frozen=True)
class Given(Vocabulary):
    """A vocabulary as a network was pretrained with: a line is tokenised by itself, with its newline behind it.

    tokenizer: the `tokenizers` library's JSON.
    end: the number of the token that ends a text; it stands before the first, and behind no line.
    """

    tokenizer: str
    end: int

    @property
    def size(self) -> int:  # type: ignore[override]
        """One more than the highest number."""
        return 1 + int(max(self._tokenizer.get_vocab().values()))

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        found = self._tokenizer.encode_batch([f"{line}\n" for line in lines], add_special_tokens=False)
        return [list(one.ids) for one in found]

    def decode(self, tokens: Iterable[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    @property
    def document(self) -> dict[str, Any]:
        return {"level": LEVEL, "tokenizer": self.tokenizer, "end": self.end}

    @cached_property
    def _tokenizer(self) -> Any:
        found = tokenizers().Tokenizer.from_str(self.tokenizer)
        found.no_padding()
        found.no_truncation()
        return found
