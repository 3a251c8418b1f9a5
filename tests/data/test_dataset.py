"""The held-out split, statistics and digests."""

import pytest
import torch

from lth_ray.config import ConfigError
from lth_ray.data.dataset import Split, combined_digest, hold_out, measured_statistics


def numbered(n: int) -> Split:
    return Split(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), torch.arange(n))


GOLDEN_VALIDATION = [
    (0, 60_000, [40, 200, 300, 417, 613]),
    (0, 50_000, [40, 200, 300, 417, 613]),
    (0, 1397, [6, 24, 29, 33, 40]),
    (5, 1397, [18, 19, 20, 27, 29]),
]


@pytest.mark.parametrize(("seed", "n", "first"), GOLDEN_VALIDATION)
def test_the_first_images_held_out_are_golden(seed: int, n: int, first: list[int]) -> None:
    train, validation = hold_out(numbered(n), 200, seed)
    assert validation is not None
    assert validation.labels[:5].tolist() == first
    assert sorted([*train.labels.tolist(), *validation.labels.tolist()]) == list(range(n))
    assert train.labels.tolist() == sorted(train.labels.tolist())


def test_a_smaller_validation_set_is_part_of_a_larger_one() -> None:
    small, large = (hold_out(numbered(100), n, 0)[1] for n in (10, 30))
    assert small is not None
    assert large is not None
    assert set(small.labels.tolist()) < set(large.labels.tolist())


def test_nothing_held_out() -> None:
    split = numbered(5)
    assert hold_out(split, 0, 0) == (split, None)


@pytest.mark.parametrize("validation", [10, 11])
def test_holding_out_everything_is_refused(validation: int) -> None:
    with pytest.raises(ConfigError, match=f"Data.validation = {validation}: there are 10 training images"):
        hold_out(numbered(10), validation, 0)


@pytest.mark.parametrize("white", [16, 255])
def test_statistics_are_those_of_a_float64_sum(white: int) -> None:
    images = torch.randint(0, white + 1, (50, 3, 9, 7), dtype=torch.uint8)
    mean, std = measured_statistics(Split(images, torch.zeros(50, dtype=torch.int64), white))
    values = images.double() / white
    assert mean == pytest.approx(values.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert std == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    assert all(value == round(value, 6) for value in mean + std)


def test_a_constant_channel_is_not_divided_by_zero() -> None:
    grey = Split(torch.full((4, 1, 2, 2), 51, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert measured_statistics(grey) == ((0.2,), (1.0,))


def test_digests_tell_order_and_role_apart() -> None:
    cases = [(["a"], ["b"]), (["b"], ["a"]), (["a", "b"], []), (["b", "a"], [])]
    assert len({combined_digest(*files) for files in cases}) == 4
