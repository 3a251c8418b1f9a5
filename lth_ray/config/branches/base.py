"""A branch: an experiment hung on a finished ticket."""

from abc import ABC
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from lth_ray.config.base import Config, many, maybe, option, whole
from lth_ray.config.keys import meaning
from lth_ray.config.tasks.base import TaskConfig


def _branch(value: Any) -> "Branch":
    if not isinstance(value, Branch):
        raise ValueError("give branches, such as RandomReinit()")
    return value


@dataclass(frozen=True)
class Branch(Config, ABC):
    """A question asked of a finished ticket.

    A new one is a subclass and a function, see lth_ray.lottery.branches.

    rounds: the rounds it is hung on (None: all; those from 1 on where it needs a mask).
    branches: further branches, hung on this one's result.
    """

    of_dense: ClassVar[bool] = False  # whether round 0, which has no mask, has one too
    is_control: ClassVar[bool] = False  # whether tickets are compared with it: verdicts, figures, MLflow

    _: KW_ONLY
    rounds: Sequence[int] | None = option(
        None, check=maybe(many(whole(0), "give a list of rounds", distinct=True)), means=False
    )
    branches: Sequence["Branch"] = option((), check=many(_branch, "give a list of branches"), means=False)

    def parameters(self) -> dict[str, Any]:
        """Return its own fields as plain values: columns of its results."""
        return {name: value for name, value in meaning(self).items() if value is not None}

    def data(self, given: TaskConfig) -> TaskConfig | None:
        """Return the data it trains on, or None where that is `given`, the study's."""
        return None
