"""Steps a second from what is heard of trainings."""

import pytest

from lth_ray.watching.pace import LEAST_S, WINDOW_S, Pace, Rate


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    for second in range(200):
        rate.add(second, 10 * second if second < 100 else 1000 + 3 * (second - 100))
    assert rate.per_s == pytest.approx(3)
    assert len(rate.marks) <= WINDOW_S + 2


def test_a_rate_needs_a_second_and_begins_anew_at_a_checkpoint() -> None:
    rate = Rate()
    rate.add(0, 500)
    rate.add(LEAST_S / 2, 600)
    assert rate.per_s is None
    rate.add(10, 550)
    assert rate.per_s is None
    rate.add(12, 570)
    assert rate.per_s == pytest.approx(10)


def test_all_together_counts_each_step_once_however_it_is_heard_of() -> None:
    pace = Pace()
    pace.heard({}, 0)
    assert pace.total.per_s is None  # nothing has begun: that is no slow pace
    pace.heard({"long": 40, "resumed": 700}, 10)
    pace.heard({"long": 60, "resumed": 800}, 11)
    assert (pace.of("long"), pace.of("resumed"), pace.of("unknown")) == (20, 100, None)
    assert pace.total.per_s == pytest.approx(120)
    pace.finished("long", 100, 12)  # 40 of which nobody had heard
    pace.finished("short", 30, 12)
    pace.heard({"resumed": 900}, 12)
    assert pace.total.marks[-1][1] == 100 + 30 + 200
    assert pace.of("long") is None


def test_a_training_that_is_gone_is_forgotten() -> None:
    pace = Pace()
    pace.heard({"a": 0}, 0)
    pace.heard({"a": 50}, 1)
    pace.heard({}, 2)
    pace.heard({"a": 50}, 8)  # again, from its checkpoint
    pace.heard({"a": 70}, 10)
    assert pace.of("a") == pytest.approx(10)
