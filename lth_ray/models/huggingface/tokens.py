"""A folder's tokenizer: sentences as tokens of a stated length."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lth_ray.config import ConfigError
from lth_ray.config.blame import in_one_line
from lth_ray.models.huggingface.library import OFFLINE, quiet, transformers

PADDING, FIRST = 0, 1  # beside each token; FIRST + 1 for the second sentence
AT_A_TIME = 1_000  # examples


@dataclass(frozen=True)
class Tokens:
    """Examples as tokens.

    ids: int32 [n, 2, length]: tokens, and beside each PADDING, or FIRST plus the number of its sentence.
    vocabulary: tokens that the tokenizer knows.
    """

    ids: NDArray[np.int32]
    vocabulary: int


def load_tokenizer(folder: Path, field: str) -> Any:
    """Return the tokenizer of a folder. Raise ConfigError, naming the field, where it has none that can be read."""
    library = transformers(field)
    try:
        with quiet(library):
            found = library.AutoTokenizer.from_pretrained(str(folder), **OFFLINE)
    except Exception as error:  # of many kinds, as files are missing, damaged or of another library's
        raise ConfigError(
            f"{field} = {str(folder)!r}: no tokenizer can be read there ({in_one_line(error)}); give a folder with "
            "tokenizer.json, as tokenizer.save_pretrained(PATH) writes it"
        ) from error
    if not len(found):
        raise ConfigError(f"{field} = {str(folder)!r}: its tokenizer knows no token; give another folder")
    return found


def tokenised(tokenizer: Any, examples: Sequence[tuple[str, ...]], length: int, field: str) -> Tokens:
    """Return examples, of one sentence each or of two, cut to `length` tokens or padded."""
    ids = np.zeros((len(examples), 2, length), np.int32)
    ids[:, 0] = tokenizer.pad_token_id or 0
    for start in range(0, len(examples), AT_A_TIME):
        some = examples[start : start + AT_A_TIME]
        found = _encoded(tokenizer, some, length, field)
        kinds = found.get("token_type_ids") or [[0] * len(one) for one in found["input_ids"]]
        for row, (tokens, kind) in enumerate(zip(found["input_ids"], kinds, strict=True), start):
            ids[row, 0, : len(tokens)] = tokens
            ids[row, 1, : len(tokens)] = np.asarray(kind) + FIRST
    return Tokens(ids, len(tokenizer))


def _encoded(tokenizer: Any, examples: Sequence[tuple[str, ...]], length: int, field: str) -> Any:
    sentences = [list(column) for column in zip(*examples, strict=True)]
    try:
        return tokenizer(
            *sentences, truncation=True, max_length=length, padding=False, return_attention_mask=False, verbose=False
        )
    except Exception as error:  # of the tokenizer's own
        raise ConfigError(
            f"{field}: its tokenizer cannot cut examples of {len(sentences)} sentence(s) to {length} tokens: "
            f"{in_one_line(error)}; give a larger length, or another tokenizer"
        ) from error
