"""Translations by a network with steps of its own, or by any that gives logits of pairs."""

from typing import Any

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.config.tasks.translation import PAD
from lth_ray.models.language.beam import State, beam_search

LONGEST = 2, 10  # a translation has at most so many times its source's tokens, and so many more


def translated(
    model: nn.Module, source: Tensor, *, beam: int, length_penalty: float, coverage_penalty: float
) -> Tensor:
    """Return translations of sources int64 [B, S], int64 [B, tokens], by beam search.

    model: one with `begin` and `step`, as lth_ray.models.language.encoder_decoder has them, or any network of pairs
        [B, 2, L], which is called with all of the translation so far for each of its tokens.
    """
    steps: Any = model if hasattr(model, "begin") and hasattr(model, "step") else Prefixes(model)
    if steps is not model and coverage_penalty:
        raise ConfigError(
            f"Translation.coverage_penalty = {coverage_penalty}: {type(model).__name__} has no step that says what it "
            "attends to; give it `begin` and `step` as lth_ray.models.language.gnmt has them, or leave it out"
        )
    present = source != PAD
    times, more = LONGEST
    return beam_search(
        steps.step,
        steps.begin(source),
        present.sum(1) * times + more,
        width=beam,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        present=present,
    )


class Prefixes:
    """The steps of a network that has none: it is given source and translation so far, as in training."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def begin(self, source: Tensor) -> State:
        return {"source": source, "said": source[:, :0]}

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, None, State]:
        said = torch.cat([state["said"], tokens[:, None]], 1)
        length = max(said.shape[1], state["source"].shape[1])
        sides = [nn.functional.pad(side, (0, length - side.shape[1]), value=PAD) for side in (state["source"], said)]
        logits = self.model(torch.stack(sides, 1))[:, said.shape[1] - 1]
        return logits, None, state | {"said": said}
