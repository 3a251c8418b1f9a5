"""The base of tasks as they are declared: of every kind of `Study(data=...)`.

What is done with a declaration is in lth_ray.tasks, one file for each.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from lth_ray.config.base import Config, option, whole
from lth_ray.config.tasks.metric import Metric


@dataclass(frozen=True)
class TaskConfig(Config, ABC):
    """A declaration of what a network learns and from what: examples, how they are batched, and their metric.

    batch_size: examples in a global batch, whatever the number of workers.
    validation: examples taken out of those to train on (by the constant `split_seed`); 0 for none.
    """

    _: KW_ONLY
    batch_size: int = option(check=whole(1))
    validation: int = option(check=whole(0))

    @property
    @abstractmethod
    def metric(self) -> Metric:
        """The metric that its networks are judged by."""

    @property
    def called(self) -> str:
        """Its name where results are listed."""
        return str(getattr(self, "name", type(self).__name__.lower()))

    def located(self, find: Callable[[str, str], str]) -> "TaskConfig":
        """Return the same with absolute paths to the folders that it takes beside its examples.

        find: gives one for (path, field).
        """
        return self

    def found_at(self, name: str) -> "TaskConfig":
        """Return the same by another name: its PATH made absolute. One that a function gives has none."""
        given: dict[str, Any] = {"name": name}
        return replace(self, **given) if isinstance(getattr(self, "name", None), str) else self
