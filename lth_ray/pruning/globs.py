"""Globs over parameter names, as in Prune(include, exclude) and in a fraction for each parameter.

fnmatch's rules, case-sensitive: * matches any characters, dots included; ? one; [abc] one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from lth_ray.config import ConfigError


def select(
    prunable: Iterable[str],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    parameters: Iterable[str] | None = None,
) -> list[str]:
    """Return `prunable` and whatever else of `parameters` a glob of `include` matches, less what one of
    `exclude` matches.

    parameters: all names of the network, in order (None: there are no others).
    Errors: ConfigError for a glob that matches nothing, and when nothing is left.
    """
    prunable = list(prunable)
    names = prunable if parameters is None else list(parameters)
    chosen = {*prunable, *_matched("Prune.include", include, names)} - _matched("Prune.exclude", exclude, names)
    if not chosen:
        if exclude:
            raise ConfigError(
                f"Prune.exclude = {list(exclude)!r} leaves nothing to prune; there are {', '.join(names)}"
            )
        raise ConfigError(
            "the network has no convolution and no linear layer, which leaves nothing to prune; name other parameters "
            f"by Prune(include=...); there are {', '.join(names) or 'none'}"
        )
    return [name for name in names if name in chosen]


def fraction_of_each(fractions: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    """Spread {glob: fraction} over the parameters: each matches exactly one glob, each glob some parameter."""
    return of_each(fractions, names, "Prune.fraction")


def of_each(values: Mapping[str, float], names: Iterable[str], field: str) -> dict[str, float]:
    """Spread {glob: number} over the parameters: each matches exactly one glob, each glob some parameter.

    field: what `values` is called in a study, for errors.
    """
    names = list(names)
    spread = some_of_each(values, names, field)
    for name in (name for name in names if name not in spread):
        raise ConfigError(
            f"{field}: {name!r} matches none of {list(values)}; let exactly one glob match each parameter"
        )
    return spread


def some_of_each(values: Mapping[str, float], names: Iterable[str], field: str) -> dict[str, float]:
    """Spread {glob: number} over the parameters that match one glob, each at most; each glob matches some."""
    names = list(names)
    for glob in values:
        _matched(field, [glob], names)
    spread = {}
    for name in names:
        matching = [glob for glob in values if fnmatchcase(name, glob)]
        if len(matching) > 1:
            raise ConfigError(f"{field}: {name!r} matches {matching}; let exactly one glob match each parameter")
        if matching:
            spread[name] = values[matching[0]]
    return spread


def _matched(field: str, globs: Iterable[str], names: Sequence[str]) -> set[str]:
    matched: set[str] = set()
    for glob in globs:
        hits = [name for name in names if fnmatchcase(name, glob)]
        if not hits:
            raise ConfigError(f"{field}: glob {glob!r} matches no parameter; there are {', '.join(names)}")
        matched.update(hits)
    return matched
