"""A study as JSON and back, and what two of them differ in."""

import json
from typing import Any

import pytest

from lth_ray.config import (
    ConfigError,
    Data,
    Launch,
    Model,
    Prune,
    RandomMask,
    RandomReinit,
    Rewind,
    ShuffledMask,
    Study,
    Subseeds,
    Train,
    declaration,
    differences,
    epochs,
    meaning,
    restore,
    steps,
    variants,
)


def own_loss(*_: Any) -> Any: ...


def rich(**given: Any) -> Study:
    fields: dict[str, Any] = {
        "model": Model("conv2", init=0.1, options={"dropout": 0.5}),
        "data": Data("parquet:images", batch_size=60, validation=10, augment="crop_flip", image_size=32),
        "train": Train(epochs(3), lr=0.1, momentum=0.9, milestones=[epochs(1), epochs(2)], warmup=steps(5)),
        "prune": Prune(scope="layer", fraction={"fc*": 0.2, "output.*": 0.1}, rounds=4, exclude=["conv*"]),
        "rewind": [steps(0), epochs(0.5), Rewind(epochs(1), optimizer="restored")],
        "seeds": [0, 7],
        "subseeds": Subseeds(order=3),
        "arms": {"dense": {"prune.rounds": 0}, "global": {"prune": Prune(fraction=0.2, rounds=2)}},
        "sweep": {"train.lr": [0.1, 0.2], "train.warmup": [steps(0), epochs(1)]},
        "branches": [RandomReinit(copies=2, branches=[RandomMask(rounds=[2])]), ShuffledMask("filter")],
        "keep": "all",
        "stop_below": 0.2,
        "smoke": {"train.length": steps(20)},
        "may_fail": ["dense"],
    }
    return Study("rich", **{**fields, **given})


@pytest.mark.parametrize("config", [rich(), Launch(set=["train.lr=1"], plan=True), RandomReinit(copies=3), steps(5)])
def test_a_config_survives_json(config: Any) -> None:
    assert restore(json.loads(json.dumps(declaration(config), allow_nan=False))) == config


def test_the_restored_study_declares_the_same_variants() -> None:
    assert variants(restore(declaration(rich()))) == variants(rich())


def test_a_function_is_restored_by_its_name() -> None:
    study = rich(model=Model(own_loss), train=Train(steps(5), lr=0.1, loss=own_loss, version="2"))
    restored = restore(json.loads(json.dumps(declaration(study))))
    assert meaning(restored.model) == meaning(study.model)
    assert meaning(restored.train) == meaning(study.train)
    assert declaration(restored) == declaration(study)
    with pytest.raises(ConfigError, match="own_loss lives in the study's script"):
        restored.train.loss(None, None)


def test_what_cannot_be_recorded() -> None:
    with pytest.raises(ConfigError, match="cannot be recorded"):
        declaration({"a": object()})


def test_what_an_earlier_version_recorded_keeps_its_keys() -> None:
    """It knew a function by its qualified name, and every config had version "1"."""
    recorded = declaration(Model(own_loss)) | {"name": {"kind": "function", "name": "own_loss"}, "version": "1"}
    assert meaning(restore(recorded)) == {"name": "function own_loss", "init": "default", "options": {}, "version": "1"}
    named = declaration(Model("conv2")) | {"version": "1"}
    assert restore(named) == Model("conv2")


def test_an_unknown_kind() -> None:
    with pytest.raises(ConfigError, match="a Wormhole is recorded"):
        restore({"kind": "Wormhole"})


def test_differences() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "only": 3}
    after = {"a": 1, "b": {"c": [1, 3], "d": {"e": 1}}, "new": 4}
    assert differences(before, after) == {
        "b.c": ([1, 2], [1, 3]),
        "b.d": (None, {"e": 1}),
        "new": (None, 4),
        "only": (3, None),
    }
    assert differences(before, before) == {}
