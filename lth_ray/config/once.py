"""Functions of frozen configs that are done once of each: of a hundred thousand lineages nearly all have the same."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")


def once_each(make: Callable[[Any], T]) -> Callable[[Any], T]:
    """Let a function of one frozen object keep what it returns with the object. Nobody may change that."""
    name = f"_{make.__module__}.{make.__name__}"

    @wraps(make)
    def made(of: Any) -> T:
        kept = vars(of)
        if name not in kept:
            kept[name] = make(of)
        found: T = kept[name]
        return found

    return made
