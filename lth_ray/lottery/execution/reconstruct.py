"""Reconstruction of what a derivation describes, its starting weights and its mask, from what is stored."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from lth_ray import models, pruning
from lth_ray.config import meaning
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.execution.networks import build, build_without_averages, eligible, fitting, network, of_part
from lth_ray.lottery.execution.patterned import patterned_mask
from lth_ray.lottery.execution.permuted import permuted_mask
from lth_ray.lottery.execution.ranking import Ranking, prune_by, ranking
from lth_ray.lottery.execution.reading import (
    MissingState,
    drawn_step,
    ended_state,
    recorded_mask,
    stored_segment,
    stored_state,
)
from lth_ray.lottery.execution.scoring import Scorer, examples
from lth_ray.lottery.execution.smaller import small_start
from lth_ray.lottery.execution.stretched import stretched_mask, taken_over
from lth_ray.lottery.origins import Adopted, Init, Pretrained
from lth_ray.lottery.patterned import Patterned, Permuted, Redrawn
from lth_ray.lottery.sources import Copied, Drawn, Normalised, Perturbed, Pruned, Rescaled, Small, Snapshot, StartSource
from lth_ray.lottery.stretched import Network, Stretched
from lth_ray.pruning import Mask
from lth_ray.pruning.structured import shuffled_units
from lth_ray.store import State, Store, content
from lth_ray.tasks.base import Loaded
from lth_ray.training import Recipe, averages, supermask_state


def segment_start(segment: Segment, mask: Mask | None, store: Store, dataset: Loaded) -> State:
    """Return the state a segment starts from, before its mask is applied."""
    state = start_state(segment.start, segment.recipe, store, dataset, mask)
    if segment.learned is None:
        return state
    covered = mask or eligible(build(segment.recipe), segment.learned.prunable)
    wrapped = supermask_state(state.model, covered, segment.learned.rule, segment.learned.seed)
    wrapped = models.retied(wrapped, models.tied(network(segment, mask)))
    return State(wrapped, None, content(wrapped))


def start_state(source: StartSource, recipe: Recipe, store: Store, dataset: Loaded, mask: Mask | None = None) -> State:
    """Return the weights (and optimizer state) that a source describes, before any mask is applied.

    mask: of the network that starts from it, which what is perturbed, rescaled or drawn as a small one depends on.
    """
    if isinstance(source, (Snapshot, Drawn)):
        step = drawn_step(store, source.of) if isinstance(source, Drawn) else source.step
        return stored_state(store, source.trajectory, step, source.optimizer)
    if isinstance(source, Init):
        made = build(recipe, source.seed).state_dict()
    elif isinstance(source, Pretrained):
        made = _begun(recipe, source.initial.seed, pretrained_weights(source, recipe))
    elif isinstance(source, Adopted):
        given = stored_state(store, *ended_state(store, source.of)).model
        made = _begun(recipe, source.initial.seed if source.initial else 0, of_part(given, source.part))
    elif isinstance(source, Small):
        if mask is None:
            raise MissingState("a dense network has no mask, and no smaller one is left of it")
        made = small_start(build(recipe, source.initial.seed).state_dict(), mask, recipe)
    elif isinstance(source, Perturbed):
        made = _perturbed(source, recipe, store, dataset, mask)
    elif isinstance(source, Rescaled):
        made = _rescaled(source, recipe, store, dataset, mask)
    elif isinstance(source, Normalised):
        states = [start_state(one, recipe, store, dataset, mask).model for one in (source.base, source.norms)]
        made = dict(states[0]) | {name: states[1][name] for name in models.batch_norm_tensors(build(recipe))}
    elif source.of is not None:
        given = start_state(source.base, _of(recipe, source.of), store, dataset, mask).model
        made = _begun(recipe, source.initial.seed, taken_over(given, recipe, source.of, source.output))
    else:
        made = dict(start_state(source.initial, recipe, store, dataset).model)
        given = start_state(source.base, recipe, store, dataset, mask).model
        made |= {name: given[name] for name in made if name in given and given[name].shape == made[name].shape}
    return State(made, None, content(made))


def _of(recipe: Recipe, network: Network) -> Recipe:
    return Recipe(network.model, recipe.data, recipe.train, network.identity)


def _begun(recipe: Recipe, seed: int, given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the network's state with `given` in its own precision, and the rest drawn; averages begin with
    it.
    """
    network = build(recipe, seed)
    own = network.state_dict().keys()
    given = models.retied(given, models.tied(network))
    network.load_state_dict({name: value for name, value in given.items() if name in own}, strict=False)
    averages.begin(network)
    return network.state_dict()


