"""Distances between copies of a network: L2 distance, angle, share of the distance travelled, distance to a line.

All are over the same weights: those of `names`, under `mask`. Parameters are read one after another, in pieces and
in float64, so that nothing but the states themselves is held in memory.

states a, b, start: state dicts. names: parameters (None: the mask's, else every floating tensor that is not a running
statistic of batch norm). mask: {parameter: bool}, True counts; parameters that it does not cover count whole.
Errors: ConfigError for a name that is not there and for states or masks of different networks.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch

from lth_ray.analysis.states import Tensors, pieces, require_same, selected
from lth_ray.config import ConfigError

Names = Iterable[str] | None
_STATISTICS = ("running_mean", "running_var")


def l2_distance(a: Tensors, b: Tensors, names: Names = None, mask: Tensors | None = None) -> float:
    """Return ||a - b||, d of Frankle et al. 2019 (stabilizing), where it is taken over the weights that a
    mask keeps.
    """
    return math.sqrt(sum(_squared(x - y) for x, y in _pairs(a, b, names, mask)))


def angle(a: Tensors, b: Tensors, names: Names = None, mask: Tensors | None = None) -> float:
    """Return the angle between a and b as vectors, in degrees, in [0, 180]; NaN where one of them is zero.

    The second measure of Frankle et al. 2019 (stabilizing, appendix). By Kahan's 2 atan2(|u - v|, |u + v|) on the
    unit vectors, since the arc cosine loses half of its digits at the small angles of stable copies.
    """
    names = None if names is None else list(names)  # passed over twice
    squares = [(_squared(x), _squared(y)) for x, y in _pairs(a, b, names, mask)]
    norm_a, norm_b = (math.sqrt(sum(column)) for column in zip(*squares, strict=True))
    if norm_a == 0 or norm_b == 0:
        return math.nan
    apart = together = 0.0
    for x, y in _pairs(a, b, names, mask):
        u, v = x.div_(norm_a), y.div_(norm_b)
        apart += _squared(u - v)
        together += _squared(u + v)
    return math.degrees(2 * math.atan2(math.sqrt(apart), math.sqrt(together)))


def share_travelled(start: Tensors, a: Tensors, b: Tensors, names: Names = None, mask: Tensors | None = None) -> float:
    """Return ||a - b|| over the mean of ||a - start|| and ||b - start|| (Frankle et al. 2020a); NaN where
    neither moved.

    0: the copies went to one place; 2: the opposite way; about sqrt(2): independently of each other.
    """
    names = None if names is None else list(names)  # passed over three times
    travelled = (l2_distance(a, start, names, mask) + l2_distance(b, start, names, mask)) / 2
    return l2_distance(a, b, names, mask) / travelled if travelled else math.nan


def to_segment(
    point: Tensors, a: Tensors, b: Tensors, names: Names = None, mask: Tensors | None = None
) -> tuple[float, float]:
    """Return the distance of `point` from the line segment between a and b, and alpha in [0, 1] of the nearest place
    on it, alpha x a + (1 - alpha) x b, as `linear_path` counts; 0 where a and b are one place.
    """
    names = None if names is None else list(names)  # passed over twice
    along = length = 0.0
    for p, x, y in _together((point, a, b), names, mask):
        along += float((p - y).dot(x - y))
        length += _squared(x - y)
    alpha = min(1.0, max(0.0, along / length)) if length else 0.0
    squares = sum(_squared(p - torch.lerp(y, x, alpha)) for p, x, y in _together((point, a, b), names, mask))
    return math.sqrt(squares), alpha


def _squared(vector: torch.Tensor) -> float:
    return float(vector.dot(vector))


def _pairs(a: Tensors, b: Tensors, names: Names, mask: Tensors | None) -> Iterator[list[torch.Tensor]]:
    """Yield the measured weights of both, in float64, piece by piece."""
    return _together((a, b), names, mask)


def _together(states: Sequence[Tensors], names: Names, mask: Tensors | None) -> Iterator[list[torch.Tensor]]:
    """Yield the measured weights of all states, in float64, piece by piece."""
    a, *others = states
    if names is None:
        names = [name for name in a if _is_weight(name, a[name])] if mask is None else mask
    a = selected(a, names)
    if not a:
        raise ConfigError("names: there is nothing to measure; give the names of parameters")
    for which, other in zip(("the second", "the third"), others, strict=False):
        require_same(a, {name: other[name] for name in a if name in other}, ("the first state", which))
    mask = {} if mask is None else {name: mask[name] for name in a if name in mask}
    require_same({name: a[name] for name in mask}, mask, ("the state", "the mask"))
    for name, weight in a.items():
        yield from pieces(weight, *(other[name] for other in others), keeps=mask.get(name))


def _is_weight(name: str, tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and not name.endswith(_STATISTICS)
