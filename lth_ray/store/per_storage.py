"""An object for each storage that a process uses, such as what it knows of that one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerStorage(Generic[T]):
    """One object for each storage, which all threads of this process share."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[str, T] = {}

    def of(self, uri: str) -> T:
        """Return a storage's object, made when it is asked for first."""
        return self._made.setdefault(uri, self._make())
