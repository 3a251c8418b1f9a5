"""The Transformer that translates (Vaswani et al. 2017, "Attention is all you need")."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.config.tasks.translation import PAD
from lth_ray.models.language.attention import Attention
from lth_ray.models.language.pairs import State, check_pairs
from lth_ray.models.language.reading import drop, tie


class Sublayer(nn.Module):
    """The frame of a sublayer: layer norm, dropout, and the connection around it.

    before: normalise what goes in (pre-norm); else what comes out, as in the paper.
    """

    def __init__(self, width: int, dropout: float, before: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.drop, self.before = drop(dropout), before

    def enter(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(x) if self.before else x
        return normalised

    def leave(self, x: Tensor, found: Tensor) -> Tensor:
        x = x + self.drop(found)
        return x if self.before else self.norm(x)


class FeedForward(nn.Module):
    """Two linear layers on each place, and their frame."""

    def __init__(self, width: int, hidden: int, dropout: float, before: bool) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.frame = Sublayer(width, dropout, before)

    def forward(self, x: Tensor) -> Tensor:
        return self.frame.leave(x, self.outer(torch.relu(self.inner(self.frame.enter(x)))))


class EncoderLayer(nn.Module):
    """Attention of a sentence to itself, and a feed-forward layer."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, before: bool) -> None:
        super().__init__()
        self.itself, self.frame = Attention(width, heads), Sublayer(width, dropout, before)
        self.forwards = FeedForward(width, hidden, dropout, before)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        entered = self.frame.enter(x)
        found, _ = self.itself(entered, *self.itself.remembered(entered), hidden)
        whole: Tensor = self.forwards(self.frame.leave(x, found))
        return whole


class DecoderLayer(nn.Module):
    """Attention of a translation to what there is of it, attention to the source, and a feed-forward layer."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, before: bool) -> None:
        super().__init__()
        self.itself, self.frame = Attention(width, heads), Sublayer(width, dropout, before)
        self.source, self.source_frame = Attention(width, heads), Sublayer(width, dropout, before)
        self.forwards = FeedForward(width, hidden, dropout, before)

    def forward(
        self,
        x: Tensor,
        before: tuple[Tensor, Tensor],
        later: Tensor | None,
        source: tuple[Tensor, Tensor],
        pads: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the layer's outputs, and its attention to the source.

        before: keys and values of the translation, present places included. later: True where it is not to be seen.
        """
        found, _ = self.itself(self.frame.enter(x), *before, later)
        x = self.frame.leave(x, found)
        found, attention = self.source(self.source_frame.enter(x), *source, pads)
        return self.forwards(self.source_frame.leave(x, found)), attention


class Transformer(nn.Module):
    """The encoder and decoder of Vaswani et al. 2017; one table of tokens is that of source, target and output.

    Pairs int64 [B, 2, L] -> logits [B, L, num_classes].

    layers: of the encoder, and as many of the decoder. heads: by default one for 64 units of the width.
    hidden: units of the feed-forward layers, by default four times the width. norm: "post", as in the paper, or "pre".
    """

    def __init__(
        self,
        layers: int,
        width: int,
        num_classes: int,
        input_shape: tuple[int, ...] | None = None,
        heads: int | None = None,
        hidden: int | None = None,
        dropout: float = 0.1,
        norm: str = "post",
    ) -> None:
        super().__init__()
        heads, hidden = heads or max(1, width // 64), hidden or 4 * width
        check_pairs(f"transformer_{layers}_{width}", input_shape)
        if width % 2 or width % heads or norm not in ("post", "pre"):
            raise ConfigError(
                f"Model.options: heads = {heads}, norm = {norm!r}: give heads that divide the width {width}, an even "
                "number, and 'post' or 'pre'"
            )
        sizes = width, heads, hidden, dropout, norm == "pre"
        self.width, self.drop = width, drop(dropout)
        self.embedding = nn.Embedding(num_classes, width)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        self.encoded = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.decoded = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.output = nn.Linear(width, num_classes, bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        tie(self.output, self.embedding)

    def forward(self, pairs: Tensor) -> Tensor:
        source, target = pairs.unbind(1)
        memory, pads = self._encode(source)
        places = torch.arange(target.shape[1], device=target.device)
        later = places > places[:, None]
        x = self._embed(target, places)
        for layer in self._layers():
            entered = layer.frame.enter(x)
            x, _ = layer(x, layer.itself.remembered(entered), later, layer.source.remembered(memory), pads)
        logits: Tensor = self.output(self.decoded(x))
        return logits

    def begin(self, source: Tensor) -> State:
        """Return what a translation of sources int64 [B, S] begins with: tensors [B, ...]."""
        memory, pads = self._encode(source)
        state = {"pads": pads, "at": torch.zeros(len(source), dtype=torch.int64, device=source.device)}
        for number, layer in enumerate(self._layers()):
            keys, values = layer.source.remembered(memory)
            state |= {f"source_keys.{number}": keys, f"source_values.{number}": values}
            state |= {f"keys.{number}": keys[:, :, :0], f"values.{number}": values[:, :, :0]}
        return state

    def step(self, tokens: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, State]:
        """Return logits [B, num_classes] behind the next tokens int64 [B], their attention to the source [B, S], and
        the state behind them.

        The attention is the last layer's, the mean over its heads.
        """
        new = dict(state)
        x = self._embed(tokens[:, None], state["at"][:, None])
        attention = x
        for number, layer in enumerate(self._layers()):
            keys, values = layer.itself.remembered(layer.frame.enter(x))
            keys = new[f"keys.{number}"] = torch.cat([state[f"keys.{number}"], keys], 2)
            values = new[f"values.{number}"] = torch.cat([state[f"values.{number}"], values], 2)
            source = state[f"source_keys.{number}"], state[f"source_values.{number}"]
            x, attention = layer(x, (keys, values), None, source, state["pads"])
        new["at"] = state["at"] + 1
        return self.output(self.decoded(x))[:, 0], attention.mean(1)[:, 0], new

    def _layers(self) -> Iterator[DecoderLayer]:
        """Yield the decoder's layers."""
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            yield layer

    def _encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the memory of sources, and where they are filled up [B, 1, 1, S]."""
        pads = (source == PAD)[:, None, None]
        x = self._embed(source, torch.arange(source.shape[1], device=source.device))
        for layer in self.encoder:
            x = layer(x, pads)
        return self.encoded(x), pads

    def _embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        x = self.embedding(tokens) * math.sqrt(self.width)
        placed: Tensor = self.drop(x + waves(places, self.width).to(x))
        return placed


def waves(places: Tensor, width: int) -> Tensor:
    """Return sines and cosines of places (section 3.5), float32 [..., width]."""
    rates = torch.exp(torch.arange(0, width, 2, device=places.device) * (-math.log(10_000) / width))
    angles = places[..., None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)
