"""The clock that tells when a checkpoint is due in the middle of a segment."""

import math
import sys
import time
from collections.abc import Callable

import torch

from lth_ray.training.team import ALONE, Team

SOON_S = 0.1  # a clock that is due more often is asked at every step
AT_A_TIME = 64  # steps that a compiled or captured stepper takes between two looks at the clock
LOOK_EVERY_S = 1.0  # how often the processes of a team agree on whether a checkpoint is due


class Clock:
    """A clock that tells when a checkpoint is due: every so many seconds or steps, and each time that
    somebody asks for one.

    notices: how often one was asked for so far (a node about to be preempted, a driver told to end); cheap, as it is
        read at every step.
    written: called whenever a checkpoint is in storage.

    In a team all processes get the same answer: they agree on it about once a second, at a step that they have agreed
    on as well, since no exchange may cost every step.
    """

    def __init__(
        self,
        every_s: float = math.inf,
        every_steps: int | None = None,
        notices: Callable[[], int] = lambda: 0,
        written: Callable[[], None] = lambda: None,
    ) -> None:
        self.every_s, self.every_steps, self.notices, self.written = every_s, every_steps, notices, written
        self.team, self.device = ALONE, torch.device("cpu")
        self.noticed = notices()
        self.begin(0)
        self.step: int | None = None  # where training is, for those who look on; None before it has begun

    def join(self, team: Team, device: torch.device) -> "Clock":
        """Return itself, from now on the clock of one of `team`, whose exchanges go through `device`."""
        self.team, self.device = team, device
        return self

    def begin(self, step: int) -> None:
        """Count from `step`: a checkpoint was taken there, or training sets out from there."""
        self.since, self.first, self.step = time.monotonic(), step, step
        self.looked, self.looked_at, self.look_at = self.since, step, step + 1

    def ahead(self, step: int) -> int:
        """Return the steps that may be taken from `step` on before `due` is asked again."""
        if self.team.size > 1 or self.every_s < SOON_S:
            return 1
        return sys.maxsize if self.every_steps is None else max(1, self.first + self.every_steps - step)

    def due(self, step: int) -> bool:
        """Return whether a checkpoint is to be taken at `step`.

        In a team a collective: all ask at every step.
        """
        self.step = step
        if self.team.size == 1:
            return self._own(step)
        if step < self.look_at:
            return False
        now = time.monotonic()
        took = (now - self.looked) / max(1, step - self.looked_at)
        ahead = int(min(LOOK_EVERY_S, self.every_s) / took) if took > 0 else 1
        ahead = min(ahead, 2 * (step - self.looked_at))
        if self.every_steps is not None:
            ahead = min(ahead, self.first + self.every_steps - step)
        self.looked, self.looked_at = now, step
        due, self.look_at = self.team.largest(
            [int(self._own(step)), step + max(1, ahead) if self.team.leads else 0], self.device
        )
        return bool(due)

    def _own(self, step: int) -> bool:
        """Return whether this process holds one to be due."""
        asked = self.notices()
        if asked > self.noticed:
            self.noticed = asked
            return True
        if self.every_steps is not None and step - self.first >= self.every_steps:
            return True
        return time.monotonic() - self.since >= self.every_s
