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
    Dynamic,
    EarlyBird,
    Examples,
    Launch,
    Length,
    Model,
    Perturbation,
    Prune,
    RandomMask,
    RandomReinit,
    Rewind,
    Scoring,
    ShuffledMask,
    Study,
    Subseeds,
    SupermaskRule,
    TaskConfig,
    Train,
    epochs,
    nearest,
    steps,
)
from lth_ray.config.study import TicketOf
from tests.config.bad_tasks import BAD_TASKS, Make

NAN, INF = float("nan"), float("inf")


def model(**given: Any) -> Model:
    return Model(**{"name": "lenet_300_100", **given})


def examples(**given: Any) -> Examples:
    return Examples(**{"source": list, "batch_size": 32, "validation": 60, "test": 60, **given})


def data(**given: Any) -> Data:
    return Data(**{"name": "digits", "batch_size": 60, "validation": 200, **given})


def train(**given: Any) -> Train:
    return Train(**{"length": steps(500), "lr": 0.1, **given})


def prune(**given: Any) -> Prune:
    return Prune(**{"fraction": 0.2, "rounds": 3, **given})


def ladder(**given: Any) -> Prune:
    return Prune(**{"remaining": [0.5, 0.1], "scope": "layer", **given})


def early_bird(**given: Any) -> EarlyBird:
    return EarlyBird(**given)


def dynamic(**given: Any) -> Dynamic:
    return Dynamic(**{"method": "rigl", **given})


def rewind(**given: Any) -> Rewind:
    return Rewind(**{"point": steps(0), **given})


def supermaskrule(**given: Any) -> SupermaskRule:
    return SupermaskRule(**{"method": "edge_popup", **given})


def ticketof(**given: Any) -> TicketOf:
    return TicketOf(**{"study": study(), **given})


def study(**given: Any) -> Study:
    parts = {"model": model(), "data": data(), "train": train(), "prune": prune(), "rewind": [steps(0)], "seeds": [0]}
    return Study(**{"name": "digits", **parts, **given})


