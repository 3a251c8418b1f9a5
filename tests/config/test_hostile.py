"""Values that nobody means, in every field of every config: each is refused where it is declared, in one message that
names it, or is one that keys, records and the storage can hold."""

import json
from dataclasses import fields, replace
from typing import Any

import pandas
import pytest

from lth_ray import (
    Barrier,
    Connectivity,
    Curvature,
    Data,
    Launch,
    MaskOverlap,
    Model,
    Perturb,
    Pretrain,
    Prune,
    RandomMask,
    RandomReinit,
    Rewind,
    ShuffledMask,
    Stability,
    Study,
    Subseeds,
    Supermask,
    Train,
    Transfer,
    Weights,
    epochs,
    steps,
)
from lth_ray.config import ConfigError, declaration, launched, meaning
from lth_ray.lottery import make_plan
from lth_ray.store.layout import study_path

STUDY = Study(
    "tiny",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(2), lr=0.05, evaluate_every=steps(1)),
    prune=Prune(fraction=0.5, rounds=1),
    rewind=[steps(0)],
    seeds=[0],
)
CONFIGS = [
    STUDY, STUDY.model, STUDY.data, STUDY.train, STUDY.prune, Rewind(steps(0)), Subseeds(), Launch(), RandomReinit(),
    RandomMask(), ShuffledMask(), Barrier(), Stability(), Perturb(), Pretrain("labels", length=steps(1)),
    Transfer({"train_images": None}), Supermask("bernoulli"), Weights(), MaskOverlap(), Connectivity(),
    Curvature(), steps(1),
]  # fmt: skip
FIELDS = [
    pytest.param(config, f.name, id=f"{type(config).__name__}.{f.name}") for config in CONFIGS for f in fields(config)
]
VALUES = [
    None, True, -1, 2**63, 10**30, 1e308, float("nan"), float("inf"), "", "é", "a\0b", "\udc80", "x" * 100_000, "../x",
    [2**63], [-1], [float("nan")], [1, "a"], ["a\0b"], {"": 1}, {"a": {1, 2}}, {"a": float("nan")}, object(), b"x",
]  # fmt: skip


def refusal(config: Any, name: str, value: Any) -> str | None:
    """The message with which `value` is refused; None where keys, records and the storage hold it."""
    try:
        made = replace(config, **{name: value})
        text = json.dumps(declaration(made))
        meaning(made)
        if isinstance(made, Study):
            study_path(made.name, "history.json")
    except ConfigError as error:
        return str(error)
    return f"{name} has a NUL\n" if "\\u0000" in text else None


@pytest.mark.parametrize(("config", "name"), FIELDS)
def test_a_hostile_value_is_refused_by_name_or_can_be_held(config: Any, name: str) -> None:
    messages = [message for value in VALUES if (message := refusal(config, name, value)) is not None]
    assert messages
    for message in messages:
        assert len(message) < 2000
        assert "\n" not in message
        assert any(words in message for words in (name, "needs the field", "cannot be")), message


PLANNED: dict[str, tuple[dict[str, Any], str]] = {
    "more steps than can be": ({"train": Train(epochs(10**12), lr=0.1)}, r"Train.length = epochs\(1000000000000\)"),
    "evaluations without end": (
        {"train": Train(steps(10**9), lr=0.1, evaluate_every=steps(1))},
        r"Train.evaluate_every .* 1,000,000 evaluations",
    ),
    "a rate without end": (
        {"train": Train(steps(9), lr=1e300, gamma=1e300, milestones=[steps(3)])}, r"Train.gamma = 1e\+300",
    ),
    "no finite option": (
        {"model": Model("lenet_20_10", options={"dropout": float("nan")})}, r"Model.options\['dropout'\]",
    ),
    "a network larger than any memory": (
        {"model": Model("lenet_999999_999999_999999")},
        r"'lenet_999999_999999_999999': its weights take .* GB, and this machine has .*; give a smaller network",
    ),
    "a width that no tensor has": ({"model": Model("lenet_1" + "0" * 30)}, "no network has such sizes"),
    "a depth without end": ({"model": Model("cifar_resnet1000004")}, "no network has such sizes"),
    "layers without end": ({"model": Model("lenet" + "_10" * 30_000)}, r"Model.name = 'lenet_10_.*'\.\.\.: no network"),
    "crops beside the images": (
        {"data": Data("digits", batch_size=60, validation=0, augment="crop_flip", augment_padding=9)},
        r"Data.augment_padding = 9: crops would miss images of 8x8 pixels",
    ),
    "scores that are averaged": (
        {"branches": [Supermask("bernoulli", train={"ema_decay": 0.9})]}, r"Supermask.train\['ema_decay'\] = 0.9",
    ),
    "a network that says nothing": ({"model": Model(int)}, "Model.name = int does not say what it takes"),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "message"), PLANNED.values(), ids=PLANNED)
def test_what_the_plan_refuses(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(replace(STUDY, **parts))


@pytest.mark.parametrize("name", ["num_classes", "input_shape", "init", "seed", "name"])
def test_what_is_given_is_no_option(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"Model.options\['{name}'\]: .*; leave it out"):
        Model("lenet_20_10", options={name: 5})


@pytest.mark.parametrize("field", ["image_size", "blur", "augment_padding"])
def test_sides_of_images_are_bounded(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"Data.{field} = 4097: give a whole number of at most 4,096"):
        replace(STUDY.data, **{field: 4097})


@pytest.mark.parametrize("make", [lambda: steps(10**18), lambda: epochs(1e300)])
def test_lengths_that_end_nowhere(make: Any) -> None:
    with pytest.raises(ConfigError, match=r"Length.value = 1.*: give a number in \[0, 1000000000000\]"):
        make()


@pytest.mark.parametrize("text", ["train.lr=" + "9" * 100_000, "train.lr=" + "(" * 100_000, "x" * 100_000])
def test_an_endless_setting_is_one_short_message(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        launched(STUDY, Launch(set=[text]))
    assert len(str(caught.value)) < 1500


def test_the_largest_seed_has_tables() -> None:
    """They hold 64 bits with a sign."""
    study = replace(STUDY, seeds=[2**63 - 1])
    seeds = pandas.DataFrame([{"seed": lineage.variant.seed} for lineage in make_plan(study).lineages])["seed"]
    assert seeds.dtype == "int64"
    with pytest.raises(ConfigError, match=r"Study.seeds = \[9223372036854775808\]: .* at most 2\*\*63 - 1"):
        replace(STUDY, seeds=[2**63])


@pytest.mark.parametrize("name", ["étude", "a b", "x" * 200, "名"])
def test_a_name_that_no_folder_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match=r"Study.name = .*: give a name of"):
        replace(STUDY, name=name)
