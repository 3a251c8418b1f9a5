"""The progress of a training, beside what its run holds."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lth_ray.training import Pause, Start


@dataclass
class Progress:
    """The things that a training holds beside its run, across interruptions.

    seconds: spent on it before `began` (time.monotonic()).
    environments: in which it was trained, the present one last.
    contents: of the states kept so far, by step.
    training_s: spent here in training and evaluation.
    usage: what that took of this machine, `Usage.columns`.
    """

    start: Start
    environments: list[dict[str, Any]]
    began: float
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    seconds: float = 0.0
    contents: dict[int, str] = field(default_factory=dict)
    training_s: float = 0.0
    usage: dict[str, list[float]] = field(default_factory=dict)

    @property
    def spent_s(self) -> float:
        return self.seconds + time.monotonic() - self.began

    def timed(self, pauses: Iterator[Pause]) -> Iterator[Pause]:
        """Yield the pauses; the time until each is training's, and what is done at one is not."""
        began = time.monotonic()
        for pause in pauses:
            self.training_s += time.monotonic() - began
            yield pause
            began = time.monotonic()
