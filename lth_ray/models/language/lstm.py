"""The LSTM language model of Zaremba et al. 2014, as Yu et al. 2019 prune it."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from lth_ray.models.language.reading import check_tokens, drop, tie, uniform

BOUND = 0.1  # of the embedding's and the output's first weights (PyTorch's word_language_model, Merity et al. 2018)


class LSTMLanguageModel(nn.Module):
    """Tokens [B, T] through an embedding, LSTM layers and an output layer to logits [B, T, num_classes].

    Dropout is that of Zaremba et al.: on what goes up from layer to layer, and not from step to step. Each layer is a
    torch.nn.LSTM of its own, so that dropout between them is drawn as everywhere, and so depends on the step alone.

    layers, width: of the LSTM. embedding: the embedding's width; by default `width`. tied: the output layer has the
    embedding's weight. input_shape: (window,), on which nothing depends.
    """

    also_prunable = ("embedding.weight", "lstm.*.weight_*")

    def __init__(
        self,
        layers: int,
        width: int,
        num_classes: int,
        input_shape: tuple[int, ...] = (50,),
        embedding: int | None = None,
        dropout: float = 0.5,
        tied: bool = False,
    ) -> None:
        super().__init__()
        check_tokens("LSTM language model", input_shape)
        first = embedding or width
        self.embedding = nn.Embedding(num_classes, first)
        self.drop = drop(dropout)
        sizes = [first, *[width] * layers]
        self.lstm = nn.ModuleList(nn.LSTM(a, b, batch_first=True) for a, b in pairwise(sizes))
        self.output = nn.Linear(width, num_classes)
        self.width = width
        uniform([self.embedding.weight, self.output.weight], BOUND)
        nn.init.zeros_(self.output.bias)
        if tied:
            tie(self.output, self.embedding)

    def begin(self, rows: int) -> tuple[Tensor, Tensor]:
        """Return the state before anything is read: h and c, zeros [rows, layers, width]."""
        zeros = self.output.bias.new_zeros(rows, len(self.lstm), self.width)
        return zeros, zeros.clone()

    def forward(
        self, tokens: Tensor, hidden: Tensor | None = None, cell: Tensor | None = None
    ) -> Tensor | tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return logits; with a state given, (logits, the state behind the last token)."""
        x, ends = self.drop(self.embedding(tokens)), []
        for number, layer in enumerate(self.lstm):
            state = None if hidden is None or cell is None else (_of(hidden, number), _of(cell, number))
            x, end = layer(x, state)
            x = self.drop(x)
            ends.append(end)
        logits: Tensor = self.output(x)
        if hidden is None:
            return logits
        return logits, (
            torch.cat([h for h, _ in ends]).transpose(0, 1),
            torch.cat([c for _, c in ends]).transpose(0, 1),
        )


def _of(state: Tensor, layer: int) -> Tensor:
    """Return a layer's state as nn.LSTM takes it, [1, rows, width]."""
    return state[:, layer].unsqueeze(0).contiguous()
