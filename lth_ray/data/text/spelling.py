"""The spelling of a byte-pair encoding's tokens: bytes in one tensor, which goes wherever sentences go."""

import json
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lth_ray.data.text.bpe import Bpe


def spelling(encoding: Bpe) -> Tensor:
    """Return the bytes of each token, int16 [tokens, 1 + most bytes]: how many there are, and they themselves.

    Special tokens have none.
    """
    document = json.loads(encoding.tokenizer)
    special = {one["id"] for one in document["added_tokens"]}
    byte_of = {character: byte for byte, character in _characters()}
    words = {number: token for token, number in document["model"]["vocab"].items() if number not in special}
    spelled = {number: bytes(byte_of[character] for character in word) for number, word in words.items()}
    table = torch.zeros(encoding.size, 1 + max(map(len, spelled.values())), dtype=torch.int16)
    for number, letters in spelled.items():
        table[number, : 1 + len(letters)] = torch.tensor([len(letters), *letters])
    return table


def spelled(tokens: Tensor, table: Tensor) -> list[str]:
    """Return the sentences of tokens int64 [n, L], without the space before the first word."""
    found = table[tokens].cpu().numpy()
    texts = (b"".join(one[1 : 1 + one[0]].astype(np.uint8).tobytes() for one in sentence) for sentence in found)
    return [text.decode(errors="replace").removeprefix(" ") for text in texts]


def _characters() -> Iterator[tuple[int, str]]:
    """Yield (byte, the character that stands for it in a byte-level encoding) (Radford et al. 2019, encoder.py)."""
    shown = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = 0
    for byte in range(256):
        if byte in shown:
            yield byte, chr(byte)
        else:
            yield byte, chr(256 + others)
            others += 1
