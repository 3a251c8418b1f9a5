"""A training under way: what it is prepared with, its progress beside what its run holds, and what came of it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lth_ray.lottery.kept.records import Record, SegmentRecord
from lth_ray.lottery.pieces import Training
from lth_ray.pruning import Mask
from lth_ray.training import Pause, Start


@dataclass
class Progress:
    """The things that a training holds beside its run, across interruptions.

    seconds: spent on it before `began` (time.monotonic()).
    environments: in which it was trained, the present one last.
    contents: of the states kept so far, by step.
    training_s: spent here in training and evaluation.
    usage: what that took of this machine, `Usage.columns`.
    looks: what was looked at on the way, of draws (lth_ray.lottery.execution.looking).
    taken_up: the step up to which another training of its trajectory was taken up.
    """

    start: Start
    environments: list[dict[str, Any]]
    began: float
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    seconds: float = 0.0
    contents: dict[int, str] = field(default_factory=dict)
    training_s: float = 0.0
    usage: dict[str, list[float]] = field(default_factory=dict)
    looks: dict[str, Any] = field(default_factory=dict)
    taken_up: int | None = None

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


@dataclass(frozen=True)
class Prepared:
    """The rest of a training, ready to begin.

    It is plain data, as it is sent to a whole team: a study's own functions cannot be.

    rest: the states that an earlier run, whose `record` stands, has left out; None for all of it.
    scoring_flops: of the scores that its mask was found by; None where that was not found here.
    """

    rest: list[int] | None
    record: SegmentRecord | None
    mask: Mask | None
    progress: Progress
    scoring_flops: float | None = None

    def of(self, training: Training) -> Training:
        """Return what is left of `training`."""
        return training if self.rest is None else training.for_states(self.rest)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a piece.

    record: None where nothing was measured.
    trained_steps: optimizer steps taken here, 0 where it was stored already.
    taken_up: those that another training of its trajectory had taken.
    training_s: those of `seconds` that went into training and evaluation, and not into states, records and
        the like.
    """

    record: Record | None
    trained_steps: int
    seconds: float
    training_s: float = 0.0
    taken_up: int = 0
