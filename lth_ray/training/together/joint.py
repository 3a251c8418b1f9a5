"""The stepper of several runs of one recipe, in step with each other, as those see it that train segments by
it.
"""

import copy
from collections.abc import Sequence
from typing import Protocol

from lth_ray.training.clock import Clock
from lth_ray.training.loop import Run, take_steps
from lth_ray.training.recipe import Recipe
from lth_ray.training.stepper import Stepper


class JointStepper(Stepper, Protocol):
    """A stepper of `runs`, which are all at one step; those without a key only keep a place."""

    runs: Sequence[Run]

    @property
    def recipe(self) -> Recipe:
        return self.runs[0].recipe

    @property
    def step(self) -> int:
        """The optimizer steps that each run has taken."""
        return self.runs[0].step

    def leave(self, run: Run) -> None:
        """Let `run`, which has ended, stay as it is now; a stand-in without a key keeps its place among the others."""

    def finite(self) -> list[bool]:
        """Return of each run whether its training can go on: loss and weights are neither NaN nor infinite."""


def train_together(joint: JointStepper, stop: int, clock: Clock | None = None) -> bool:
    """Train all runs at once, as lth_ray.training.train does one; return whether a checkpoint is due.

    Afterwards every run looks as if trained by itself.
    """
    return take_steps(joint, joint.runs, stop, clock)


def stand_in(run: Run) -> Run:
    """Return what keeps the place of a run that has ended; it has no key."""
    left = copy.copy(run)
    left.key = ""
    return left
