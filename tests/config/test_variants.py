"""Fan-out, dotted fields and the command line's changes."""

from typing import Any

import pytest

from lth_ray.config import (
    ConfigError,
    Data,
    Launch,
    Model,
    Prune,
    Rewind,
    Study,
    Train,
    epochs,
    launched,
    parse,
    set_field,
    set_fields,
    steps,
    variants,
)


def study(**given: Any) -> Study:
    fields: dict[str, Any] = {
        "model": Model("lenet_300_100", options={"a": 1}),
        "data": Data("digits", batch_size=60, validation=200),
        "train": Train(steps(500), optimizer="adam", lr=1e-3),
        "prune": Prune(fraction=0.2, rounds=3),
        "rewind": [steps(0)],
        "seeds": [0],
    }
    return Study("digits", **{**fields, **given})


def test_arms_then_sweep_then_rewind_then_seeds() -> None:
    found = variants(
        study(
            arms={"slow": {"train.lr": 0.1}, "fast": {"train.lr": 0.2}},
            sweep={"train.weight_decay": [0, 1e-4]},
            rewind=[steps(0), steps(5)],
            seeds=[3, 4],
        )
    )
    got = [(v.arm, v.study.train.lr, v.study.train.weight_decay, v.rewind, v.seed) for v in found]
    expected = [
        (arm, lr, decay, Rewind(point), seed)
        for arm, lr in (("slow", 0.1), ("fast", 0.2))
        for decay in (0.0, 1e-4)
        for point in (steps(0), steps(5))
        for seed in (3, 4)
    ]
    assert got == expected
    assert found[2].varied == {"train.weight_decay": 0}
    assert list(variants(study(sweep={"train.lr": [1], "data.batch_size": [2, 3]}))[1].varied) == [
        "train.lr",
        "data.batch_size",
    ]


def test_variants_share_the_values_of_a_sweep() -> None:
    found = variants(study(sweep={"train.lr": [0.1, 0.2, 0.3]}))  # else memory goes by the square of their number
    assert [v.study.train.lr for v in found] == [0.1, 0.2, 0.3]
    assert len({id(v.study.sweep["train.lr"]) for v in found}) == 1


def test_a_variant_alone_declares_nothing_beside_it() -> None:
    found = variants(study(arms={"slow": {"train.lr": 0.1}, "fast": {}}, may_fail=["fast"], seeds=[3, 4]))
    (only,) = variants(found[1].alone)
    assert (only.study, only.arm, only.varied, only.rewind, only.seed) == (found[1].alone, "", {}, Rewind(steps(0)), 4)
    assert only.study.train == found[1].study.train


def test_one_variant_without_arms() -> None:
    (only,) = variants(study())
    assert (only.arm, only.varied, only.seed, only.rewind) == ("", {}, 0, Rewind(steps(0)))


def test_an_arm_may_replace_a_whole_part() -> None:
    whole = Prune("random", scope="layer", fraction=0.5, rounds=1)
    (only,) = variants(study(arms={"random": {"prune": whole, "prune.rounds": 9}}))
    assert only.study.prune == Prune("random", scope="layer", fraction=0.5, rounds=9)


@pytest.mark.parametrize("path", ["name", "arms", "sweep", "smoke", "may_fail", "otherwise", "against"])
def test_what_no_arm_or_sweep_may_vary(path: str) -> None:
    for given in ({"arms": {"a": {path: 1}}}, {"sweep": {path: [1]}}):
        with pytest.raises(ConfigError, match=f"'{path}' cannot be varied"):
            variants(study(**given))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("trian.lr", 1, "'trian.lr': Study has no field 'trian': did you mean train"),
        ("train.lrr", 1, "'train.lrr': Train has no field 'lrr': did you mean lr"),
        ("train.lr.x", 1, "'train.lr.x': float has no fields to set"),
        ("train.lr", -1, "Train.lr = -1: give a number"),
        ("train", 3, "Study.train = 3: give a Train"),
    ],
)
def test_a_bad_dotted_field(path: str, value: Any, message: str) -> None:
    for change in (set_fields, lambda s, changes: set_field(s, *next(iter(changes.items())))):
        with pytest.raises(ConfigError) as caught:
            change(study(), {path: value})
        assert str(caught.value).startswith(message)


