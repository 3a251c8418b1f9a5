"""The ranking of a pruning rule: of weights, channels by their batch norm, or whole units; and the masks it makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lth_ray import models, pruning
from lth_ray.config import subseed
from lth_ray.lottery.execution.networks import eligible
from lth_ray.pruning import Mask
from lth_ray.pruning.evidence import Batch, Evidence
from lth_ray.pruning.structured import (
    check_units_are_left,
    chosen_layers,
    guarded,
    of_units,
    rebuilt,
    score_units,
    with_units,
)
from lth_ray.training import Recipe

Counts = int | dict[str, int]
Scores = Callable[..., dict[str, Tensor]]  # (criterion, model, mask, **evidence), as lth_ray.pruning.score
Rebuilt = Callable[[nn.Module, Mask, Mask, list[Batch] | None, int], dict[str, Tensor]]


@dataclass(frozen=True)
class Ranking:
    """The things that a rule ranks, in coordinates of its own: {name: bool}, as rules count and fractions are matched.

    everything: all of it. ranked: what of it a mask of weights keeps. whole: the mask of weights that it means.
    score: of what is ranked. scope: "global", or "layer" for each name apart.
    guard: scores in which what must stay is above all. check: raises ConfigError where so much of it cannot go.
    rebuilt: (model, what was there, what is left, batches, seed) -> the state of the model with what is left rescaled
        (Prune.rescale); None where nothing is.
    """

    everything: Mask
    ranked: Callable[[Mapping[str, Tensor]], Mask]
    whole: Callable[[Mapping[str, Tensor]], Mask]
    score: Scores
    scope: str
    guard: Callable[[Mapping[str, Tensor], Mask], Mapping[str, Tensor]] = lambda scores, there: scores
    check: Callable[[Mapping[str, Tensor], Counts], None] = lambda there, counts: None
    rebuilt: Rebuilt | None = None


def ranking(model: nn.Module, rule: Mapping[str, Any], recipe: Recipe) -> Ranking:
    """Return what a pruning rule (the fields of Prune, as keys have them) ranks of a network."""
    parameters, scope = dict(model.named_parameters()), rule["scope"]
    if rule.get("structure"):
        return _of_units(model, rule, recipe)
    everything = eligible(model, rule)
    if rule["criterion"] != pruning.BN_SCALE:
        return Ranking(everything, dict, dict, pruning.score, scope)
    scales = cache(lambda: models.scales(model, recipe.task.example(recipe.identity)))
    return Ranking(
        everything,
        lambda mask: pruning.of_channels(mask, scales()),
        lambda channels: pruning.with_members(channels, scales(), parameters),
        pruning.score,
        scope,
    )


def _of_units(model: nn.Module, rule: Mapping[str, Any], recipe: Recipe) -> Ranking:
    layers = models.unit_layers(model, recipe.task.example(recipe.identity))
    layers = chosen_layers(layers, rule["structure"], rule["include"], rule["exclude"])
    parameters = dict(model.named_parameters())
    names = {layer.name: [layer] for layer in layers}
    if rule["scope"] == "stage":
        names = {}
        for layer in layers:
            names.setdefault("x".join(map(str, layer.stage)) or "none", []).append(layer)
    sizes = {name: [layer.size for layer in some] for name, some in names.items()}

    def joined(each: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: torch.cat([each[layer.name] for layer in some]) for name, some in names.items()}

    def apart(each: Mapping[str, Tensor]) -> dict[str, Tensor]:
        parts = {name: each[name].split(sizes[name]) for name in names}
        return {layer.name: part for name, some in names.items() for layer, part in zip(some, parts[name], strict=True)}

    def score(criterion: str, model: nn.Module, mask: Mapping[str, Tensor], **evidence: Any) -> dict[str, Tensor]:
        coupled = rule.get("coupled", "mean")
        return joined(score_units(criterion, model, layers, apart(mask), coupled=coupled, **evidence))

    def check(mask: Mapping[str, Tensor], counts: Counts) -> None:
        left = {name: [int(one.count_nonzero()) for one in mask[name].split(sizes[name])] for name in names}
        if isinstance(counts, int):
            check_units_are_left({"": [number for some in left.values() for number in some]}, {"": counts})
        else:
            check_units_are_left(left, counts)

    def rebuilding(model: nn.Module, before: Mask, after: Mask, batches: list[Batch] | None, seed: int) -> Mask:
        evidence = Evidence(model, {}, None, batches, seed)
        return rebuilt(evidence, layers, apart(before), apart(after), rule.get("in_turn", False))

    found = Ranking(
        joined({layer.name: torch.ones(layer.size, dtype=torch.bool) for layer in layers}),
        lambda mask: joined(of_units(mask, layers)),
        lambda mask: with_units(apart(mask), layers, parameters),
        score,
        "global" if rule["scope"] == "global" else "layer",
        rebuilt=rebuilding if rule.get("rescale") else None,
    )
    if rule.get("may_empty_layers"):
        return found
    return replace(found, guard=lambda scores, there: joined(guarded(apart(scores), apart(there))), check=check)


def prune_by(
    ranking: Ranking,
    rule: Mapping[str, Any],
    scores: Callable[[Mask], Mapping[str, Tensor]],
    before: Mask,
    rounds: int,
    seed: int,
    density: float | None = None,
) -> Mask:
    """Return what is left of `before`, in the ranking's coordinates, by a rule's counts and order of pruning.

    scores: of what is ranked under a mask of it.
    rounds: that prune a fraction each at once; density: what is left of all, instead.
    """
    ties = subseed(seed, "ties") if rule.get("ties") == "random" else None
    counts = pruning.counts_of({**rule, "scope": ranking.scope}, before, rounds, density)
    ranking.check(before, counts)
    inverted = rule.get("scoring", {}).get("invert", False)

    def order(mask: Mask) -> Mapping[str, Tensor]:
        found = scores(mask)
        return ranking.guard(pruning.inverted(found) if inverted else found, mask)

    left, each = before, [counts]
    if rule.get("in_turn") and isinstance(counts, dict):
        each = [{**dict.fromkeys(counts, 0), name: number} for name, number in counts.items() if number]
    for number in each:
        left = pruning.prune_in_steps(order, left, number, ranking.scope, rule.get("iterations", 1), ties)
    return left
