"""The lengths of stretched trainings, as far as they can be said before their masks are there (Scratch-B)."""

import json
from dataclasses import replace

import torch

from lth_ray import pruning
from lth_ray.config import Prune
from lth_ray.lottery.derivation import Segment
from lth_ray.lottery.execution.networks import build
from lth_ray.lottery.execution.ranking import ranking
from lth_ray.lottery.execution.smaller import end_by_operations
from lth_ray.lottery.mask_rules import pruning_rule
from lth_ray.lottery.pieces import Expected, Piece, Training
from lth_ray.lottery.plan import Plan
from lth_ray.pruning import Mask
from lth_ray.training import Recipe


def priced(plan: Plan) -> Plan:
    """Return a plan whose stretched trainings count the steps that are expected of them, see Scratch."""
    known: dict[str, Expected] = {}
    found: dict[str, Piece] = {}
    for result in plan.branches:
        for _, segment in result.trainings:
            piece = plan.pieces.get(segment.key)
            if isinstance(piece, Training) and piece.segment.stretch is not None and piece.segment.planned is None:
                prune = result.lineage.prune
                name = json.dumps([segment.recipe.meaning(), pruning_rule(prune), prune.remaining, result.round])
                name += f" {piece.segment.stretch.at_most}"
                if name not in known:
                    known[name] = _expected(segment, prune, result.round)
                found[segment.key] = replace(piece, expected=known[name])
    if not found:
        return plan
    jobs = [replace(job, pieces=tuple(found.get(one.key, one) for one in job.pieces)) for job in plan.jobs]
    return replace(plan, pieces={**plan.pieces, **found}, jobs=tuple(jobs))


def _expected(segment: Segment, prune: Prune, number: int) -> Expected:
    model = build(segment.recipe)
    mask = expected_mask(model, segment.recipe, prune, number)
    last = end_by_operations(segment, model, mask)
    return Expected(segment.last if last is None else last, prune.scope == "layer" and prune.structure is not None)


def expected_mask(model: torch.nn.Module, recipe: Recipe, prune: Prune, rounds: int) -> Mask:
    """Return a random mask with as many weights or units as so many rounds leave; of each layer, where a rule counts
    those of each.
    """
    rule = pruning_rule(prune)
    ranks = ranking(model, rule, recipe)
    counts = pruning.counts_of({**rule, "scope": ranks.scope}, ranks.everything, rounds, prune.density(rounds))
    generator = torch.Generator().manual_seed(0)
    scores = {name: torch.rand(kept.shape, generator=generator) for name, kept in ranks.everything.items()}
    guarded = ranks.guard(scores, ranks.everything)
    return ranks.whole(pruning.prune_counts(guarded, ranks.everything, counts, ranks.scope))
