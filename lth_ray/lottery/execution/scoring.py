"""The scoring of a network's weights, or units, by a pruning rule, and the operations that it takes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from lth_ray import pruning
from lth_ray.config import Scoring, meaning
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.ranking import Ranking
from lth_ray.lottery.sources import Pruned
from lth_ray.models.flops import forward_flops, uses_of_weights
from lth_ray.pruning import Mask
from lth_ray.pruning.evidence import Batch
from lth_ray.tasks.base import Loaded
from lth_ray.training import Recipe


@dataclass
class Scorer:
    """The scores of what a rule ranks, by what a mask is derived from.

    ranks: weights, or units.
    model: holds the weights that are scored; initial: those at initialisation, for a criterion that looks at them.
    batches: the examples; None for a criterion that looks at none.
    flops: of all scores taken so far: each takes the criterion's number of forward passes of its examples, over the
        weights that are left then.
    last: what was there when scores were taken last; what has gone since is rebuilt first, where the rule rescales.
    """

    source: Pruned
    recipe: Recipe
    model: torch.nn.Module
    ranks: Ranking
    initial: Mapping[str, torch.Tensor] | None
    batches: list[Batch] | None
    flops: float = 0.0
    last: Mask | None = None

    def __call__(self, mask: Mask) -> Mask:
        """Return the scores of what is ranked under a mask of it."""
        if self.ranks.rebuilt is not None and self.last is not None:
            self.model.load_state_dict(self.rebuilt(self.last, mask))
        self.last = mask
        rule, passes = self.source.rule, pruning.criterion_of(self.source.rule["criterion"]).passes
        if passes and self.batches:
            examples = sum(len(batch[0]) for batch in self.batches)
            self.flops += passes * examples * forward_flops(self.model, uses(self.recipe), self.ranks.whole(mask))
        return self.ranks.score(
            rule["criterion"],
            self.model,
            mask,
            initial=self.initial,
            batch=self.batches,
            seed=self.source.seed or 0,
            loss=self.recipe.task.step(self.recipe.train) if self.source.own_loss else None,
            mode=scoring_of(rule).mode,
        )

    def rebuilt(self, before: Mask, after: Mask) -> Mask:
        """Return the model's state with what is left rescaled."""
        assert self.ranks.rebuilt is not None
        return self.ranks.rebuilt(self.model, before, after, self.batches, self.source.seed or 0)


def scoring_of(rule: Mapping[str, Any]) -> Scoring:
    """Return what the scores of a pruning rule are taken from."""
    return Scoring(**rule.get("scoring", {}))


def examples(source: Pruned, recipe: Recipe, dataset: Loaded) -> list[Batch] | None:
    """Return the examples that a mask's criterion looks at; None where it looks at none."""
    if source.order is not None:
        scoring = scoring_of(source.rule)
        return pruning.sample(recipe.task, recipe.identity, dataset, scoring, source.order, source.seed or 0)
    of_shapes = pruning.criterion_of(source.rule["criterion"]).of_shapes
    return [recipe.task.example(recipe.identity)] if of_shapes else None


def uses(recipe: Recipe) -> dict[str, int]:
    """Count the uses of weights once a process for each network."""
    name = json.dumps([meaning(recipe.model), recipe.identity.input_shape, type(recipe.task).__name__])
    if name not in _USES:
        _USES[name] = uses_of_weights(build(recipe), recipe.task.example(recipe.identity))
    return _USES[name]


_USES: dict[str, dict[str, int]] = {}
