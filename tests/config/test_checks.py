"""Every field is checked where it is written: the message names the field, the value and the remedy."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from lth_ray.config import (
    Branch,
    Config,
    ConfigError,
    Data,
    Launch,
    Length,
    Model,
    Perturbation,
    Prune,
    RandomReinit,
    Rewind,
    ShuffledMask,
    Subseeds,
    TaskConfig,
    Train,
    epochs,
    nearest,
    steps,
)
from lth_ray.config.base import many
from tests.config.bad_tasks import Make, sentences
from tests.config.bad_values import BAD_VALUES, data, examples, ladder, model, prune, rewind, study, train


@pytest.mark.parametrize(("make", "field", "value", "remedy"), BAD_VALUES)
def test_a_bad_value_is_named_with_its_field_and_the_remedy(make: Make, field: str, value: Any, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**{field: value})
    message = str(caught.value)
    assert f".{field} = " in message
    assert remedy in message
    listed = value[0] if isinstance(value, list) and field == "may_fail" else value
    assert isinstance(value, dict) or repr(listed) in message


BAD_PAIRS: list[tuple[Make, dict[str, Any], list[str]]] = [
    (examples, {"mean": [0.5], "std": [1, 1]}, ["Examples.mean has 1 numbers, Examples.std 2"]),
    (examples, {"score": "r2", "test": 1}, ["Examples.test = 1: one example has no variance"]),
    (examples, {"score": "r2", "validation": 1}, ["Examples.validation = 1: one example has no variance"]),
    (sentences, {"score": "r2", "test": 1}, ["Sentences.test = 1: one example has no variance"]),
    (examples, {"score": "rmse", "classes": 3}, ["Examples.classes = 3: rmse judges numbers"]),
    (train, {"milestones": [steps(5)], "schedule": "cosine"}, ["Train.milestones", "'cosine'", "leave one"]),
    (train, {"schedule": "milestones"}, ["Train.milestones = ()", "at least one"]),
    (train, {"milestones": [steps(9), steps(5)]}, ["steps(9), steps(5)", "earliest"]),
    (train, {"milestones": [epochs(5), epochs(5)]}, ["epochs(5), epochs(5)", "earliest"]),
    (train, {"nesterov": True}, ["Train.nesterov = True", "momentum > 0"]),
    (train, {"nesterov": True, "momentum": 0.9, "optimizer": "rmsprop"}, ["Train.nesterov", "optimizer='sgd'"]),
    (train, {"momentum": 0.9, "optimizer": "adam"}, ["Train.momentum = 0.9", "betas", "leave it out"]),
    (train, {"loss": print, "step": print}, ["Train.loss", "Train.step", "leave one out"]),
    (prune, {"fraction": {"*": 0.2}}, ["Prune.scope = 'global'", "scope='layer'"]),
    (prune, {"densities": "erk"}, ["Prune.densities = 'erk'", "give `remaining`"]),
    (prune, {"remaining": [0.5]}, ["Prune.remaining = [0.5]", "the place of fraction", "leave them out"]),
    (ladder, {"one_shot": True}, ["Prune.remaining = [0.5, 0.1]", "of one_shot"]),
    (ladder, {"rounds": 3}, ["Prune.rounds = 3", "has 2 densities", "leave rounds out"]),
    (ladder, {"densities": "erk", "scope": "global"}, ["Prune.scope = 'global'", "need scope='layer'"]),
    (train, {"ema_for": "evaluation_and_pruning"}, ["Train.ema_for = 'evaluation_and_pruning'", "give ema_decay"]),
    (train, {"replicates": 2, "backend": "eager"}, ["Train.replicates = 2", "leave one of them out"]),
    (train, {"sync_batch_norm": True, "batch_norm_group": 8}, ["Train.batch_norm_group = 8", "leave one of them out"]),
    (rewind, {"method": "scratch", "optimizer": "restored"}, ["Rewind.optimizer = 'restored'", "draws new weights"]),
]


@pytest.mark.parametrize(("make", "given", "parts"), BAD_PAIRS)
def test_fields_that_contradict_each_other_are_refused(make: Make, given: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**given)
    for part in parts:
        assert part in str(caught.value)


def subclasses(cls: type[Config]) -> list[type[Config]]:
    return [found for inner in cls.__subclasses__() for found in (inner, *subclasses(inner))]


LAUNCH_NUMBERS = (
    "workers", "later_workers", "min_workers", "cpus_per_worker", "loaders", "gpu_type", "concurrent",
    "checkpoint_every_steps", "stall_after_min",
)  # fmt: skip


def test_every_field_with_a_check_has_a_bad_value_in_the_table() -> None:
    tried = {(make.__name__.lower().replace("_", ""), field) for make, field, *_ in BAD_VALUES}
    alike = {
        ("launch", name) for name in ("tracking_uri", "data_root", "address", "checkpoint_every_s", "sweep", "smoke")
    }
    alike |= {("launch", name) for name in LAUNCH_NUMBERS}  # test_workers.py
    alike |= {("subseeds", name) for name in ("order", "augmentation", "dropout")}
    alike |= {("perturbation", f.name) for f in fields(Perturbation)} | {("rewind", "perturbation")}  # test_branches.py
    alike |= {("weightsfile", "path"), ("weightsfile", "content")}  # which Model.weights becomes
    alike |= {("folder", name) for name in ("path", "architecture", "weights")}  # which Model.name becomes
    alike |= {("environment", "batch_size"), ("translation", "batch_size")} - tried  # derived of other fields
    alike |= {("pretraining", name) for name in ("task", "blur", "images", "only")}  # test_branches.py
    alike |= {("rewind", "pretraining")}  # test_branches.py
    ours = [cls for cls in subclasses(Config) if cls.__module__.startswith("lth_ray.") and not issubclass(cls, Branch)]
    declared = {(cls.__name__.lower(), f.name) for cls in ours if cls not in (Length, TaskConfig) for f in fields(cls)}
    assert declared - tried - alike == set()


UNKNOWN_FIELDS: list[tuple[Callable[[], Any], str]] = [
    (lambda: model(nmae="conv2"), "Model has no field 'nmae': did you mean name"),
    (lambda: data(batchsize=60), "Data has no field 'batchsize': did you mean batch_size"),
    (lambda: train(weight_dcay=0), "Train has no field 'weight_dcay': did you mean weight_decay"),
    (lambda: prune(round=3), "Prune has no field 'round': did you mean rounds"),
    (lambda: study(seed=3), "Study has no field 'seed': did you mean seeds"),
    (lambda: Launch(data_rot="."), "Launch has no field 'data_rot': did you mean data_root"),  # type: ignore[call-arg]
    (lambda: RandomReinit(zzz=1), "RandomReinit has no field 'zzz': valid: branches, copies, length, rounds"),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("make", "message"), UNKNOWN_FIELDS)
def test_an_unknown_field_gets_the_nearest_names(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(message)


NAMELESS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Model("conv2", "glorot"), "'glorot'"),  # type: ignore[call-arg]
    (lambda: Train(steps(5), "sgd", lr=0.1), "'sgd'"),  # type: ignore[call-arg]
    (lambda: Prune("magnitude", "layer", fraction=0.2, rounds=1), "'layer'"),  # type: ignore[call-arg]
    (lambda: Rewind(steps(5), "weights"), "'weights'"),  # type: ignore[call-arg]
    (lambda: ShuffledMask("layer", 3), "3"),  # type: ignore[call-arg, arg-type]
    (lambda: Launch("storage", "name"), "'name'"),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("make", "value"), NAMELESS)
def test_fields_after_the_first_are_given_by_name(make: Callable[[], Any], value: str) -> None:
    with pytest.raises(ConfigError, match="name the field") as caught:
        make()
    assert value in str(caught.value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Data("digits", batch_size=60), "validation"),
        (lambda: Train(steps(5)), "lr"),
        (lambda: Model(), "name"),
        (lambda: Prune(rounds=1), "fraction"),
        (lambda: Prune(fraction=0.1), "rounds"),
    ],
)
def test_a_missing_field_is_named(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(ConfigError, match=f"needs the field '{name}'"):
        make()


@pytest.mark.parametrize(
    "config", [model(), data(), train(), prune(), rewind(), study(), Subseeds(), Launch(), steps(3)]
)
def test_configs_are_frozen(config: Config) -> None:
    name = fields(config)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(config, name, getattr(config, name))


def test_values_are_kept_in_one_form() -> None:
    assert train(lr=1).lr == 1.0
    assert isinstance(train(lr=1).lr, float)
    assert train(milestones=[steps(1), steps(2)]).milestones == (steps(1), steps(2))
    assert train(milestones=[steps(1)]).schedule == "milestones"
    assert study(rewind=[steps(0), Rewind(epochs(1))]).rewind == (Rewind(steps(0)), Rewind(epochs(1)))
    assert study().arms == {}
    assert study().arms is not study().arms


class Counted(int):
    """A whole number that counts how often it is compared."""

    compared = 0
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return int(self) == other


def test_many_seeds_are_not_compared_each_with_each() -> None:
    assert study(seeds=[Counted(number) for number in range(1000)]).seeds == tuple(range(1000))
    assert Counted.compared <= 2 * 1000  # and not 500,000: a hundred thousand would take minutes


def test_entries_that_have_no_hash_are_told_apart() -> None:
    entries = many(None, distinct=True)
    assert entries([{"a": 1}, {"a": 2}]) == ({"a": 1}, {"a": 2})
    with pytest.raises(ValueError, match="given twice"):
        entries([{"a": 1}, {"a": 2}, {"a": 1}])


def test_nearest_lists_all_when_none_is_near() -> None:
    assert nearest("qqq", ["b", "a"]) == "valid: a, b"
    assert nearest("lenet", ["lenot", "conv"]) == "did you mean lenot?"
