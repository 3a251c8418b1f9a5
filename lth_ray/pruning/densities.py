"""Densities of layers: how a network's remaining weights are spread over its layers before any weight is looked at."""

from collections.abc import Callable, Mapping, Sequence
from math import floor, prod

from lth_ray.config import ConfigError, nearest
from lth_ray.pruning.globs import of_each

Shapes = Mapping[str, Sequence[int]]  # of weights, from the input on; output units first
Rule = str | Mapping[str, float]

LINEAR_KEEPS = 0.3  # of a linear layer's weights, in Su et al. 2020


def layer_densities_of(rule: Rule, shapes: Shapes, density: float) -> dict[str, float]:
    """Return the density of each layer, in [0, 1], such that all layers together have `density`.

    rule: a key of RULES, or {glob of names: relative density}, each name matched once.
    shapes: by layer, from the input on.

    Errors: ConfigError for an unknown rule, a density outside (0, 1], and one that the rule cannot give.
    """
    if not 0 < density <= 1:
        raise ConfigError(f"density = {density!r}: give a share of all weights, in (0, 1]")
    if isinstance(rule, Mapping):
        return _in_proportion(of_each(rule, shapes, "Prune.densities"), _sizes(shapes), density)
    if rule not in RULES:
        raise ConfigError(f"Prune.densities = {rule!r}: {nearest(rule, RULES)}")
    return RULES[rule](shapes, density)


def kept_counts(rule: Rule, shapes: Shapes, density: float) -> dict[str, int]:
    """Return the number of weights that each layer keeps by `layer_densities_of`: round(density x all) of
    them together.

    Whole numbers that are nearest to the densities: each is rounded down, and what is then missing goes to the layers
    that lost most by it. Errors: as there; ConfigError where a layer would keep no weight.
    """
    sizes, each = _sizes(shapes), layer_densities_of(rule, shapes, density)
    exact = {name: each[name] * sizes[name] for name in sizes}
    counts = {name: floor(number + 1e-9) for name, number in exact.items()}  # 2.9999999999 is 3
    missing = round(density * sum(sizes.values())) - sum(counts.values())
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: max(0, missing)]:
        counts[name] += 1
    for name in (name for name, count in counts.items() if count < 1):
        raise ConfigError(
            f"Prune.densities = {rule!r} at density {density:.3g} would leave {exact[name]:.2g} of the "
            f"{sizes[name]:,} weights of {name!r}, less than one; give a higher density, another rule, or exclude it"
        )
    return counts


def _uniform(shapes: Shapes, density: float) -> dict[str, float]:
    """Give every layer the network's density."""
    return dict.fromkeys(shapes, density)


def _erdos_renyi_kernel(shapes: Shapes, density: float) -> dict[str, float]:
    """Spread in proportion to sum(shape) / prod(shape), so that the layers of many weights are the sparsest.

    After Evci et al. 2020, section 3, and Mocanu et al. 2018.
    """
    return _in_proportion({name: sum(shape) / prod(shape) for name, shape in shapes.items()}, _sizes(shapes), density)


def _smart_ratio(shapes: Shapes, density: float) -> dict[str, float]:
    """Spread in proportion to (L - l + 1)^2 + (L - l + 1) in convolution l of L layers; .3 in linear layers.

    After Su et al. 2020. What convolutions cannot hold goes to the next ones, as in the authors'
    code.
    """
    left = range(len(shapes), 0, -1)
    return _smart("smart_ratio", shapes, density, [n * n + n for n in left])


def _smart_ratio_vgg(shapes: Shapes, density: float) -> dict[str, float]:
    """Spread as smart_ratio does, a convolution's divided by l^2: the authors' code for VGG."""
    left = range(len(shapes), 0, -1)
    return _smart("smart_ratio_vgg", shapes, density, [(n * n + n) / at**2 for at, n in enumerate(left, start=1)])


RULES: dict[str, Callable[[Shapes, float], dict[str, float]]] = {
    "uniform": _uniform,
    "erk": _erdos_renyi_kernel,
    "smart_ratio": _smart_ratio,
    "smart_ratio_vgg": _smart_ratio_vgg,
}


def _in_proportion(relative: Mapping[str, float], sizes: Mapping[str, int], density: float) -> dict[str, float]:
    """Return min(1, c x relative), c such that all together have `density`.

    Layers above 1 are dense, and the others scaled again.
    """
    dense: set[str] = set()
    while True:
        others = [name for name in relative if name not in dense]
        left = density * sum(sizes.values()) - sum(sizes[name] for name in dense)
        room = sum(relative[name] * sizes[name] for name in others)
        found = {name: left / room * relative[name] if name in others else 1.0 for name in relative}
        over = {name for name in others if found[name] > 1}
        if not over:
            return found
        dense |= over


def _smart(rule: str, shapes: Shapes, density: float, relative: Sequence[float]) -> dict[str, float]:
    sizes = _sizes(shapes)
    linear = {name: LINEAR_KEEPS for name, shape in shapes.items() if len(shape) < 3}
    weights = {name: one for name, one in zip(shapes, relative, strict=True) if name not in linear}
    in_linear = sum(LINEAR_KEEPS * sizes[name] for name in linear)
    total, room = sum(sizes.values()), sum(sizes[name] for name in weights)
    goal = density * total - in_linear
    if not 0 < goal <= room:
        least, most = in_linear / total, (in_linear + room) / total
        raise ConfigError(
            f"Prune.densities = {rule!r}: with {LINEAR_KEEPS} of linear layers kept it reaches densities between "
            f"{least:.3g} and {most:.3g}, and not {density:.3g}; give one of these, or another rule"
        )
    scale = goal / sum(weights[name] * sizes[name] for name in weights)
    found, surplus = dict(linear), 0.0  # in weights
    for name in weights:
        wanted = scale * weights[name] * sizes[name] + surplus
        held = min(wanted, sizes[name])
        found[name], surplus = held / sizes[name], wanted - held
    return {name: found[name] for name in shapes}


def _sizes(shapes: Shapes) -> dict[str, int]:
    return {name: prod(shape) for name, shape in shapes.items()}
