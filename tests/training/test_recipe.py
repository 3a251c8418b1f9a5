"""Schedules against values worked out by hand, and lengths that do not fit."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lth_ray.config import REVISIONS, ConfigError, Length, digest, epochs, steps
from lth_ray.training import Recipe

Make = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {0: 1.0, 50: 1.0, 99: 1.0}),
        ({"warmup": steps(4)}, {0: 0.0, 1: 0.25, 2: 0.5, 3: 0.75, 4: 1.0, 99: 1.0}),
        ({"milestones": [steps(30), epochs(6)]}, {0: 1.0, 29: 1.0, 30: 0.1, 59: 0.1, 60: 0.01, 99: 0.01}),
        (
            {"milestones": [steps(2)], "gamma": 0.5, "warmup": steps(4)},
            {0: 0.0, 1: 0.25, 2: 0.25, 3: 0.375, 4: 0.5, 99: 0.5},
        ),
        ({"schedule": "linear"}, {0: 1.0, 25: 0.75, 50: 0.5, 99: 0.01}),
        (
            {"schedule": "linear", "final_lr": 0.5, "warmup": steps(20)},
            {10: 0.5, 19: 0.95, 20: 1.0, 60: 0.75, 99: 0.50625},
        ),
        ({"schedule": "cosine"}, {0: 1.0, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 75: (1 - math.sqrt(0.5)) / 2}),
        (
            {"schedule": "cosine", "final_lr": 0.2, "warmup": steps(20)},
            {19: 0.95, 20: 1.0, 60: 0.6, 40: 0.6 + 0.4 * math.sqrt(0.5)},
        ),
        ({"schedule": "inverse_sqrt", "warmup": steps(16)}, {0: 0.0, 8: 0.5, 16: 1.0, 25: 0.8, 64: 0.5}),
        ({"schedule": "linear", "cycles": 4}, {0: 1.0, 5: 0.8, 24: 0.04, 25: 1.0, 30: 0.8, 99: 0.04}),
        (
            {"milestones": [steps(10)], "warmup": steps(4), "cycles": 5},
            {0: 0.0, 1: 0.25, 4: 1.0, 10: 0.1, 19: 0.1, 20: 0.0, 22: 0.5, 89: 1.0, 99: 0.1},
        ),
        ({"schedule": "inverse_sqrt"}, {0: 1.0, 1: 1.0, 4: 0.5, 25: 0.2}),
    ],
)
def test_schedules(recipe: Make, given: dict[str, Any], expected: dict[int, float]) -> None:
    made = recipe(**given)
    for step, lr in expected.items():
        assert made.lr(step) == pytest.approx(lr, rel=1e-12), step


def test_warmup_and_milestones_are_those_of_torch(recipe: Make) -> None:
    made = recipe(warmup=steps(40), milestones=[steps(30), steps(70)], lr=0.4)
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    both = torch.optim.lr_scheduler.LambdaLR(sgd, lambda t: min(1, t / 40) * 0.1 ** ((t >= 30) + (t >= 70)))
    for step in range(100):
        assert made.lr(step) == pytest.approx(both.get_last_lr()[0], rel=1e-12), step
        sgd.step()
        both.step()


def test_only_recipes_with_a_warmup_are_revised_by_it(recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> list[str]:
        return [digest("trajectory", one.meaning()) for one in (recipe(warmup=steps(40)), recipe())]

    before = keys()
    monkeypatch.setitem(REVISIONS, "warmup", 1)
    after = keys()
    assert [first == second for first, second in zip(before, after, strict=True)] == [False, True]


def test_a_warmup_over_the_whole_of_training(recipe: Make) -> None:
    made = recipe(warmup=steps(100), schedule="cosine")
    assert [made.lr(step) for step in (0, 50, 99)] == pytest.approx([0.0, 0.5, 0.99])


def test_fine_tuning_keeps_the_last_rate(recipe: Make) -> None:
    made = recipe(milestones=[steps(30), steps(60)], warmup=steps(5)).fine_tuning()
    assert [made.lr(step) for step in range(0, 250, 7)] == [pytest.approx(0.01)] * 36
    assert made.total_steps == 100


def test_an_epoch_drops_its_rest(recipe: Make) -> None:
    made = recipe(n_train=109, batch_size=10, length=epochs(2.55), warmup=epochs(0.25))
    assert (made.steps_per_epoch, made.total_steps, made.warmup_steps) == (10, 25, 2)


@pytest.mark.parametrize(
    ("every", "first", "last", "expected"),
    [
        (steps(4), 0, 12, [4, 8, 12]),
        (steps(4), 0, 10, [4, 8, 10]),
        (steps(4), 4, 8, [8]),
        (steps(4), 3, 9, [4, 8, 9]),
        (steps(4), 5, 6, [6]),
        (steps(4), 7, 7, [7]),
        (steps(500), 0, 12, [12]),
        (epochs(0.5), 0, 12, [5, 10, 12]),
        (epochs(0.01), 0, 3, [1, 2, 3]),
    ],
)
def test_evaluation_steps(recipe: Make, every: Length, first: int, last: int, expected: list[int]) -> None:
    assert recipe(evaluate_every=every).evaluation_steps(first, last) == expected


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (
            {"warmup": steps(101)},
            ["Train.warmup = steps(101)", "beyond the end", "steps(100) = step 100", "shorten it"],
        ),
        ({"milestones": [steps(50), epochs(11)]}, ["Train.milestones = epochs(11)", "step 110", "step 100"]),
        ({"milestones": [steps(50), epochs(3)]}, ["Train.milestones", "[50, 30]", "out of order"]),
        ({"milestones": [steps(50), epochs(5)]}, ["Train.milestones", "[50, 50]", "out of order"]),
        ({"batch_size": 101}, ["Data.batch_size = 101", "100 training images", "smaller"]),
        ({"length": epochs(0.01)}, ["Train.length = epochs(0.01)", "no step"]),
        ({"milestones": [epochs(0.01)]}, ["Train.milestones", "[0]", "after 0"]),
    ],
)
def test_what_does_not_fit(recipe: Make, given: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        recipe(**given)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cycles": 3}, r"Train.cycles = 3: it does not divide Train.length = steps\(100\), which is 100 steps"),
        (
            {"cycles": 4, "milestones": [steps(26)]},
            r"Train.milestones = steps\(26\): .* end of each of Train.cycles = 4",
        ),
    ],
)
def test_cycles_are_of_equal_lengths_and_hold_the_schedule(recipe: Make, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**given)


def test_a_stretched_or_constant_training_has_whole_cycles(recipe: Make) -> None:
    made = recipe(schedule="linear", cycles=4)
    assert made.stretched(1.29) == 128
    longer = made.lasting(128)
    assert longer.lr(31) == pytest.approx(1 / 32)
    assert longer.lr(32) == 1
    assert made.fine_tuning().lr(77) == made.lr(99)
    assert made.repeated(2).train.cycles == 8
