"""Criteria that rank units: norms of filters, scales of batch norms, first-order Taylor terms, reconstruction.

A criterion of weights ranks units, too: by the sum of its scores over what is left of the weights that make one, so
that "magnitude" is "l1". Where several weights make a unit (the convolutions that a shortcut adds up), it is the mean
or the sum of what each gives it, as `coupled` says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lth_ray.config import ConfigError
from lth_ray.data.order import uniform
from lth_ray.models import Slices, UnitLayer
from lth_ray.pruning.criteria import needs, score
from lth_ray.pruning.evidence import Batch, Evidence, Loss, NoGradient
from lth_ray.pruning.gradient_scores import weights_and_gradients
from lth_ray.pruning.structured.masks import with_units
from lth_ray.pruning.structured.thinet import greedy_orders


@dataclass(frozen=True)
class Units:
    """The arguments of a criterion of units.

    layers: whose units are ranked. kept: {layer: bool [units]}. evidence: its mask covers all that the units have.
    coupled: "mean" or "sum".
    """

    layers: Sequence[UnitLayer]
    kept: Mapping[str, Tensor]
    evidence: Evidence
    coupled: str = "mean"

    def over(self, given: Sequence[Tensor]) -> Tensor:
        """Return one score for each unit, of those that each weight gives it."""
        every = torch.stack(list(given))
        return every.mean(0) if self.coupled == "mean" else every.sum(0)

    def norms(self, of: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return scores by the weights of each filter, [units, weights] -> [units]."""
        weights = self.evidence.masked()
        return {
            layer.name: self.over([of(one.of(weights[one.name])) for one in layer.weights]) for layer in self.layers
        }


Scores = dict[str, Tensor]


def _l1(units: Units) -> Scores:
    """Score by the sum of |w| over a unit's weights (Li et al. 2017)."""
    return units.norms(lambda rows: rows.abs().sum(1))


def _l2(units: Units) -> Scores:
    """Score by the root of the sum of w^2 over a unit's weights."""
    return units.norms(lambda rows: rows.square().sum(1).sqrt())


def _geometric_median(units: Units) -> Scores:
    """Score by the sum of a filter's distances from the others that are left of its layer (He et al. 2019, FPGM)."""
    weights = units.evidence.masked()

    def distances(one: Slices, kept: Tensor) -> Tensor:
        rows = one.of(weights[one.name])
        return torch.cdist(rows, rows[kept.to(rows.device)], compute_mode="donot_use_mm_for_euclid_dist").sum(1)

    return {
        layer.name: units.over([distances(one, units.kept[layer.name]) for one in layer.weights])
        for layer in units.layers
    }


def _bn_scale(units: Units) -> Scores:
    """Score by |scale| of a unit's batch norms (Liu et al. 2017)."""
    without = [layer.name for layer in units.layers if not layer.scales]
    if without:
        raise ConfigError(
            f"Prune.criterion = 'bn_scale': no batch norm scales the units of {', '.join(without)}; leave these out by "
            "Prune(exclude=...), or use another criterion"
        )
    values = units.evidence.masked()
    return {
        layer.name: units.over([one.of(values[one.name]).abs().sum(1) for one in layer.scales])
        for layer in units.layers
    }


def _taylor(units: Units) -> Scores:
    """Score by |sum of g w| over all that makes a unit: weights, biases, normalisations; g is the gradient of the mean
    loss. It is the first-order change of the loss without the unit (Molchanov et al. 2017, 2019).

    Of filters under a batch norm alone it would be zero: the loss does not depend on their norm.
    """
    weights, gradients = weights_and_gradients(units.evidence)
    products = {name: weight * gradients[name] for name, weight in weights.items()}
    return {
        layer.name: torch.stack([one.of(products[one.name]).sum(1) for one in (*layer.weights, *layer.own)])
        .sum(0)
        .abs()
        for layer in units.layers
    }


def _random(units: Units) -> Scores:
    """Return uniform scores in [0, 1); those of a layer depend on (seed, its name) alone."""
    seed = units.evidence.seed
    return {layer.name: uniform(seed, f"score/{layer.name}", layer.size) for layer in units.layers}


def _thinet(units: Units) -> Scores:
    """Score by the order in which ThiNet removes units: see lth_ray.pruning.structured.thinet."""
    return greedy_orders(units.evidence, units.layers, units.kept)


UNIT_CRITERIA: dict[str, Callable[[Units], Scores]] = {
    "l1": _l1,
    "l2": _l2,
    "geometric_median": _geometric_median,
    "bn_scale": _bn_scale,
    "random": _random,
    "taylor": _taylor,
    "thinet": _thinet,
}


def score_units(
    criterion: str,
    model: nn.Module,
    layers: Sequence[UnitLayer],
    kept: Mapping[str, Tensor],
    *,
    initial: Mapping[str, Tensor] | None = None,
    batch: Batch | list[Batch] | None = None,
    seed: int = 0,
    loss: Loss | None = None,
    mode: str = "train",
    coupled: str = "mean",
) -> Scores:
    """Return {layer: a score for each of its units}; the lowest are pruned. The model is left as it was.

    criterion: of UNIT_CRITERIA or CRITERIA.
    kept: {layer: bool [units]}, the units that are still there.
    coupled: "mean" or "sum" of what the several weights that make a unit give it.
    The others are those of lth_ray.pruning.score, and so are the errors.
    """
    mask = with_units(kept, layers, dict(model.named_parameters()))
    if criterion not in UNIT_CRITERIA:
        given = score(criterion, model, mask, initial=initial, batch=batch, seed=seed, loss=loss, mode=mode)
        given = {name: one.masked_fill(~mask[name].to(one.device), 0.0) for name, one in given.items()}
        units = Units(layers, kept, Evidence(model, mask, initial, None, seed), coupled)
        return {layer.name: units.over([one.of(given[one.name]).sum(1) for one in layer.weights]) for layer in layers}
    batches = [batch] if isinstance(batch, tuple) else batch
    if needs(criterion) and batches is None:
        raise ConfigError(f"Prune.criterion = {criterion!r}: batch = None, give a batch (inputs, labels)")
    try:
        evidence = Evidence(model, mask, initial, batches, seed, loss, mode)
        return UNIT_CRITERIA[criterion](Units(layers, kept, evidence, coupled))
    except NoGradient as error:
        raise ConfigError(f"Prune.criterion = {criterion!r}: {error}") from error
