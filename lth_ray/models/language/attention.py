"""Scaled dot-product attention of several heads (Vaswani et al. 2017, section 3.2)."""

import math

from torch import Tensor, nn


class Attention(nn.Module):
    """Attention by heads, from a query's places to a memory's; its four maps have no biases.

    Written out in matrix products, so that what belongs to a head can be followed, and its probabilities be looked at.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def remembered(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [B, heads, K, width / heads] of a memory [B, K, width]."""
        return self._apart(self.key(memory)), self._apart(self.value(memory))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is read [B, Q, width], and with what probabilities [B, heads, Q, K].

        queries: [B, Q, width]. hidden: bool, broadcast to [B, heads, Q, K], True where nothing is to be read.
        """
        asked = self._apart(self.query(queries))
        scores = asked @ keys.transpose(-1, -2) / math.sqrt(asked.shape[-1])
        if hidden is not None:
            scores = scores.masked_fill(hidden, -math.inf)
        probabilities = scores.softmax(-1)
        read = (probabilities @ values).transpose(1, 2).flatten(2)
        found: Tensor = self.output(read)
        return found, probabilities

    def _apart(self, mapped: Tensor) -> Tensor:
        apart: Tensor = mapped.unflatten(-1, (self.heads, -1))
        return apart.transpose(1, 2)