BAD_VALUES: list[tuple[Make, str, Any, str]] = [
    *BAD_TASKS,
    (model, "name", 3, "give a name or a function"),
    (model, "init", "golrot", "did you mean glorot?"),
    (model, "init", 0.0, "give a number in (0, inf]"),
    (model, "init", True, "give a finite number"),
    (model, "options", [1], "give a dict"),
    (model, "options", {1: 2}, "give a dict"),
    (model, "version", 2, "give a string"),
    (model, "weights", 3, "give the path of a safetensors, .pt or .pth file"),
    (model, "redraw", "fc.*", "give a list of globs"),
    (data, "name", 3, "give a data set's name"),
    (data, "batch_size", 0, "at least 1"),
    (data, "batch_size", 60.0, "give a whole number"),
    (data, "batch_size", True, "give a whole number"),
    (data, "validation", -1, "at least 0"),
    (examples, "source", "mnist", "give a torch Dataset that has a length"),
    (examples, "batch_size", 0, "at least 1"),
    (examples, "validation", -1, "at least 0"),
    (examples, "score", "r3", "did you mean r2"),
    (examples, "test", 0, "at least 1"),
    (examples, "mean", [NAN], "give a finite number"),
    (examples, "std", [0], "give a number in (0, inf]"),
    (examples, "classes", 0, "at least 1"),
    (examples, "split_seed", -1, "at least 0"),
    (examples, "version", 2, "give a string"),
    (data, "augment", "crop_filp", "did you mean crop_flip"),
    (data, "augment_padding", 0, "at least 1"),
    (data, "split_seed", -1, "at least 0"),
    (data, "image_size", 0, "at least 1"),
    (data, "evaluation_images", 0, "at least 1"),
    (data, "target", "rotate", "did you mean rotation?"),
    (data, "blur", 0, "at least 1"),
    (data, "train_images", 0, "at least 1"),
    (supermaskrule, "method", "bernouli", "did you mean bernoulli?"),
    (supermaskrule, "rescale", 2.0, "give True or False"),
    (supermaskrule, "values", "signed", "did you mean signed_constant?"),
    (supermaskrule, "keep", 0, "give a number in (0, 1]"),
    (study, "ticket", "imported", "give a ticket's whole key"),
    (train, "length", 500, "say the unit: steps(500) or epochs(500)"),
    (train, "length", steps(0), "give a length above 0"),
    (train, "optimizer", "addam", "did you mean adam"),
    (train, "lr", 0, "give a number in (0, inf]"),
    (train, "lr", NAN, "give a finite number"),
    (train, "lr", INF, "give a finite number"),
    (train, "lr", "0.1", "give a finite number"),
    (train, "momentum", 1.0, "give a number in [0, 1)"),
    (train, "nesterov", 1, "give True or False"),
    (train, "weight_decay", -1e-4, "give a number in [0, inf]"),
    (train, "betas", (0.9,), "give two numbers in [0, 1)"),
    (train, "betas", (0.9, 0.99, 0.999), "give two numbers in [0, 1)"),
    (train, "betas", (0.9, 1.0), "give a number in [0, 1)"),
    (train, "eps", 0, "give a number in (0, inf]"),
    (train, "alpha", 1, "give a number in [0, 1)"),
    (train, "schedule", "cosin", "did you mean cosine?"),
    (train, "milestones", [5], "say the unit: steps(5) or epochs(5)"),
    (train, "milestones", steps(5), "give a list of lengths"),
    (train, "milestones", [steps(0)], "give a length above 0"),
    (train, "batch_norm_group", 0, "at least 1"),
    (train, "ema_decay", 1, "give a number in (0, 1)"),
    (train, "ema_for", "evaluations", "did you mean evaluation"),
    (train, "sync_batch_norm", 1, "give True or False"),
    (train, "channels_last", 1, "give True or False"),
    (train, "compile", "yes", "give True or False"),
    (train, "backend", "eagre", "did you mean eager?"),
    (train, "replicates", 0, "at least 1"),
    (train, "gamma", 0, "give a number in (0, inf]"),
    (train, "final_lr", -1, "give a number in [0, inf]"),
    (train, "warmup", 5, "say the unit: steps(5) or epochs(5)"),
    (train, "label_smoothing", 1, "give a number in [0, 1)"),
    (train, "clip_norm", 0, "give a number in (0, inf]"),
    (train, "evaluate_every", epochs(0), "give a length above 0"),
    (train, "precision", "bf61", "give 'fp32', 'bf16', or block floating point"),
    (train, "loss", "cross_entropy", "give a function"),
    (train, "step", 3, "give a function"),
    (train, "version", 1, "give a string"),
    (train, "scale_l1", -1e-4, "give a number in [0, inf]"),
    (train, "average_from", 10, "say the unit"),
    (early_bird, "window", 1, "give a whole number of at least 2"),
    (early_bird, "distance", 1.5, "give a number in [0, 1]"),
    (early_bird, "latest", steps(0), "give a length"),
    (early_bird, "then", "go on", "valid: continue, rewind"),
    (dynamic, "method", "rig", "did you mean rigl"),
    (dynamic, "every", steps(0), "give a length"),
    (dynamic, "fraction", 1, "give a number in (0, 1)"),
    (dynamic, "until", 0, "give a number in (0, 1]"),
    (prune, "structure", "channel", "did you mean channels"),
    (prune, "coupled", "means", "did you mean mean"),
    (prune, "keep", 3, "valid: resnet110_a"),
    (prune, "may_empty_layers", 1, "give True or False"),
    (ticketof, "study", 3, "give the study that finds the ticket"),
    (ticketof, "round", -1, "at least 0"),
    (ticketof, "seed", "0", "give a whole number"),
    (ticketof, "arm", 3, "give an arm's name"),
    (ticketof, "branch", 3, "give a branch's name"),
    (ticketof, "key", 3, "leave it out"),
    (study, "ticket_part", 3, "give how its tensors' names begin"),
    (prune, "dynamic", "rigl", "give a Dynamic"),
    (prune, "search_precision", "bf61", "give 'fp32', 'bf16', or block floating point"),
    (prune, "criterion", "magnitud", "did you mean magnitude or magnitude_increase"),
    (prune, "scope", "layers", "did you mean layer?"),
    (prune, "fraction", 1.0, "give a number in (0, 1)"),
    (prune, "fraction", 0, "give a number in (0, 1)"),
    (prune, "fraction", {}, "give at least one glob"),
    (prune, "fraction", {"fc*": 2}, "give a number in (0, 1)"),
    (prune, "rounds", -1, "at least 0"),
    (prune, "include", "fc*", "give a list"),
    (prune, "exclude", [1], "give globs"),
    (prune, "one_shot", "yes", "give True or False"),
    (prune, "ties", "lowst", "did you mean lowest?"),
    (prune, "at", 0, "say the unit: steps(0) or epochs(0)"),
    (prune, "whole_dense", 1, "give True or False"),
    (prune, "remaining", [0.5, 0], "give a number in (0, 1]"),
    (prune, "remaining", [], "give a list of densities of at least 1"),
    (prune, "remaining", [0.5, 0.5], "given twice"),
    (prune, "iterations", 0, "at least 1"),
    (prune, "scoring", "train", "give a Scoring"),
    (ladder, "densities", "erd", "did you mean erk?"),
    (ladder, "densities", {"*": 0}, "give a number in (0, inf]"),
    (ladder, "densities", {}, "give at least one glob"),
    (prune, "densities", 0.5, "valid: erk, smart_ratio"),
    (Scoring, "mode", "evaluation", "did you mean eval?"),
    (Scoring, "per_class", 0, "at least 1"),
    (Scoring, "batches", 0, "at least 1"),
    (Scoring, "data", "random", "did you mean random_pixels or random_labels?"),
    (Scoring, "invert", 1, "give True or False"),
    (rewind, "point", 0, "say the unit: steps(0) or epochs(0)"),
    (rewind, "method", "weight", "did you mean weights"),
    (rewind, "optimizer", "restore", "did you mean restored"),
    (study, "name", "", "give a name of letters"),
    (study, "name", "a/b", "give a name of letters"),
    (study, "name", ".hidden", "give a name of letters"),
    (study, "model", "conv2", "give a Model"),
    (study, "data", None, "give a Data"),
    (study, "train", {}, "give a Train"),
    (study, "prune", 0.2, "give a Prune"),
    (study, "rewind", [], "at least 1"),
    (study, "rewind", [0], "give rewind points: steps(n), epochs(n) or Rewind(...)"),
    (study, "rewind", [steps(0), Rewind(steps(0))], "given twice"),
    (study, "rewind", steps(0), "give a list of rewind points"),
    (study, "seeds", 3, "give a list of seeds"),
    (study, "seeds", [], "at least 1"),
    (study, "seeds", [0, 0], "given twice"),
    (study, "seeds", [-1], "at least 0"),
    (study, "subseeds", 3, "give a Subseeds"),
    (study, "arms", {"a": 3}, "give a dict"),
    (study, "arms", {"a b": {}}, "give a name of letters"),
    (study, "sweep", {"train.lr": 0.1}, "give a list of values"),
    (study, "sweep", {"train.lr": []}, "at least 1"),
    (study, "branches", [RandomReinit], "give branches, such as RandomReinit()"),
    (study, "keep", "none", "valid: all, rewind, tickets"),
    (study, "margin", 0.0, "give a number in (0, 1)"),
    (study, "margin", 1.0, "give a number in (0, 1)"),
    (study, "stop_below", 10, "accuracy lies between 0 and 1"),
    (study, "smoke", 3, "give a dict"),
    (study, "smoke_shows", "pipelin", "did you mean pipeline?"),
    (study, "may_fail", ["other"], "no such arm"),
    (study, "against", 3, "give the name of a group of targets"),
    (study, "otherwise", [3], "give sentences"),
    (Subseeds, "init", -1, "at least 0"),
    (RandomReinit, "copies", 0, "at least 1"),
    (RandomMask, "rounds", [1, 1], "given twice"),
    (ShuffledMask, "scope", "layers", "did you mean layer"),
    (RandomMask, "branches", [3], "give branches, such as RandomReinit()"),
    (Launch, "storage", 3, "give a string"),
    (Launch, "name", "a/b", "give a name of letters"),
    (Launch, "cpus", 0, "at least 1"),
    (Launch, "gpus_per_worker", -1, "give a number in [0, inf]"),
    (Launch, "max_gpu_hours", 0, "give a number in (0, inf]"),
    (Launch, "set", "train.lr=1", "give a list"),
    (Launch, "plan", 1, "give True or False"),
]


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
    alike |= {("pretraining", "task"), ("pretraining", "blur"), ("rewind", "pretraining")}  # test_branches.py
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


def test_nearest_lists_all_when_none_is_near() -> None:
    assert nearest("qqq", ["b", "a"]) == "valid: a, b"
    assert nearest("lenet", ["lenot", "conv"]) == "did you mean lenot?"
