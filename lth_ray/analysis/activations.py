"""Matching the units of two networks by what they do: by the correlation of their activations on the same examples."""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from lth_ray.analysis.states import Tensors
from lth_ray.config import ConfigError
from lth_ray.models import Coupling
from lth_ray.models.tied import evaluating

Batch = tuple[Tensor, ...]
Caller = Callable[[nn.Module], Callable[[Batch], Any]]
Readers = dict[str, dict[int, Tensor]]  # {layer: {group: int64 [units, positions of each]}} of its input channels
CHANNELS = {nn.Linear: -1, nn.Conv1d: 1, nn.Conv2d: 1, nn.Conv3d: 1}  # the axis of a layer's input that these are
CONSTANT = 1e-12  # of a mean square, the variance that rounding makes


def called(model: nn.Module) -> Callable[[Batch], Any]:
    """Return what calls a network on a batch, inputs first."""
    return lambda batch: model(batch[0])


def match_activations(
    model: nn.Module,
    coupling: Coupling,
    state_a: Tensors,
    state_b: Tensors,
    examples: Iterable[Batch],
    caller: Caller = called,
) -> list[Tensor]:
    """Return for each group the unit of b that comes to each place, int64 [size], on the CPU.

    Two units are as alike as their activations correlate over examples and places in an image (Li et al. 2016,
    "Convergent learning"), and the pairs of a group are those with the greatest sum (a linear assignment). Activations
    are what linear layers and convolutions are given, so behind nonlinearities and normalisations; where several
    read a group, as on a residual path, correlations add up. A unit that never changes correlates with none.

    Errors: ConfigError for a group that no such layer reads, and for no examples.
    """
    found = readers(model, coupling)
    networks = [copy.deepcopy(model) for _ in range(2)]
    for network, state in zip(networks, (state_a, state_b), strict=True):
        network.load_state_dict(state)
    sums: dict[tuple[str, int], list[Tensor]] = {}
    for batch in examples:
        read = [_read(network, found, batch, caller) for network in networks]
        for name, groups in found.items():
            for group, places in groups.items():
                a, b = (_of_units(given[name], places) for given in read)
                parts = [torch.tensor(float(a.shape[1])), a.sum(1), b.sum(1), (a * a).sum(1), (b * b).sum(1), a @ b.T]
                before = sums.get((name, group))
                sums[name, group] = parts if before is None else [x + y for x, y in zip(before, parts, strict=True)]
    if found and not sums:
        raise ConfigError("examples: there is none to compare activations on; give batches of training examples")
    if not all(one.isfinite().all() for parts in sums.values() for one in parts):
        raise ConfigError("activations are NaN or infinite: leave out copies whose training diverged")
    alike = [torch.zeros(size, size, dtype=torch.float64) for size in coupling.sizes]
    for (_, group), parts in sums.items():
        alike[group] += _correlations(*parts)
    return [torch.from_numpy(linear_sum_assignment(one.numpy(), maximize=True)[1]) for one in alike]


def readers(model: nn.Module, coupling: Coupling) -> Readers:
    """Return the layers that read units. Raise ConfigError for a group of units that none reads."""
    found: Readers = defaultdict(dict)
    for path, layer in model.named_modules():
        name = f"{path}.weight" if path else "weight"
        if type(layer) in CHANNELS and name in coupling.units and getattr(layer, "groups", 1) == 1:
            found[path].update(coupling.places(name)[1])
    unread = set(range(len(coupling.sizes))) - {group for groups in found.values() for group in groups}
    if unread:
        name = next(name for name in coupling.units if any(unread & along.keys() for along in coupling.places(name)))
        raise ConfigError(
            f"the units of {name!r} are read by no linear layer or convolution, by whose inputs they could be matched"
        )
    return dict(found)


@torch.no_grad()
def _read(network: nn.Module, found: Mapping[str, Any], batch: Batch, caller: Caller) -> dict[str, Tensor]:
    """Return what each reader is given on a batch, float64 [input channels, samples]."""
    given: dict[str, list[Tensor]] = defaultdict(list)

    def hook(name: str, axis: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, inputs: given[name].append(inputs[0].movedim(axis, 0).flatten(1).double())

    layers = dict(network.named_modules())
    hooks = [layers[name].register_forward_pre_hook(hook(name, CHANNELS[type(layers[name])])) for name in found]
    try:
        with evaluating(network):
            caller(network)(batch)
    finally:
        for one in hooks:
            one.remove()
    return {name: torch.cat(parts, dim=1) for name, parts in given.items()}


def _of_units(given: Tensor, places: Tensor) -> Tensor:
    """Return [units, samples], those of all of a unit's positions one behind the other."""
    return given[places.flatten().to(given.device)].view(len(places), -1)


def _correlations(n: Tensor, a: Tensor, b: Tensor, aa: Tensor, bb: Tensor, ab: Tensor) -> Tensor:
    """Return [units of a, units of b] of sums over samples; 0 where a unit's activation is constant."""
    n, a, b, aa, bb, ab = (one.cpu() for one in (n, a, b, aa, bb, ab))
    together = ab / n - torch.outer(a, b) / n**2
    spread = torch.outer(_spread(a / n, aa / n), _spread(b / n, bb / n))
    alike: Tensor = torch.where(spread > 0, together / spread, 0.0)
    return alike


def _spread(mean: Tensor, squares: Tensor) -> Tensor:
    """Return the standard deviation of each unit, 0 where it is rounding alone."""
    variance = squares - mean**2
    return torch.where(variance > CONSTANT * squares, variance, 0.0).sqrt()
