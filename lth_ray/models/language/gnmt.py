"""GNMT, Google's translator of LSTMs (Wu et al. 2016), in the second form of its reference implementations."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.config.tasks.translation import PAD
from lth_ray.models.language.pairs import State, check_pairs
from lth_ray.models.language.reading import drop, tie, uniform

BOUND = 0.1  # initial weights lie between -BOUND and BOUND


class BahdanauAttention(nn.Module):
    """Additive attention, its vector normalised (Bahdanau et al. 2015; Salimans & Kingma 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.vector = nn.Parameter(torch.empty(width))
        self.scale = nn.Parameter(torch.empty(()))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, queries: Tensor, keys: Tensor, memory: Tensor, pads: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is read of a memory [B, Q, width], and with what probabilities [B, Q, S].

        queries: [B, Q, width]. keys: of the memory, [B, S, width]. pads: bool [B, S], where the source is filled up.
        """
        summed = torch.tanh(self.query(queries)[:, :, None] + keys[:, None] + self.bias)
        scores = summed @ (self.vector * (self.scale / self.vector.norm().clamp_min(1e-12)))
        probabilities = scores.masked_fill(pads[:, None], -torch.inf).softmax(-1)
        return probabilities @ memory, probabilities


class GNMT(nn.Module):
    """An encoder of LSTMs whose first layer goes both ways, and a decoder whose first layer asks what to attend to.

    Pairs int64 [B, 2, L] -> logits [B, L, num_classes]. Source and target share a table of tokens. From the third layer
    on inputs are added to outputs. What is attended to is joined to the inputs of every later layer of the decoder.

    layers: of the encoder and of the decoder, at least 2. tied: the table of tokens is that of the output, too.
    """

    also_prunable = ("embedding.weight", "*.weight_[ih]h_l0", "attention.vector")

    def __init__(
        self,
        num_classes: int,
        layers: int = 4,
        width: int = 1024,
        input_shape: tuple[int, ...] | None = None,
        dropout: float = 0.2,
        tied: bool = False,
    ) -> None:
        super().__init__()
        check_pairs(f"gnmt_{layers}_{width}", input_shape)
        if layers < 2:
            raise ConfigError(f"Model.name = 'gnmt_{layers}_{width}': give at least 2 layers")
        self.drop = drop(dropout)
        self.embedding = nn.Embedding(num_classes, width)
        self.encoder_forward, self.encoder_backward = _lstm(width, width), _lstm(width, width)
        self.encoder = nn.ModuleList(_lstm(2 * width if number == 0 else width, width) for number in range(layers - 1))
        self.decoder_first, self.attention = _lstm(width, width), BahdanauAttention(width)
        self.decoder = nn.ModuleList(_lstm(2 * width, width) for _ in range(layers - 1))
        self.output = nn.Linear(width, num_classes)
        uniform(list(self.parameters()), BOUND)
        nn.init.constant_(self.attention.scale, width**-0.5)
        nn.init.zeros_(self.attention.bias)
        if tied:
            tie(self.output, self.embedding)

    def forward(self, pairs: Tensor) -> Tensor:
        source, target = pairs.unbind(1)
        logits: Tensor = self._decode(self.embedding(target), self._encode(source))[0]
        return logits

    def begin(self, source: Tensor) -> State:
        """Return what a translation of sources int64 [B, S] begins with: tensors [B, ...]."""
        return self._encode(source)

    def step(self, tokens: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, State]:
        """Return logits [B, num_classes] behind the next tokens int64 [B], their attention to the source [B, S], and
        the state behind them.
        """
        logits, attention, new = self._decode(self.embedding(tokens[:, None]), state)
        return logits[:, 0], attention[:, 0], new

    def _encode(self, source: Tensor) -> State:
        """Return memory, keys and pads of sources."""
        pads = source == PAD
        x = self.drop(self.embedding(source))
        places = torch.arange(source.shape[1], device=source.device)
        lengths = source.shape[1] - pads.sum(1, keepdim=True)
        mirrored = torch.where(places < lengths, lengths - 1 - places, places)[..., None].expand_as(x)
        backward = self.encoder_backward(x.gather(1, mirrored))[0].gather(1, mirrored)
        x = torch.cat([self.encoder_forward(x)[0], backward], -1)
        for number, layer in enumerate(self.encoder):
            found = layer(self.drop(x))[0]
            x = found if number == 0 else x + found
        return {"memory": x, "keys": self.attention.key(x), "pads": pads}

    def _decode(self, x: Tensor, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, State]:
        """Return logits, attention, and the state behind some embedded tokens [B, L, width]."""
        new = dict(state)
        x = self._through("first", self.decoder_first, self.drop(x), state, new)
        read, attention = self.attention(x, state["keys"], state["memory"], state["pads"])
        for number, layer in enumerate(self.decoder):
            found = self._through(str(number), layer, self.drop(torch.cat([read, x], -1)), state, new)
            x = found if number == 0 else x + found
        return self.output(x), attention, new

    def _through(self, name: str, layer: nn.Module, x: Tensor, state: Mapping[str, Tensor], new: State) -> Tensor:
        """Take inputs through an LSTM from its state in `state`, zeros at first; put that behind them into `new`."""
        names = f"{name}.h", f"{name}.c"
        before = tuple(state[one].transpose(0, 1).contiguous() for one in names) if names[0] in state else None
        found, behind = layer(x, before)
        new.update(zip(names, (one.transpose(0, 1) for one in behind), strict=True))
        outputs: Tensor = found
        return outputs


def _lstm(inputs: int, width: int) -> nn.LSTM:
    return nn.LSTM(inputs, width, batch_first=True)
