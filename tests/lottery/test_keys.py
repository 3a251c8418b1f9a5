"""Golden keys: an accidental change of what a key means would train everything that is stored once more."""

from dataclasses import replace
from typing import Any

import pytest

from lth_ray.config import (
    REVISIONS,
    Data,
    Model,
    Prune,
    RandomMask,
    Rewind,
    Study,
    Train,
    epochs,
    set_fields,
    steps,
)
from lth_ray.data import Identity
from lth_ray.lottery import make_plan

IDENTITY = Identity("0" * 64, 1197, 200, 400, (1, 8, 8), 10)
STUDY = Study(
    "golden",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(epochs(2), optimizer="adam", lr=1.2e-3, evaluate_every=steps(10)),
    prune=Prune(scope="layer", fraction={"fc*.weight": 0.2, "output.weight": 0.1}, rounds=2),
    rewind=[steps(10)],
    seeds=[0],
    branches=[RandomMask(rounds=[2])],
)


def segments(study: Study) -> list[Any]:
    plan = make_plan(study, identities={study.data: IDENTITY})
    return [r.segment for r in plan.lineages[0].rounds] + [b.segment for b in plan.branches]


def test_golden_keys() -> None:
    dense, first, second, branch = segments(set_fields(STUDY, {"train.backend": "eager"}))
    assert dense.key == f"{dense.trajectory}-38"
    assert dense.trajectory == "0a08a3c32c8e05519fa9bea54c7abbca"
    assert first.trajectory == "30840bfe9886335c460bbeff1d928842"
    assert second.trajectory == "e6dfb97518f11d4113566f0cc07dcdd8"
    assert branch.trajectory == "c6171b026d6dfb5564d3799e9307cc11"


def test_golden_keys_of_compiled_steps() -> None:
    assert [segment.trajectory for segment in segments(STUDY)] == [
        "0ec9bb1428a9630d0de1173558a366b9",
        "a68d1cef4b3bddbb385b33ee871f47b3",
        "34aa04f22a203ec4d30a6fd4b60027ff",
        "ce8fbde2c84d56117fa67ddbccb4c116",
    ]


SAME: dict[str, Any] = {
    "name": replace(STUDY, name="other"),
    "steps for epochs": set_fields(STUDY, {"train.length": steps(38)}),
    "rounds": set_fields(STUDY, {"prune.rounds": 3}),
    "keep": replace(STUDY, keep="all"),
    "stop_below": replace(STUDY, stop_below=0.5),
    "more seeds and points": replace(STUDY, seeds=[0, 1], rewind=[steps(10), steps(20)]),
    "more copies": replace(STUDY, branches=[RandomMask(rounds=[1, 2], copies=3)]),
    "a field that was added later": set_fields(STUDY, {"data.evaluation_images": None}),
}


@pytest.mark.parametrize("study", SAME.values(), ids=SAME)
def test_what_is_not_part_of_the_meaning(study: Study) -> None:
    own, golden = segments(study), segments(STUDY)
    assert [s.key for s in own[:3]] == [s.key for s in golden[:3]]
    assert golden[3].key in {s.key for s in own[3:]}


OTHER: dict[str, tuple[Any, int]] = {
    "lr": (set_fields(STUDY, {"train.lr": 1e-3}), 0),
    "length": (set_fields(STUDY, {"train.length": epochs(3)}), 0),
    "batch": (set_fields(STUDY, {"data.batch_size": 50}), 0),
    "precision": (set_fields(STUDY, {"train.precision": "bf16"}), 0),
    "model": (set_fields(STUDY, {"model.name": "lenet_20_11"}), 0),
    "init": (set_fields(STUDY, {"model.init": 0.1}), 0),
    "backend": (set_fields(STUDY, {"train.backend": "eager"}), 0),
    "replicates": (set_fields(STUDY, {"train.replicates": 4}), 0),
    "version": (set_fields(STUDY, {"train.version": "2"}), 0),
    "seed": (replace(STUDY, seeds=[1]), 0),
    "rewind point": (replace(STUDY, rewind=[steps(11)]), 1),
    "restored": (replace(STUDY, rewind=[Rewind(steps(10), optimizer="restored")]), 1),
    "method": (replace(STUDY, rewind=[Rewind(steps(10), method="learning_rate")]), 1),
    "fraction": (set_fields(STUDY, {"prune.fraction": 0.2}), 1),
    "one_shot": (set_fields(STUDY, {"prune.one_shot": True}), 2),
}


@pytest.mark.parametrize(("study", "shared"), OTHER.values(), ids=OTHER)
def test_what_is_part_of_the_meaning_and_from_where_on(study: Study, shared: int) -> None:
    pairs = list(zip(segments(study), segments(STUDY), strict=True))
    assert [own.key == golden.key for own, golden in pairs] == [number < shared for number in range(len(pairs))]


@pytest.mark.parametrize(("changes", "moved"), [({}, False), ({"train.replicates": 4}, True)])
def test_the_revision_of_a_backend_moves_its_own_keys_alone(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], moved: bool
) -> None:
    study = set_fields(STUDY, changes)
    before = {segment.key for segment in segments(study)}
    monkeypatch.setitem(REVISIONS, "replicated", 99)
    after = {segment.key for segment in segments(study)}
    assert (before.isdisjoint(after), before == after) == (moved, not moved)


def test_the_data_set_enters_by_its_content_alone() -> None:
    renamed = set_fields(STUDY, {"data.name": "folder:elsewhere"})
    other = replace(IDENTITY, digest="1" * 64)
    plan = make_plan(STUDY, identities={STUDY.data: other})
    assert [s.key for s in segments(renamed)] == [s.key for s in segments(STUDY)]
    assert not plan.keys & {s.key for s in segments(STUDY)}
