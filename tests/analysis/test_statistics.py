"""Intervals, paired tests and verdicts, against published values and scipy."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lth_ray.analysis.statistics import (
    Interval,
    differences,
    holm,
    interval,
    non_inferiority,
    p_above,
    paired,
    resolvable,
    superiority,
    within_seeds,
)

SLEEP = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]  # Student 1908, the first drug: mean .75, sd 1.789
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
shares = st.floats(-1, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("n", "quantile"), [(2, 12.706), (3, 4.303), (4, 3.182), (5, 2.776), (6, 2.571), (11, 2.228), (31, 2.042)]
)
def test_the_interval_has_the_quantiles_of_published_t_tables(n: int, quantile: float) -> None:
    values = [float(i) for i in range(n)]
    deviation = math.sqrt(n * (n + 1) / 12)  # of 0, 1, ... n - 1
    assert interval(values).half_width == pytest.approx(quantile * deviation / math.sqrt(n), rel=2e-4)


def test_few_values_have_no_spread() -> None:
    assert interval([]) == Interval(0)
    assert interval([0.9]) == Interval(1, 0.9, 0.9, 0.9, None)
    assert interval([0.1, 0.1, 0.1]) == Interval(3, 0.1, 0.1, 0.1, 0.0)


def test_student_s_sleep_data() -> None:
    """The pairs that the t test was published with: difference 1.58, t = 4.0621, two-sided p = .002833."""
    a, b = dict(enumerate(SLEEP_2)), dict(enumerate(SLEEP))
    found = paired(a, b)
    assert (found.n, found.mean) == (10, pytest.approx(1.58))
    assert found.half_width == pytest.approx((2.4598858 - 0.7001142) / 2, rel=1e-6)
    assert p_above(differences(a, b), 0.0) == pytest.approx(0.002832890 / 2, rel=1e-6)


def test_pairs_are_of_shared_seeds_and_copies_are_averaged_first() -> None:
    tickets = within_seeds([(0, 0.9), (1, 0.8), (2, 0.7)])
    reinits = within_seeds([(0, 0.5), (0, 0.7), (1, 0.6), (5, 0.1)])
    assert reinits == {0: pytest.approx(0.6), 1: 0.6, 5: 0.1}
    assert differences(tickets, reinits) == pytest.approx([0.3, 0.2])
    assert paired(tickets, reinits).n == 2


@pytest.mark.parametrize(
    ("values", "margin", "p", "text"),
    [
        # mean -.001, sd .001, t = (-.001 + .002) / (.001 / sqrt(3)) = sqrt(3), p = (1 - t / sqrt(2 + t^2)) / 2
        ([-0.002, -0.001, 0.0], 0.002, (1 - math.sqrt(3 / 5)) / 2, "not shown"),
        ([-0.002, -0.001, 0.0], 0.005, (1 - math.sqrt(48 / 50)) / 2, "matching"),
        ([0.0, 0.0, 0.0], 0.002, 0.0, "matching"),
        ([-0.001] * 5, 0.002, 0.0, "matching"),
        ([-0.002] * 5, 0.002, 1.0, "not shown"),
        ([0.972 - 0.974, 0.974 - 0.976, 0.976 - 0.978], 0.002, 1.0, "not shown"),  # equal but for rounding
        ([-0.003] * 3, 0.002, 1.0, "not shown"),
        ([0.1, 0.1], 0.002, None, "no verdict (n = 2)"),
        ([], 0.002, None, "no verdict (n = 0)"),
    ],
)
def test_matching_is_non_inferiority(values: list[float], margin: float, p: float | None, text: str) -> None:
    (verdict,) = non_inferiority([values], margin)
    assert verdict.text == text
    assert verdict.p == (None if p is None else pytest.approx(p))


@pytest.mark.parametrize("margin", [0.0, -0.002])
def test_a_margin_is_positive(margin: float) -> None:
    with pytest.raises(ValueError, match=r"such as \.002"):
        non_inferiority([[0.0, 0.1, 0.2]], margin)


@given(st.lists(shares, min_size=3, max_size=12), shares)
@settings(max_examples=60, deadline=None)
def test_p_values_are_scipy_s(values: list[float], bound: float) -> None:
    p = p_above(values, bound)
    assert p is not None
    assert 0 <= p <= 1
    if max(values) - min(values) > 1e-6:
        expected = stats.ttest_1samp(values, bound, alternative="greater").pvalue
        assert p == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 x .005, 3 x .01, 2 x .03, then no less than before
        ([0.5, 0.6, 0.7], [1.0, 1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm_by_hand(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
@settings(max_examples=60, deadline=None)
def test_holm_lies_between_nothing_and_bonferroni_and_keeps_the_order(raw: list[float]) -> None:
    adjusted = holm(raw)
    assert all(p <= a <= min(1, len(raw) * p) + 1e-15 for p, a in zip(raw, adjusted, strict=True))
    assert [a for _, a in sorted(zip(raw, adjusted, strict=True))] == sorted(adjusted)


def test_matching_is_corrected_for_the_number_of_claims() -> None:
    """One comparison of p = .0279 is a claim; among 18 of its kind it is none."""
    one = [0.0014, -0.0012, 0.0009, 0.0024, -0.0018]
    (alone,) = non_inferiority([one], 0.002)
    assert alone.p is not None
    assert (alone.p < 0.05, alone.text) == (True, "matching")
    family = non_inferiority([one, *([[-0.01, 0.01, 0.0, 0.02, -0.02]] * 17)], 0.002)
    assert (family[0].p, family[0].text) == (pytest.approx(18 * alone.p), "not shown")


@pytest.mark.parametrize(
    ("margin", "n_test", "used"),
    [(0.002, 10_000, 0.002), (0.002, 500, 0.002), (0.002, 400, 1 / 400), (0.005, 400, 0.005), (0.002, 0, 0.002)],
)
def test_a_margin_is_an_image_at_least(margin: float, n_test: int, used: float) -> None:
    assert resolvable(margin, n_test) == used


def test_superiority_is_corrected_for_the_comparisons_that_have_a_verdict() -> None:
    clear, unclear, few = [0.01, 0.012, 0.011, 0.013], [0.01, -0.01, 0.02, -0.015], [0.5, 0.5]
    first, second, third = superiority([clear, few, unclear])
    p = p_above(clear, 0.0)
    assert p is not None
    assert (first.p, first.text) == (pytest.approx(2 * p), "better")
    assert (second.p, second.text, second.n) == (None, "no verdict (n = 2)", 2)
    assert third.text == "not shown"