def test_fields_of_one_part_are_set_together() -> None:
    changed = set_fields(study(), {"train.momentum": 0.9, "train.optimizer": "sgd", "train.nesterov": True})
    assert (changed.train.momentum, changed.train.optimizer, changed.train.nesterov) == (0.9, "sgd", True)
    assert changed.train.length == steps(500)
    assert set_fields(study(), {"model.options.b": 2}).model.options == {"a": 1, "b": 2}
    assert set_fields(study(), {"seeds": [1, 2]}).seeds == (1, 2)
    assert set_fields(study(), {}) == study()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("steps(5)", steps(5)),
        (" epochs(0.5) ", epochs(0.5)),
        ("[epochs(1), epochs(2)]", [epochs(1), epochs(2)]),
        ("1e-3", 1e-3),
        ("-2", -2),
        ("True", True),
        ("None", None),
        ("{'fc*': 0.2}", {"fc*": 0.2}),
        ("(1, 2)", [1, 2]),
        ("adam", "adam"),
        ("'adam'", "adam"),
        ("lenet_300_100", "lenet_300_100"),
        ("parquet:/a b", "parquet:/a b"),
        ("steps()", "steps()"),
        ("open('x')", "open('x')"),
        ("", ""),
    ],
)
def test_parse(text: str, value: Any) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)


def test_parse_says_what_is_wrong_with_a_length() -> None:
    with pytest.raises(ConfigError, match="whole number of steps"):
        parse("steps(5.5)")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "digits"),
        ({"smoke": True}, "digits-smoke"),
        ({"set": ["train.lr=0.1"]}, "digits-lr_0.1"),
        ({"set": ["train.length=epochs(2)", "seeds=[0, 1]"]}, "digits-length_2epochs-seeds__0__1_"),
        ({"smoke": True, "set": ["train.lr=1e-05"]}, "digits-smoke-lr_1e_05"),
        ({"set": ["train.lr=0.1"], "name": "mine"}, "mine"),
        ({"sweep": ["train.lr=0.1,0.2"]}, "digits"),
    ],
)
def test_a_changed_study_gets_a_name_of_its_own(given: dict[str, Any], name: str) -> None:
    assert launched(study(smoke={"train.length": steps(9)}), Launch(**given)).name == name


def test_what_a_smoke_run_shows_is_known_to_the_run() -> None:
    smoking = study(smoke={"train.length": steps(9)}, smoke_shows="pipeline")
    assert launched(smoking, Launch()).smoke_shows == "learning"  # the whole study
    launch = Launch(smoke=True)
    shortened = launched(launched(smoking, launch), launch.applied)  # as the command line has it run
    assert (shortened.smoke_shows, shortened.name, shortened.train.length) == ("pipeline", "digits-smoke", steps(9))


def test_set_comes_after_smoke() -> None:
    smoking = study(smoke={"train.length": steps(9), "seeds": [5]})
    changed = launched(smoking, Launch(smoke=True, set=["train.length=steps(7)", "train.lr = 0.5"]))
    assert (changed.train.length, changed.seeds, changed.train.lr) == (steps(7), (5,), 0.5)
    assert launched(smoking, Launch()).train.length == steps(500)


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("train.lr=0.1,0.2", "train.lr", (0.1, 0.2)),
        ("train.warmup=epochs(0),epochs(5)", "train.warmup", (epochs(0), epochs(5))),
        ("train.optimizer=adam,sgd", "train.optimizer", ("adam", "sgd")),
        ("model.init=glorot,0.1", "model.init", ("glorot", 0.1)),
        ("train.lr=0.1", "train.lr", (0.1,)),
    ],
)
def test_sweep_adds_to_the_study(text: str, path: str, values: tuple[Any, ...]) -> None:
    changed = launched(study(sweep={"data.batch_size": [30]}), Launch(sweep=[text]))
    assert changed.sweep == {"data.batch_size": (30,), path: values}
    assert len(variants(changed)) == len(values)


@pytest.mark.parametrize("text", ["train.lr", "=3", "  =3"])
def test_an_assignment_without_a_field(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set .*write field=value"):
        launched(study(), Launch(set=[text]))
    with pytest.raises(ConfigError, match=r"--sweep .*write field=value"):
        launched(study(), Launch(sweep=[text]))
