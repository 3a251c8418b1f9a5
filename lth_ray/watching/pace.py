"""The pace of trainings, from what is heard of their steps."""

from collections import deque
from collections.abc import Mapping

WINDOW_S = 30.0
LEAST_S = 1.0  # too short a look says nothing


class Rate:
    """The rate at which a count grew over the last WINDOW_S."""

    def __init__(self) -> None:
        self.marks: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Take in the count at `now` (seconds).

        One that fell begins anew: a training has gone back to its checkpoint.
        """
        if self.marks and count < self.marks[-1][1]:
            self.marks.clear()
        self.marks.append((now, count))
        while len(self.marks) > 2 and now - self.marks[1][0] >= WINDOW_S:
            self.marks.popleft()

    @property
    def per_s(self) -> float | None:
        """The rate a second; None where it was not looked at for long enough."""
        if not self.marks or self.marks[-1][0] - self.marks[0][0] < LEAST_S:
            return None
        (first, before), (last, count) = self.marks[0], self.marks[-1]
        return (count - before) / (last - first)


class Pace:
    """Steps a second of each training, and of all together.

    Steps that a training took before it was first heard of (from a checkpoint on, or before) count when it is finished.
    """

    def __init__(self) -> None:
        self.rates: dict[str, Rate] = {}
        self.first: dict[str, int] = {}
        self.steps: dict[str, int] = {}  # where trainings at work are
        self.finished_steps = 0
        self.total = Rate()

    def heard(self, steps: Mapping[str, int], now: float) -> None:
        """Take in the step of every training at work."""
        for gone in self.steps.keys() - steps.keys():
            self._forget(gone)
        for key, step in steps.items():
            self.first[key] = min(step, self.first.get(key, step))
            self.steps[key] = step
            self.rates.setdefault(key, Rate()).add(now, step)
        self._mark(now)

    def finished(self, key: str, trained_steps: int, now: float) -> None:
        """Take in that a training is done, which took so many steps."""
        self._forget(key)
        self.finished_steps += trained_steps
        self._mark(now)

    def of(self, key: str) -> float | None:
        """Return the pace of one training at work."""
        return self.rates[key].per_s if key in self.rates else None

    def _mark(self, now: float) -> None:
        if not self.steps and not self.finished_steps:
            return  # nothing has begun: that is no slow pace
        self.total.add(now, self.finished_steps + sum(self.steps[key] - self.first[key] for key in self.steps))

    def _forget(self, key: str) -> None:
        for known in (self.rates, self.first, self.steps):
            known.pop(key, None)
