"""The Transformer language model (Vaswani et al. 2017), pre-norm and causal (Radford et al. 2019)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.models.language.reading import check_tokens, drop, tie

DEVIATION = 0.02  # of first weights; of those that write to the sum, divided by sqrt(2 x layers) (Radford et al. 2019)
HEAD_WIDTH = 64


class Attention(nn.Module):
    """Attention of each token to itself and those before it, in `heads` heads."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._apart(one(x)) for one in (self.query, self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _apart(self, x: Tensor) -> Tensor:
        apart: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return apart


class Block(nn.Module):
    """Attention and two linear layers, each before whose input is normalised and whose output is added to it."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads, dropout)
        self.feed_norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = drop(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.attention(self.attention_norm(x)))
        out: Tensor = x + self.drop(self.down(F.gelu(self.up(self.feed_norm(x)))))
        return out


class TransformerLanguageModel(nn.Module):
    """Tokens [B, T <= window] to logits [B, T, num_classes]; a token sees itself and those before it in its window.

    layers, width, heads: of the blocks; by default a head is 64 wide. tied: the output layer has the embedding's
    weight. input_shape: (window,), so many positions are learned.
    """

    also_prunable = ("embedding.weight", "position.weight")

    def __init__(
        self,
        layers: int,
        width: int,
        num_classes: int,
        input_shape: tuple[int, ...] = (128,),
        heads: int | None = None,
        dropout: float = 0.1,
        tied: bool = True,
    ) -> None:
        super().__init__()
        window = check_tokens("Transformer language model", input_shape)
        heads = heads or max(1, width // HEAD_WIDTH)
        if width % heads:
            raise ConfigError(f"Model.name: a width of {width} cannot be shared by {heads} heads; give a divisor")
        self.embedding, self.position = nn.Embedding(num_classes, width), nn.Embedding(window, width)
        self.drop = drop(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, num_classes, bias=False)
        self.window = window
        self._draw()
        if tied:
            tie(self.output, self.embedding)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.drop(self.embedding(tokens) + self.position(places))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(self.norm(x))
        return logits

    def _draw(self) -> None:
        for path, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                adds = path.endswith(("attention.out", "down"))
                deviation = DEVIATION / math.sqrt(2 * len(self.blocks)) if adds else DEVIATION
                nn.init.normal_(module.weight, std=deviation)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
