"""Lengths of training, in steps or in epochs."""

from typing import Any

import pytest

from lth_ray.config import ConfigError, Length, epochs, steps

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("length", "per_epoch", "expected"),
    [(steps(7), 100, 7), (epochs(2), 100, 200), (epochs(0.5), 33, 16), (epochs(0), 9, 0), (epochs(1.99), 10, 19)],
)
def test_a_length_in_steps(length: Length, per_epoch: int, expected: int) -> None:
    assert length.to_steps(per_epoch) == expected
    assert isinstance(length.to_steps(per_epoch), int)


@pytest.mark.parametrize(
    ("length", "text"),
    [(steps(1234567), "steps(1234567)"), (epochs(90), "epochs(90)"), (epochs(0.12345678), "epochs(0.12345678)")],
)
def test_a_length_is_written_in_full(length: Length, text: str) -> None:
    assert str(length) == text


@pytest.mark.parametrize("n", [-1, 0.5, NAN, INF, "5", True])
def test_bad_numbers_of_steps(n: Any) -> None:
    with pytest.raises(ConfigError):
        steps(n)


def test_the_unit_of_a_length() -> None:
    with pytest.raises(ConfigError, match="did you mean epochs"):
        Length(1, unit="epoch")
    assert steps(1) != epochs(1)
