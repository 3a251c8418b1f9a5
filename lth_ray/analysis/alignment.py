"""Aligning the hidden units of one network to another's: by weights, after Ainsworth, Hayase & Srinivasa 2022, or by
activations.

Copies from different initialisations may compute alike with their units in another order; the line between them
crosses a barrier that says nothing until the order is made the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import nn

from lth_ray.analysis.activations import Batch, Caller, called, match_activations
from lth_ray.analysis.states import Tensors, require_same
from lth_ray.config import ConfigError, subseed
from lth_ray.data.order import permutation
from lth_ray.models import Coupling, coupled

Places = Sequence[Mapping[int, torch.Tensor]]  # of a tensor: see Coupling.places


def align(
    model: nn.Module,
    state_a: Tensors,
    state_b: dict[str, torch.Tensor],
    example: tuple[Any, ...],
    *,
    seed: int = 0,
    iterations: int = 100,
    in_place: bool = False,
    examples: Iterable[Batch] | None = None,
    caller: Caller | None = None,
) -> dict[str, torch.Tensor]:
    """Return state_b with its hidden units in the order that brings its weights nearest to state_a's
    (algorithm 1), or its activations on `examples`, see `activations.match_activations`.

    Inputs and outputs keep their order, and the network's function stays that of state_b. By weights the optimum is a
    local one.

    model: of the states' architecture; its own weights are neither read nor changed.
    example: what the model is called with for one example, whose shapes alone matter: see `models.coupled`,
        which says what the units are.
    seed: of the order in which groups of units are taken up.
    iterations: passes over the groups, at most.
    in_place: put the new tensors into the dict state_b itself, one after another, so that no third copy is
        held.
    examples: batches, inputs first, on the model's device; None matches by weights.
    caller: gives for a network what calls it on a batch; None: on its inputs.

    Errors: ConfigError as in `models.coupled`, for states of different networks, and for NaN or infinite
    weights.
    """
    require_same(state_a, state_b)
    require_same(model.state_dict(), state_a, ("the model", "the states"))
    coupling = coupled(model, example)
    if examples is None:
        weights = {name: state_a[name] for name, _ in model.named_parameters()}
        orders = match(coupling, weights, state_b, seed, iterations)
    else:
        orders = match_activations(model, coupling, state_a, state_b, examples, caller or called)
    aligned = state_b if in_place else dict(state_b)
    for name in coupling.units:
        aligned[name] = reorder(aligned[name], coupling.places(name), orders)
    return aligned


def match(coupling: Coupling, weights_a: Tensors, state_b: Tensors, seed: int, iterations: int) -> list[torch.Tensor]:
    """Return for each group the unit of b that comes to each place, int64 [size], on the CPU.

    One group after another is matched exactly (a linear assignment) while the others stay as they are, until
    none changes.

    weights_a: what is compared; running statistics, which have another scale, are left out of it.
    """
    places = {name: coupling.places(name) for name in coupling.units if name in weights_a}
    members: list[list[tuple[str, int]]] = [[] for _ in coupling.sizes]
    touching: list[set[int]] = [set() for _ in coupling.sizes]  # groups whose best order depends on this one's
    for name, axes in places.items():
        for axis, groups in enumerate(axes):
            for group in groups:
                members[group].append((name, axis))
                touching[group].update(*axes[:axis], *axes[axis + 1 :])
    orders = [torch.arange(size) for size in coupling.sizes]
    unsettled = set(range(len(orders)))
    for iteration in range(iterations):
        for group in permutation(subseed(seed, "alignment"), iteration, len(orders)).tolist():
            if group not in unsettled:
                continue
            unsettled.discard(group)
            similarity = np.zeros((coupling.sizes[group],) * 2)
            for name, axis in members[group]:
                similarity += _similarity(weights_a[name], state_b[name], places[name], axis, group, orders)
            better = _better(similarity, orders[group])
            if better is not None:
                orders[group] = better
                unsettled |= touching[group]
        if not unsettled:
            break
    return orders


def reorder(
    tensor: torch.Tensor, places: Places, orders: Sequence[torch.Tensor], skipped: int | None = None
) -> torch.Tensor:
    """Return a tensor, or a mask of it, with its units in a new order along each axis but the skipped one.

    places: of its units, along each axis.
    orders: by group, the unit that comes to each place.
    """
    for axis, groups in enumerate(places):
        if groups and axis != skipped:
            source = torch.arange(tensor.shape[axis])
            for group, own in groups.items():
                source[own.flatten()] = own[orders[group]].flatten()
            tensor = tensor.index_select(axis, source.to(tensor.device))
    return tensor


def _similarity(
    a: torch.Tensor, b: torch.Tensor, places: Places, axis: int, group: int, orders: Sequence[torch.Tensor]
) -> NDArray[np.float64]:
    """Return [i, j]: the inner product of what unit i of a and unit j of b have along this axis, b's others
    in order.
    """
    own = places[axis][group]
    rows_a = _rows(a.detach(), axis, own)
    rows_b = _rows(reorder(b.detach().to(a), places, orders, skipped=axis), axis, own)
    products: NDArray[np.float64] = (rows_a @ rows_b.T).double().cpu().numpy()
    return products


def _rows(tensor: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    """Return [units, what each has along an axis]."""
    flat = places.flatten()
    if not torch.equal(flat, torch.arange(tensor.shape[axis])):  # else nothing need be copied
        tensor = tensor.index_select(axis, flat.to(tensor.device))
    return tensor.movedim(axis, 0).reshape(len(places), -1)


def _better(similarity: NDArray[np.float64], order: torch.Tensor) -> torch.Tensor | None:
    """Return the best order of a group, None where it gains nothing over `order` beyond rounding."""
    if not np.isfinite(similarity).all():
        raise ConfigError("the states hold NaN or infinite weights: leave out copies whose training diverged")
    rows, best = linear_sum_assignment(similarity, maximize=True)
    gain = (similarity[rows, best] - similarity[rows, order.numpy()]).sum()
    return torch.from_numpy(best) if gain > 1e-6 * np.abs(similarity).max() else None
