"""Statistics over seeds: intervals, paired differences, and the verdicts that may be drawn from them.

Accuracies and margins are shares in [0, 1]; a margin of .002 is .2 percentage points.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
LEVEL = 0.05  # of every test
MARGIN = 0.002  # within it a ticket matches the dense network (Frankle et al. 2020a)
LEAST = 3  # seeds under which nothing is concluded
ROUNDING = 1e-12  # far under one image of any test set: a smaller difference is that of floating-point sums


@dataclass(frozen=True)
class Interval:
    """n values: their mean, least and greatest, and half the width of the mean's 95 % interval by Student's t.

    mean, min and max are None without values, half_width under two.
    """

    n: int
    mean: float | None = None
    min: float | None = None
    max: float | None = None
    half_width: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a one-sided paired t test, its p corrected for the family; under three seeds there is no
    p.
    """

    n: int
    p: float | None
    text: str


def interval(values: Iterable[float]) -> Interval:
    """Return the values' mean with its spread."""
    found = list(values)
    if not found:
        return Interval(0)
    mean, deviation = _moments(found)
    half_width = None
    if len(found) > 1:
        from scipy import special  # scipy.stats takes most of a second to import

        half_width = float(special.stdtrit(len(found) - 1, (1 + CONFIDENCE) / 2) * deviation / math.sqrt(len(found)))
    return Interval(len(found), mean, min(found), max(found), half_width)


def within_seeds(runs: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Return {seed: mean of its runs}: copies of one seed's ticket are no independent trials."""
    found: dict[int, list[float]] = {}
    for seed, value in runs:
        found.setdefault(seed, []).append(value)
    return {seed: math.fsum(values) / len(values) for seed, values in found.items()}


def differences(a: Mapping[int, float], b: Mapping[int, float]) -> list[float]:
    """Return a - b at every seed that both have, by seed."""
    return [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())]


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
    """Return the paired difference a - b of two {seed: value}, over the seeds they share."""
    return interval(differences(a, b))


def resolvable(margin: float, n_test: int) -> float:
    """Return the margin, or one image of the test set where that is more: a smaller difference cannot be
    measured.
    """
    return max(margin, 1 / n_test) if n_test else margin


def non_inferiority(differences: Sequence[Sequence[float]], margin: float = MARGIN) -> list[Verdict]:
    """Judge for each comparison of one family whether its mean difference from the dense network is above
    -margin.

    "matching" where a one-sided paired t test, by Holm's correction for the family, rejects "at least `margin` worse"
    at the 5 % level, else "not shown", which is no proof of a difference; "no verdict (n = 2)" under three seeds.
    """
    if margin <= 0:
        raise ValueError(f"margin = {margin}: give the share that may be lost, such as .002 for .2 percentage points")
    return _verdicts(differences, -margin, "matching")


def superiority(differences: Sequence[Sequence[float]], verdict: str = "better") -> list[Verdict]:
    """Judge for each comparison of one family whether its mean difference is above 0, which is called
    `verdict`.

    Corrected, and without a verdict, as `non_inferiority` is.
    """
    return _verdicts(differences, 0.0, verdict)


def _verdicts(differences: Sequence[Sequence[float]], bound: float, verdict: str) -> list[Verdict]:
    """Return one-sided paired t tests above `bound`, by Holm's correction for those of three seeds or more."""
    raw = [p_above(one, bound) for one in differences]
    corrected = iter(holm([p for p in raw if p is not None]))
    adjusted = [None if p is None else next(corrected) for p in raw]
    return [Verdict(len(one), p, _text(p, len(one), verdict)) for one, p in zip(differences, adjusted, strict=True)]


def p_above(differences: Sequence[float], bound: float) -> float | None:
    """Return the p value of the one-sided t test that the mean of `differences` is above `bound`; None under
    three.

    Differences that do not vary decide by themselves: 0 above the bound, 1 at it or below.
    """
    n = len(differences)
    if n < LEAST:
        return None
    mean, deviation = _moments(differences)
    excess = mean - bound
    if deviation < ROUNDING:
        return 0.0 if excess > ROUNDING else 1.0
    from scipy import special

    return float(special.stdtr(n - 1, -excess / (deviation / math.sqrt(n))))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p values, in the order given (Holm 1979)."""
    adjusted, greatest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, i in enumerate(sorted(range(m), key=p_values.__getitem__)):
        greatest = max(greatest, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = greatest
    return adjusted


def _moments(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of a sample (n - 1); exact where the values are equal."""
    if min(values) == max(values):
        return float(values[0]), 0.0
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _text(p: float | None, n: int, verdict: str) -> str:
    if p is None:
        return f"no verdict (n = {n})"
    return verdict if p < LEVEL else "not shown"
