"""The stepper: what the training loop, checkpoints and evaluations ask of whatever takes the steps of a
training.
"""

from typing import Any, Protocol

from lth_ray.tasks import Evaluation
from lth_ray.tasks.base import Loaded


class Stepper(Protocol):
    """Anything that takes the optimizer steps of a run, or of several trained together, and measures their
    networks.

    What it trains may lie in tensors of its own: from the first `advance` to the next `settle` a run's model and
    optimizer need not hold it.
    """

    @property
    def name(self) -> str:
        """The backend, as it is recorded: one of lth_ray.training.backends."""

    def advance(self, limit: int) -> int:
        """Take at least one step of every run and at most `limit`, from the step that the runs are at; add their
        losses to the runs'; return the steps taken. On a GPU they may still be under way.
        """

    def settle(self) -> None:
        """Give each run's model and optimizer what training has made of them."""

    def close(self) -> None:
        """Give back what only taking steps needs, such as a captured graph; a further step begins anew."""
        return None  # most need nothing

    def evaluate(self, dataset: Loaded, split: Any) -> list[Evaluation]:
        """Measure the network of each run, in evaluation mode, over every example of a split once."""