def pretrained_weights(source: Pretrained, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Return what the recipe's network takes of a file of pretrained weights.

    Raises ConfigError where that does not fit it.
    """
    path = source.file.path
    given = models.read_weights(path)
    if content(given) != source.file.content:
        raise MissingState(f"pretrained weights {path} are others than when the study was planned; run the study again")
    network = build_without_averages(recipe, seed=0)
    where = f"pretrained weights {path}"
    if os.path.isdir(path):
        named = models.in_own_names(network, given, where, source.redraw)
        return models.fitting_weights(network, named.tensors, where, (*source.redraw, *named.lacking))
    return models.fitting_weights(network, given, where, source.redraw)


def _perturbed(
    source: Perturbed, recipe: Recipe, store: Store, dataset: Loaded, mask: Mask | None
) -> dict[str, torch.Tensor]:
    if mask is None:
        raise MissingState("a dense network has no mask, and what is perturbed are the weights that a mask keeps")
    initial, final = (
        start_state(one, recipe, store, dataset).model if one else None for one in (source.initial, source.final)
    )
    base = start_state(source.base, recipe, store, dataset, mask).model
    made = pruning.perturb(base, mask, **meaning(source.rule), initial=initial, final=final, seed=source.seed)
    return models.retied(made, models.tied(build(recipe)))


def _rescaled(
    source: Rescaled, recipe: Recipe, store: Store, dataset: Loaded, mask: Mask | None
) -> dict[str, torch.Tensor]:
    if mask is None:
        raise MissingState("a dense network has no mask, and what is rescaled are the weights that a mask keeps")
    scoring, before = _scoring(source.by, build(recipe), recipe, store, dataset)
    scoring.model.load_state_dict(stored_state(store, source.base.trajectory, source.base.step).model)
    return scoring.rebuilt(before, scoring.ranks.ranked(mask))


@dataclass(frozen=True)
class Found:
    """A mask that was found.

    scoring_flops: of the scores it is pruned by, 0 where these look at no examples; None where nothing is pruned.
    """

    mask: Mask | None
    scoring_flops: float | None = None


def mask_of(segment: Segment, store: Store, dataset: Loaded) -> Found:
    """Return the mask of a segment, made from what it is derived from; that of a dense one is None."""
    source = segment.mask
    if source is None:
        return Found(None)
    if isinstance(source, Pruned):
        return pruned_mask(source, segment.recipe, store, dataset)
    base = recorded_mask(store, source.of)
    if base is None and isinstance(source, Copied):
        return Found(None)
    if base is None:
        raise MissingState(f"{store.uri}: segment {source.of} is dense and has no mask to start from")
    if isinstance(source, Copied):
        return Found(fitting(of_part(base, source.part), segment.recipe))
    if isinstance(source, Patterned):
        return Found(patterned_mask(source, base, segment.recipe))
    if isinstance(source, Stretched):
        return Found(stretched_mask(source, base, segment.recipe))
    if isinstance(source, Permuted):
        return Found(permuted_mask(source, base, segment.recipe, store, dataset))
    return Found(redrawn_mask(source, base, segment.recipe))


def redrawn_mask(source: Redrawn, base: Mask, recipe: Recipe) -> Mask:
    """Return `base` with as many weights, or whole units, elsewhere, by the source's scope and seed."""
    if source.rule is not None:
        ranks = ranking(build(recipe), {**source.rule, "scope": "layer"}, recipe)
        may_empty = source.rule.get("may_empty_layers", False)
        return ranks.whole(shuffled_units(ranks.ranked(base), source.seed, source.scope, may_empty))
    if source.scope == "random":
        return pruning.random_mask(base, source.seed)
    return pruning.shuffled_mask(base, source.seed, source.scope)


def _with_the_rest(mask: Mask, ranks: Ranking) -> Mask:
    """Return a mask that covers all that is ranked: a part's ticket has one of that part alone."""
    whole = ranks.whole(ranks.everything)
    return {**whole, **mask} if whole.keys() - mask.keys() else mask


def pruned_mask(source: Pruned, recipe: Recipe, store: Store, dataset: Loaded) -> Found:
    """Prune the weights of the source's trajectory at its step by exactly the rule's count.

    Raises MissingState where segment `source.of`, its mask or that state is not in the store, and where it diverged.
    """
    model, rule = build(recipe), source.rule
    scores, before = _scoring(source, model, recipe, store, dataset)
    record = stored_segment(store, source.of)
    step = drawn_step(store, source.of) if source.step is None else source.step
    if record is not None and record.diverged_at is not None and record.diverged_at <= step:
        raise MissingState(f"segment {source.of} diverged by step {record.diverged_at}: there is nothing to prune")
    model.load_state_dict(stored_state(store, source.trajectory, step).model)
    if recipe.train.ema_for == "evaluation_and_pruning":
        model.load_state_dict(averages.named(model), strict=False)
    pruned = prune_by(scores.ranks, rule, scores, before, source.rounds, source.seed or 0, source.density)
    return Found(scores.ranks.whole(pruned), scores.flops)


def _scoring(
    source: Pruned, model: torch.nn.Module, recipe: Recipe, store: Store, dataset: Loaded
) -> tuple[Scorer, Mask]:
    """Return what scores a model for a mask, and what was there of what is ranked before."""
    ranks, stored = ranking(model, source.rule, recipe), recorded_mask(store, source.of)
    before = ranks.everything if stored is None else ranks.ranked(_with_the_rest(stored, ranks))
    initial = start_state(source.initial, recipe, store, dataset).model if source.initial else None
    batches = examples(source, recipe, dataset)
    if source.order is not None and batches:
        model.to(batches[0][0].device)
    return Scorer(source, recipe, model, ranks, initial, batches), before
