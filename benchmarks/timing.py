"""Paired, interleaved timing: on a shared machine only ratios taken close together mean anything."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Work = Callable[[], object]
Times = tuple[float, ...]


@dataclass(frozen=True)
class Paired:
    """Two pieces of work timed in turn. ours_s, theirs_s: seconds a unit of work, one of each for every pair."""

    ours_s: tuple[float, ...]
    theirs_s: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.ours_s)

    @property
    def ours_ms(self) -> float:
        return 1e3 * statistics.median(self.ours_s)

    @property
    def theirs_ms(self) -> float:
        return 1e3 * statistics.median(self.theirs_s)

    @property
    def ratios(self) -> tuple[float, ...]:
        """ours / theirs within each pair."""
        return tuple(ours / theirs for ours, theirs in zip(self.ours_s, self.theirs_s, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(self.ratios)


@dataclass(frozen=True)
class Entry:
    """One line of the report.

    value: what is judged, at most `target`, or at least that where `at_least`; spread: its quartiles over n pairs.
    theirs_ms: None where nothing was timed beside ours. of_ceiling: our share, in percent, of what the machine can do
    (benchmarks.ceiling); None where no arithmetic and no memory sets the pace.
    """

    name: str
    unit: str
    value: float
    spread: tuple[float, float]
    target: float
    ours_ms: float
    theirs_ms: float | None
    n: int
    at_least: bool = False
    of_ceiling: float | None = None

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Skipped:
    """A line that was not measured here, and why."""

    name: str
    why: str


Line = Entry | Skipped


def lacks(name: str, install: str) -> str:
    """Return why a line is skipped for want of a package."""
    return f"{name} is not installed; pip install {install}"


def judged(name: str, unit: str, measured: Paired, *, target: float, of_ceiling: float | None = None) -> Entry:
    """Return the report's line on a measurement."""
    return _line(name, unit, measured.ratios, measured, target, False, of_ceiling)


def speed_up(name: str, measured: Paired, *, target: float, of_ceiling: float | None = None) -> Entry:
    """Return the report's line on how many times as fast as theirs ours is, at least `target`."""
    return _line(name, "x as fast", [1 / ratio for ratio in measured.ratios], measured, target, True, of_ceiling)


def share(name: str, measured: Paired, *, target: float, of_ceiling: float | None = None) -> Entry:
    """Return the report's line on our time as a share of theirs, in percent, of at most `target`."""
    return _line(name, "%", [100 * ratio for ratio in measured.ratios], measured, target, False, of_ceiling)


def throughput(name: str, measured: Paired, *, target: float) -> Entry:
    """Return the report's line on our throughput as a share of theirs, in percent, of at least `target`."""
    return _line(name, "%", [100 / ratio for ratio in measured.ratios], measured, target, True)


def _line(
    name: str, unit: str, values: Sequence[float], measured: Paired, target: float, at_least: bool,
    of_ceiling: float | None = None,
) -> Entry:  # fmt: skip
    low, median, high = statistics.quantiles(values, n=4)
    return Entry(
        name, unit, median, (low, high), target, measured.ours_ms, measured.theirs_ms, measured.n, at_least, of_ceiling
    )


def paired(ours: Work, theirs: Work, *, pairs: int, units: Sequence[int] = (1, 1), warmups: int = 3) -> Paired:
    """Time `ours` and `theirs` alternately, the first of a pair changing each time.

    units: how many units of work one call of each does.
    """
    for _ in range(warmups):
        ours()
        theirs()
    times: tuple[list[float], list[float]] = [], []
    for pair in range(pairs):
        for side in ((0, 1), (1, 0))[pair % 2]:
            times[side].append(_seconds((ours, theirs)[side]) / units[side])
    return Paired(tuple(times[0]), tuple(times[1]))


def in_turn(
    works: Mapping[str, Work], *, rounds: int, units: Mapping[str, int], warmups: int = 2
) -> Mapping[str, Times]:
    """Seconds a unit of each of several pieces of work, timed one after another in each round, from another one on
    each time.

    units: how many units of work one call of each does.
    """
    names = list(works)
    for name in names * warmups:
        works[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(_seconds(works[name]) / units[name])
    return {name: tuple(taken) for name, taken in times.items()}


def _seconds(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
