"""Attention with fewer heads than its width has room for, which nn.MultiheadAttention does not know."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FewerHeads(nn.MultiheadAttention):
    """nn.MultiheadAttention as it is without some of its heads: projections of a width of their own.

    Its parameters are those of the attention it was made from, without the rows of the removed heads (of the output's
    projection, without their columns).
    """

    drawn: tuple[int, Tensor] | None = None  # (heads that dropout draws for, which of them are here)

    def narrow(self) -> None:
        """Take sizes from the parameters, which have lost heads."""
        rows = self.out_proj.weight.shape[1]
        self.num_heads = rows // self.head_dim
        self.embed_dim = self.out_proj.weight.shape[0]
        self.out_proj.in_features, self.out_proj.out_features = rows, self.embed_dim
        self._qkv_same_embed_dim = False  # bars the fused path of nn.TransformerEncoderLayer, which reads sizes off it

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        batched = query.dim() == 3
        given = [one if batched else one.unsqueeze(0 if self.batch_first else 1) for one in (query, key, value)]
        given = given if self.batch_first else [one.transpose(0, 1) for one in given]
        q, k, v = (
            F.linear(one, weight, bias).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for one, (weight, bias) in zip(given, self._projections(), strict=True)
        )
        weights = torch.matmul(q * self.head_dim**-0.5, k.transpose(-2, -1))
        added = self._added(q, key_padding_mask if batched else _row(key_padding_mask), attn_mask)
        weights = torch.softmax(weights if added is None else weights + added, -1)
        if self.training and self.dropout:
            weights = weights * self._draws(weights)
        found = self.out_proj(torch.matmul(weights, v).transpose(1, 2).flatten(2))
        found = found if self.batch_first else found.transpose(0, 1)
        shown = (weights.mean(1) if average_attn_weights else weights) if need_weights else None
        if batched:
            return found, shown
        return found.squeeze(0 if self.batch_first else 1), None if shown is None else shown.squeeze(0)

    def _projections(self) -> list[tuple[Tensor, Any]]:
        packed: Any = self.in_proj_weight  # None where keys or values are of another width
        weights: Any = packed.chunk(3) if packed is not None else (
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        )  # fmt: skip
        bias: Any = self.in_proj_bias
        biases: Any = (None,) * 3 if bias is None else bias.chunk(3)
        return list(zip(weights, biases, strict=True))

    def _added(self, q: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """Return what is added to [B, heads, T, S] before the softmax: -inf where nothing is to be looked at."""
        added = None if mask is None else _as_numbers(mask, q)
        if added is not None and added.dim() == 3:  # one for each head of each example
            added = added.unflatten(0, (q.shape[0], -1))
            added = added if self.drawn is None else added.index_select(1, self.drawn[1].to(added.device))
        if padding is None:
            return added
        padded = _as_numbers(padding, q)[:, None, None, :]
        return padded if added is None else added + padded

    def _draws(self, weights: Tensor) -> Tensor:
        """Draw dropout for all heads there were, so that those that stay get what they would get among them."""
        if self.drawn is None:
            return F.dropout(torch.ones_like(weights), self.dropout)
        number, here = self.drawn
        drawn = F.dropout(weights.new_ones(weights.shape[0], number, *weights.shape[2:]), self.dropout)
        return drawn.index_select(1, here.to(weights.device))


def _row(padding: Tensor | None) -> Tensor | None:
    return None if padding is None else padding.unsqueeze(0)


def _as_numbers(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))
