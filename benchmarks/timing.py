"""Paired, interleaved timing: on a shared machine only ratios taken close together mean anything."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Work = Callable[[], object]


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

    @property
    def quartiles(self) -> tuple[float, float]:
        """The middle half of the pairs' ratios."""
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high


@dataclass(frozen=True)
class Entry:
    """One line of the report.

    value: what is judged, at most `target`, or at least that where `at_least`; spread: its quartiles over n pairs.
    theirs_ms: None where nothing was timed beside ours.
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

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


def judged(name: str, unit: str, measured: Paired, *, target: float) -> Entry:
    """The report's line on a measurement."""
    spread, n = measured.quartiles, measured.n
    return Entry(name, unit, measured.ratio, spread, target, measured.ours_ms, measured.theirs_ms, n)


def share(name: str, measured: Paired, *, target: float) -> Entry:
    """The report's line on our time as a share of theirs, in percent, of at most `target`."""
    low, high = measured.quartiles
    percent = 100 * measured.ratio
    return Entry(name, "%", percent, (100 * low, 100 * high), target, measured.ours_ms, measured.theirs_ms, measured.n)


def throughput(name: str, measured: Paired, *, target: float) -> Entry:
    """The report's line on our throughput as a share of theirs, in percent, of at least `target`."""
    shares = [100 / ratio for ratio in measured.ratios]
    low, _, high = statistics.quantiles(shares, n=4)
    return Entry(
        name,
        "%",
        statistics.median(shares),
        (low, high),
        target,
        measured.ours_ms,
        measured.theirs_ms,
        measured.n,
        True,
    )


def paired(ours: Work, theirs: Work, *, pairs: int, units: Sequence[int] = (1, 1), warmups: int = 3) -> Paired:
    """Times `ours` and `theirs` alternately, the first of a pair changing each time.

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


def _seconds(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
