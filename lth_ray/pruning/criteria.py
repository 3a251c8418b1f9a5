"""The table of pruning criteria: a new one is a function of Evidence, in its family's file, and an entry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import nn

from lth_ray.config import ConfigError, nearest
from lth_ray.pruning.channels import BN_SCALE
from lth_ray.pruning.evidence import Batch, Evidence, Loss, NoGradient
from lth_ray.pruning.gradient_scores import grad, grasp, grasp_abs, snip
from lth_ray.pruning.synflow import synflow
from lth_ray.pruning.weight_scores import (
    diff_sign,
    large_init,
    large_init_large_final,
    magnitude,
    magnitude_increase,
    movement,
    random,
    same_sign,
    small_final,
    small_init,
    small_init_small_final,
)

_INITIAL, _BATCH = frozenset({"initial"}), frozenset({"batch"})
_GRADIENT = 3  # forward, and twice that backward
_HESSIAN = _GRADIENT + 3 * _GRADIENT  # the gradient g, then one that is derived again, for H g


@dataclass(frozen=True)
class Criterion:
    """A pruning criterion.

    scores: higher is kept.
    needs: arguments of `score` that it cannot do without.
    may_use: others that change it.
    passes: the forward passes of an example that its scores take; a derivative takes twice what it is derived from.
    of_shapes: of the batch it looks at the shapes of its inputs alone: an example of zeros will do.
    excluded: the score of weights whose sign the *_same_sign and *_diff_sign variants turn down. 0 is what
        the authors' code gives them (among magnitude increases it ranks above the weights that shrank); where
        every score is below 0 that would keep just these weights, and they score -inf.
    """

    scores: Callable[[Evidence], dict[str, torch.Tensor]]
    needs: frozenset[str] = frozenset()
    may_use: frozenset[str] = frozenset()
    excluded: float = 0.0
    of_shapes: bool = False
    passes: int = 0


def _none_of_weights(evidence: Evidence) -> dict[str, torch.Tensor]:
    raise ConfigError("Prune.criterion: it ranks units and no single weights; give structure='channels'")


_ZHOU = {
    "large_final": Criterion(magnitude),
    "small_final": Criterion(small_final, excluded=-inf),
    "large_init": Criterion(large_init, _INITIAL),
    "small_init": Criterion(small_init, _INITIAL, excluded=-inf),
    "large_init_large_final": Criterion(large_init_large_final, _INITIAL),
    "small_init_small_final": Criterion(small_init_small_final, _INITIAL),
    "magnitude_increase": Criterion(magnitude_increase, _INITIAL),
    "movement": Criterion(movement, _INITIAL),
}
_SIGNED = {
    f"{name}_{sign}": replace(criterion, scores=where(criterion.scores, criterion.excluded), needs=_INITIAL)
    for name, criterion in _ZHOU.items()
    for sign, where in {"same_sign": same_sign, "diff_sign": diff_sign}.items()
}
CRITERIA: dict[str, Criterion] = {
    "magnitude": Criterion(magnitude),
    BN_SCALE: Criterion(magnitude),  # of scales alone
    "random": Criterion(random),
    **_ZHOU,
    **_SIGNED,
    "snip": Criterion(snip, _BATCH, may_use=_INITIAL, passes=_GRADIENT),
    "grad": Criterion(grad, _BATCH, may_use=_INITIAL, passes=_GRADIENT),
    "grasp": Criterion(grasp, _BATCH, may_use=_INITIAL, passes=_HESSIAN),
    "grasp_abs": Criterion(grasp_abs, _BATCH, may_use=_INITIAL, passes=_HESSIAN),
    "synflow": Criterion(synflow, _BATCH, of_shapes=True, passes=_GRADIENT),
}


OF_UNITS: dict[str, Criterion] = {  # of channels, heads or neurons alone: lth_ray.pruning.structured has their scores
    **{name: Criterion(_none_of_weights) for name in ("l1", "l2", "geometric_median")},
    "taylor": Criterion(_none_of_weights, _BATCH, passes=_GRADIENT),
    "thinet": Criterion(_none_of_weights, _BATCH, passes=1),
}


def needs(criterion: str) -> frozenset[str]:
    """Return those of "initial" and "batch" that `score` refuses this criterion without."""
    return criterion_of(criterion).needs


def uses(criterion: str) -> frozenset[str]:
    """Return those of "initial" and "batch" that this criterion's scores depend on, where they are given."""
    return criterion_of(criterion).needs | criterion_of(criterion).may_use


def score(
    criterion: str,
    model: nn.Module,
    mask: Mapping[str, torch.Tensor],
    *,
    initial: Mapping[str, torch.Tensor] | None = None,
    batch: Batch | list[Batch] | None = None,
    seed: int = 0,
    loss: Loss | None = None,
    mode: str = "train",
) -> dict[str, torch.Tensor]:
    """Return a score for each weight that the mask covers, of its shape; the lowest are pruned.

    The model is left as it was.

    criterion: a key of CRITERIA.
    model: holds the weights at the end of training.
    initial: state dict at initialisation.
    batch: (inputs, labels) for gradients, which are taken at `initial` where that is given, else at the
        model's own weights; or a list of such, over which gradients are averaged.
    seed: of random scores.
    loss: fn(model, batch) -> (mean loss, anything), whose gradients they are; None for the cross entropy.
    mode: of batch norms then, "train" (the batch's statistics) or "eval" (stored ones).

    Errors: ConfigError for an unknown criterion or parameter, a missing argument, an `initial` of another
    network, and where no weight has a gradient.
    """
    given = {"initial": initial, "batch": batch}
    for argument in sorted(needs(criterion)):
        if given[argument] is None:
            raise ConfigError(f"Prune.criterion = {criterion!r}: {argument} = None, give {_REMEDIES[argument]}")
    batches = [batch] if isinstance(batch, tuple) else batch
    try:
        return criterion_of(criterion).scores(Evidence(model, mask, initial, batches, seed, loss, mode))
    except NoGradient as error:
        raise ConfigError(f"Prune.criterion = {criterion!r}: {error}") from error


_REMEDIES = {"initial": "the state dict at initialisation", "batch": "a batch (inputs, labels) of training images"}


def criterion_of(name: str) -> Criterion:
    """Return the criterion of that name, of weights or of units alone."""
    found = CRITERIA.get(name) or OF_UNITS.get(name)
    if found is None:
        raise ConfigError(f"Prune.criterion = {name!r}: {nearest(name, [*CRITERIA, *OF_UNITS])}")
    return found
