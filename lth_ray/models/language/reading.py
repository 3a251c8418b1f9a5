"""The common parts of language models: the check of what they are given, embeddings, tied outputs."""

import torch
from torch import nn

from lth_ray.config import ConfigError


def check_tokens(name: str, input_shape: tuple[int, ...]) -> int:
    """Return the window (n,) of tokens that a network reads. Raise ConfigError for examples that are no tokens."""
    if len(input_shape) != 1:
        raise ConfigError(
            f"Model.name: a {name} reads tokens, and examples of shape {tuple(input_shape)} are given; give Text(...)"
        )
    return input_shape[0]


def tie(output: nn.Linear, embedding: nn.Embedding) -> None:
    """Let an output layer have an embedding's weight (Press & Wolf 2017; Inan et al. 2017).

    Raise ConfigError where it has another width.
    """
    if output.weight.shape != embedding.weight.shape:
        raise ConfigError(
            f"Model.options['tied'] = True: the output's weight is {list(output.weight.shape)}, the embedding's "
            f"{list(embedding.weight.shape)}; give them one width"
        )
    output.weight = embedding.weight


def drop(share: float) -> nn.Module:
    """Return dropout; nothing for a share of 0."""
    if not 0 <= share < 1:
        raise ConfigError(f"Model.options['dropout'] = {share}: give a share in [0, 1)")
    return nn.Dropout(share) if share else nn.Identity()


@torch.no_grad()
def uniform(weights: list[torch.Tensor], bound: float) -> None:
    """Draw weights from [-bound, bound], in their order."""
    for weight in weights:
        weight.uniform_(-bound, bound)
