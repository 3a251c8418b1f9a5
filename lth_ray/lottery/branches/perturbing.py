"""Tickets trained from other weights: perturbed, or pretrained on another task."""

from collections.abc import Iterable
from dataclasses import fields, replace

from lth_ray.config import ConfigError, Length, Perturb, Perturbation, Pretrain, told
from lth_ray.lottery.branches.base import Asked, Host, Seed
from lth_ray.lottery.derivation import Segment, perturbed
from lth_ray.lottery.sources import Copied, Snapshot, Transplanted
from lth_ray.training import Recipe


def perturb(host: Host, branch: Perturb, seed: int) -> Segment:
    """Train the ticket from perturbed weights (Zhou et al. 2019, s.

    3 and 4; Frankle, Schwab & Morcos 2020, s. 5).
    """
    rule = Perturbation(**{f.name: getattr(branch, f.name) for f in fields(Perturbation)})
    ticket = host.segment.settled if branch.at is None else _from_dense(host, branch.at)
    segment = perturbed(ticket, rule, seed, host.lineage.origin, host.lineage.prune)
    return segment if branch.trained else replace(segment, last=segment.first, stretch=None)


def _from_dense(host: Host, point: Length) -> Segment:
    """Train the host's mask on the weights that the dense network has at `point`, from there."""
    lineage = host.lineage
    step = lineage.recipe.steps(point)
    dense = lineage.trunk
    if not dense.first <= step <= dense.last:
        where = f"beyond the end of training, step {dense.last}; give an earlier one"
        where = where if step > dense.last else f"before the dense training, which begins at {dense.first}"
        raise ConfigError(f"Perturb.at = {point}: step {step} lies {where}")
    if (
        dense.draw is not None
        and step > dense.draw.earliest
        and lineage.dense.end != Snapshot(dense.trajectory, lineage.recipe.total_steps)
    ):
        raise ConfigError(
            f"Perturb.at = {point}: step {step} may lie beyond the draw (Prune.at = EarlyBird(...)) that ends "
            f"training, which may be at step {dense.draw.earliest}; give an earlier one, or Prune.whole_dense = True"
        )
    return replace(host.segment.settled, start=Snapshot(dense.trajectory, step), first=step, first_of=None)


def pretrain(host: Host, branch: Pretrain, seed: Seed) -> Iterable[Asked]:
    """Train on another task first, then on the ticket's own (Frankle, Schwab & Morcos 2020, section 6)."""
    lineage, mask = host.lineage, Copied(host.segment.key)
    given = lineage.recipe
    before = lineage.before(branch.data(given.data), branch.length)
    pretraining = lineage.whole(lineage.origin, mask if branch.sparse else None, before)
    after = lineage.whole(Transplanted(pretraining.end, lineage.drawn), mask)
    name = f"pretraining/{'-'.join(told(branch))}"
    yield Asked(((name, pretraining), ("", after)))


def check_same_metric(field: str, given: Recipe, other: Recipe) -> None:
    """Raise ConfigError where a branch's data are judged by another metric than the study's; field: what gives them."""
    ours, theirs = given.data.metric, other.data.metric
    if ours.name != theirs.name:
        raise ConfigError(
            f"{field}: its networks would be judged by {theirs.called}, the study's by {ours.called}: one study "
            f"compares all of its networks by one metric; give data that are judged by {ours.called}"
        )
