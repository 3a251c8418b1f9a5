"""Keys: what they hold, what they leave out, and golden values that only a bumped revision may change."""

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import pytest

from lth_ray.config import (
    REVISIONS,
    Config,
    ConfigError,
    Data,
    Model,
    Prune,
    RandomReinit,
    Rewind,
    ShuffledMask,
    Train,
    digest,
    epochs,
    meaning,
    steps,
    subseed,
)
from lth_ray.config.base import number, option
from lth_ray.data import Identity
from lth_ray.training import Recipe

IDENTITY = Identity("d" * 64, 1197, 200, 400, (1, 8, 8), 10)
MODEL = Model("lenet_300_100", init=0.1, options={"dropout": 0.5})
PRUNE = Prune("magnitude", scope="layer", fraction={"fc*": 0.2, "output.weight": 0.1}, rounds=3, exclude=["conv*"])
TRAIN = Train(
    epochs(10),
    optimizer="adam",
    lr=1.2e-3,
    milestones=[epochs(5), epochs(7)],
    warmup=epochs(1),
    evaluate_every=steps(20),
)
RECIPE = Recipe(MODEL, Data("digits", batch_size=60, validation=200), TRAIN, IDENTITY)


@dataclass(frozen=True)
class Old(Config):
    a: float = option(check=number())
    _: KW_ONLY


@dataclass(frozen=True)
class New(Old):
    """Old, and what was added to it later."""

    b: float = option(0.5, check=number(), absent_means=0.5)
    where: str = option("here", means=False)


def test_a_later_field_is_left_out_at_the_value_of_its_absence() -> None:
    assert meaning(New(1)) == meaning(Old(1)) == {"a": 1.0}
    assert meaning(New(1, b=0.25)) == {"a": 1.0, "b": 0.25}


def test_what_changes_no_result_is_left_out() -> None:
    assert meaning(New(1, where="there")) == meaning(New(1))
    assert "rounds" not in meaning(PRUNE)
    assert meaning(RandomReinit(copies=3, rounds=[1], branches=[RandomReinit()])) == {}
    assert meaning(ShuffledMask("layer", copies=2)) == {"scope": "layer"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (steps(1_234_567), "steps(1234567)"),
        (epochs(0.5), "epochs(0.5)"),
        (Rewind(steps(5)), {"point": "steps(5)", "method": "weights", "optimizer": "fresh"}),
        ({"b": (1, None, True)}, {"b": [1, None, True]}),
    ],
)
def test_meaning_is_plain_data(value: Any, expected: Any) -> None:
    assert meaning(value) == expected


@pytest.mark.parametrize("value", [object(), {1, 2}])
def test_what_has_no_plain_form_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a key"):
        meaning(value)


def test_lengths_that_differ_have_keys_that_differ() -> None:
    assert meaning(steps(1_234_567)) != meaning(steps(1_234_568))
    assert meaning(epochs(0.12345671)) != meaning(epochs(0.12345672))


def test_a_recipe_means_steps_and_the_images_themselves() -> None:
    told = RECIPE.meaning()
    assert told["train"]["length"] == 190
    assert told["train"]["milestones"] == [95, 133]
    assert told["train"]["warmup"] == 19
    assert told["train"]["evaluate_every"] == 20
    assert told["train"]["betas"] == [0.9, 0.999]
    assert told["data"]["identity"] == "d" * 64
    assert "name" not in told["data"]
    in_steps = Train(
        steps(190),
        optimizer="adam",
        lr=1.2e-3,
        milestones=[steps(95), steps(133)],
        warmup=steps(19),
        evaluate_every=steps(20),
    )
    elsewhere = Data("parquet:/somewhere", batch_size=60, validation=200)
    assert Recipe(MODEL, elsewhere, in_steps, IDENTITY).meaning() == told


def test_a_digest_depends_on_kind_content_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest("init", {"a": 1, "b": 2})
    assert before == digest("init", {"b": 2, "a": 1})
    assert before != digest("mask", {"a": 1, "b": 2})
    assert before != digest("init", {"a": 1, "b": 3})
    monkeypatch.setitem(REVISIONS, "init", 99)
    assert before != digest("init", {"a": 1, "b": 2})


@pytest.mark.parametrize(
    ("kind", "content", "golden"),
    [
        ("init", meaning(MODEL), "45b600fcfcc8cfca4c9bbb44feca429e"),
        ("mask", meaning(PRUNE), "1994d53b07cadb22997d1045c62e3c54"),
        ("trajectory", RECIPE.meaning(), "0fd558a922e4123e7a83e496494359c4"),
        (
            "trajectory",
            replace(RECIPE, train=replace(TRAIN, warmup=steps(0))).meaning(),
            "a81b63080063a2eb5a75e8574b2b8db6",
        ),
        ("branch", meaning(Rewind(epochs(1), optimizer="restored")), "9030a40f31509f7ba72f57ea234c2475"),
    ],
    ids=["model", "prune", "recipe", "without a warm-up", "rewind"],
)
def test_golden_keys(kind: str, content: Any, golden: str) -> None:
    """A key that moves disowns what is stored under it: bump REVISIONS, or give a new field `absent_means`."""
    assert digest(kind, content) == golden


@pytest.mark.parametrize(
    ("arguments", "golden"),
    [
        ((0,), 3456079177858693020),
        ((0, "init"), 1519069808562059438),
        ((1, "init"), 5267816590608909949),
        ((0, "branch", "reinit", 3), 1846644406320042815),
    ],
)
def test_golden_subseeds(arguments: tuple[Any, ...], golden: int) -> None:
    assert subseed(*arguments) == golden


def test_subseeds_are_63_bits_and_apart() -> None:
    seeds = {subseed(seed, name) for seed in range(50) for name in ("init", "order", "dropout", "augmentation")}
    assert len(seeds) == 200
    assert all(0 <= seed < 1 << 63 for seed in seeds)
