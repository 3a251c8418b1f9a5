"""The finding of a round's mask: the pruning rule as keys have it, its seed and evidence, its change in training."""

from dataclasses import replace
from typing import Any

from lth_ray import pruning
from lth_ray.config import ConfigError, Data, EarlyBird, Prune, Rewind, meaning, subseed
from lth_ray.config.once import once_each
from lth_ray.lottery.derivation import Draw, Segment
from lth_ray.lottery.origins import Origin
from lth_ray.lottery.sources import Pruned, Rescaled, Snapshot, StartSource
from lth_ray.training import Recipe

# fields of Prune that say when and in what training masks are found, and not which weights go
UNRULED = ("one_shot", "at", "dynamic", "search_precision")


@once_each
def pruning_rule(prune: Prune) -> dict[str, Any]:
    """Return the pruning rule as plain data.

    One-shot differs in `Pruned.rounds` alone, so that round 1 is the iterative one's, a ladder in
    `Pruned.density`, and what is pruned early in `Pruned.step`.
    """
    rule = {name: value for name, value in meaning(prune).items() if name not in UNRULED and value is not None}
    return rule | {"criterion": "magnitude"} if prune.criterion == "large_final" else rule  # two names of one


def mask_seed(prune: Prune, seed: int, number: int) -> int | None:
    """Return the seed of round `number`'s mask; None where nothing is left to chance.

    The masks of a ladder are drawn alike, whatever other densities it has.
    seed: the lineage's.
    """
    by_chance = (
        prune.criterion in ("random", "thinet") or prune.ties == "random" or prune.scoring.data.startswith("random")
    )
    drawn = "ladder" if prune.remaining is not None else number
    return subseed(seed, "prune", drawn) if by_chance else None


def draw_of(prune: Prune, seed: int, steps_per_epoch: int) -> Draw | None:
    """Return the draw of an early-bird ticket; None where masks are found at a step that is given.

    seed: the lineage's.
    """
    at = prune.at
    if not isinstance(at, EarlyBird):
        return None
    if not steps_per_epoch:
        raise ConfigError(
            "Prune.at = EarlyBird(...): it looks once an epoch, and what is learned here has none; give steps(...)"
        )
    density = prune.density(1) if prune.num_rounds else None
    return Draw(pruning_rule(prune), at.window, at.distance, steps_per_epoch, mask_seed(prune, seed, 1), density)


def with_evidence(mask: Pruned, prune: Prune, rewind: Rewind, recipe: Recipe, order: int, origin: Origin) -> Pruned:
    """Return `mask` with what its criterion looks at beside the weights.

    order: the seed of the training data's order.
    origin: the lineage's initial weights.
    """
    at_end = prune.at is None  # else a criterion looks at the weights of that step, not at initial ones
    needs = pruning.uses(prune.criterion) if at_end else pruning.needs(prune.criterion)
    if "initial" in needs and rewind.method == "scratch":
        raise ConfigError(
            f"Prune.criterion = {prune.criterion!r}: it compares with initial weights, and method='scratch' "
            "draws new ones every round; use another criterion or method"
        )
    if "initial" in needs:
        mask = replace(mask, initial=origin)
    if "batch" in needs and not pruning.criterion_of(prune.criterion).of_shapes:
        other = recipe.train.loss is not None or recipe.train.step is not None or recipe.train.label_smoothing > 0
        mask = replace(mask, order=order, own_loss=other or not isinstance(recipe.data, Data))
    return mask


def inherited(trajectory: str, step: int, restored: bool, mask: Pruned) -> StartSource:
    """Return the weights in which a mask was found, which retraining goes on from: rescaled where the rule says so."""
    ended = Snapshot(trajectory, step, restored)
    return Rescaled(ended, mask) if mask.rule.get("rescale") else ended


def regrowth(prune: Prune, rewind: Rewind, recipe: Recipe, seed: int) -> pruning.Regrowth | None:
    """Return the change of a round's mask while the round is trained; None where it stays.

    seed: of what grows at random.
    """
    dynamic = prune.dynamic
    if dynamic is None:
        return None
    if rewind.method not in ("weights", "learning_rate", "scratch"):
        raise ConfigError(
            f"Prune.dynamic with Rewind.method = {rewind.method!r}: a mask changes by the schedule of a training "
            "from the rewind point to the end; use method='weights', 'learning_rate' or 'scratch'"
        )
    if rewind.perturbation is not None and rewind.perturbation.pruned != "zero":
        raise ConfigError(
            f"Prune.dynamic with Perturbation.pruned = {rewind.perturbation.pruned!r}: weights grow from zero, and "
            "these are frozen at other values; leave one of them out"
        )
    every, end = dynamic.in_steps(recipe.steps_per_epoch, recipe.total_steps)
    return pruning.Regrowth(dynamic.method, every, dynamic.fraction, end, seed if dynamic.method == "set" else None)


def searched(segment: Segment, precision: str | None) -> Segment:
    """Return a training in the precision that masks are found in; its own for None."""
    if precision in (None, segment.recipe.train.precision):
        return segment
    try:
        train = replace(segment.recipe.train, precision=precision)
    except ConfigError as error:
        raise ConfigError(f"Prune.search_precision = {precision!r}: {error}") from None
    return replace(segment, recipe=replace(segment.recipe, train=train))
