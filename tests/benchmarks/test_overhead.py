"""The benchmark of overheads: its lines from the results that a driver gets."""

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.overhead import Noted, rounds_line, seconds, whole_line


def noted(job: str, at: float, training_s: float, others_s: float = 0.0, wall_s: float = 0.0) -> Noted:
    found: Any = SimpleNamespace(id=job)
    return Noted(found, {"training_s": training_s, "wall_s": wall_s}, at, others_s)


def test_seconds_are_judged_by_their_median() -> None:
    entry = seconds("a start", [2.0, 9.0, 2.5], 3.0)
    assert (entry.value, entry.n, entry.met) == (2.5, 3, True)


def test_a_round_reaches_from_one_result_to_the_next() -> None:
    """The dense run and the first round, which may have waited for a process, are left out."""
    found = [noted("dense", 10.0, 1.0), *(noted("k0", 50.0 + 2 * number, 1.5) for number in range(5))]
    entry = rounds_line(found)
    assert (entry.value, entry.ours_ms, entry.theirs_ms, entry.n) == pytest.approx((25.0, 500.0, 1500.0, 4))


def test_what_others_take_of_the_cores_is_no_training() -> None:
    """Two chains of 10 s, 9 s of them training; the driver took 0.6 s between the first and the last of 4 results."""
    found = [
        noted("dense/seed0", 5.0, 5.0, wall_s=5.0), noted("dense/seed1", 5.0, 5.0, wall_s=5.0),
        noted("k0/seed0", 10.0, 4.0), noted("k0/seed1", 10.0, 4.0, others_s=0.6),
    ]  # fmt: skip
    entry = whole_line(found, [0, 1])
    assert entry.value == pytest.approx(100 * (2 + 0.6 * 4 / 3) / 20)
    assert entry.ours_ms == pytest.approx(1e3 * (2 + 0.6 * 4 / 3) / 4)
