"""Results that a new release trains again: it says what is there, why it is not taken, and what would take
it.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from lth_ray import models
from lth_ray.config import RAISED as WHY
from lth_ray.config import RELEASES, REVISIONS, Model, Perturb, RandomMask, Study, as_of, set_fields, steps
from lth_ray.data import Identity
from lth_ray.lottery import Plan, make_plan, older
from lth_ray.store import Store
from tests.lottery.conftest import BASE

IDENTITY = Identity("0" * 64, 1197, 200, 400, (1, 8, 8), 10)
STUDY = replace(BASE, seeds=[0, 1], branches=[RandomMask(rounds=[2])])
WARM = set_fields(STUDY, {"train.warmup": steps(5)})


def plan_of(study: Study, digest: str = "0" * 64) -> Plan:
    return make_plan(study, identities={study.data: replace(IDENTITY, digest=digest)})


def hold(store: Store, plan: Plan, version: str = "0.1.0") -> frozenset[str]:
    """Puts a record, of which its version alone is read, under every key of a plan."""
    for key in plan.keys:
        store.publish_segment(key, {"key": key, "environment": {"packages": {"lth_ray": version}}})
    return plan.keys


def test_another_automatic_backend_is_told_with_the_setting_that_takes_it(lab: Any) -> None:
    store = lab.store()
    then = hold(store, plan_of(set_fields(STUDY, {"train.backend": "eager"})))
    [told] = older(plan_of(STUDY), store, own=then)
    assert (told.tickets, told.branches, told.own) == (6, 2, True)
    assert str(told) == (
        "6 tickets and 2 branch results are there, of this study under an older meaning (lth_ray 0.1.0), not taken and "
        "trained anew: they were trained by backend 'eager', and Train.backend = 'auto' now chooses 'fused'. "
        "`--set train.backend=eager` takes them"
    )
    assert not older(plan_of(set_fields(STUDY, {"train.backend": "eager"})), store)


def test_what_other_studies_hold_is_told_as_theirs(lab: Any) -> None:
    store = lab.store()
    hold(store, plan_of(set_fields(STUDY, {"train.backend": "eager"})))
    [told] = older(plan_of(replace(STUDY, seeds=[1], branches=[])), store)
    assert (told.tickets, told.branches) == (3, 0)
    assert "3 tickets are there, of other studies under another meaning (lth_ray 0.1.0)" in str(told)


def test_a_backend_that_no_setting_chooses_has_no_remedy(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = lab.store()
    hold(store, plan_of(STUDY))
    monkeypatch.setattr("lth_ray.lottery.derivation.backend_of", lambda *_, **__: "eager")
    [told] = older(plan_of(STUDY), store)
    assert (told.tickets, told.branches) == (2, 0)  # the dense ones
    assert told.why == ("they were trained by backend 'fused', and Train.backend = 'auto' now chooses 'eager'",)
    assert told.remedy == "No setting takes them: the lth_ray that made them does"


RAISED: dict[str, tuple[Study, int, int]] = {
    "init": (STUDY, 6, 2), "trajectory": (STUDY, 6, 2), "order": (STUDY, 6, 2), "mask": (STUDY, 4, 2),
    "perturbed": (replace(STUDY, branches=[Perturb("shuffle_layer", rounds=[1])]), 0, 2),
}  # fmt: skip


@pytest.mark.parametrize("part", RAISED)
def test_a_raised_revision_is_told_for_what_it_moves(lab: Any, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    study, tickets, branches = RAISED[part]
    store = lab.store()
    hold(store, plan_of(study), "0.2.0")
    monkeypatch.setitem(REVISIONS, part, 2)
    monkeypatch.setitem(REVISIONS, "imported", 2)  # which is none of the causes
    [told] = older(plan_of(study), store)
    assert (told.tickets, told.branches, told.made_by) == (tickets, branches, "0.2.0")
    assert told.why == (f"{part!r} was at revision 1 and is at 2",)


def test_several_steps_back_and_another_backend_at_once(lab: Any) -> None:
    store = lab.store()
    with as_of(RELEASES[0][1]):
        hold(store, plan_of(set_fields(WARM, {"train.backend": "eager"})))
    [told] = older(plan_of(WARM), store)
    assert (told.tickets, told.branches) == (6, 2)
    assert [words.partition(":")[0] for words in told.why] == [
        "they were trained by backend 'eager', and Train.backend = 'auto' now chooses 'fused'",
        "'warmup' was at revision 1 and is at 2",
    ]
    assert told.remedy == "No setting takes them: the lth_ray that made them does"


def test_tickets_of_compiled_steps_that_left_pruned_biases_free_are_trained_anew(lab: Any) -> None:
    store, included = lab.store(), set_fields(STUDY, {"prune.include": ["*.bias"]})
    for study in (STUDY, included):
        with as_of(next(above for version, above in RELEASES if version == "0.4.0")):
            hold(store, plan_of(study), "0.4.0")
    assert older(plan_of(STUDY), store) == []
    assert older(plan_of(set_fields(STUDY, {"prune.include": ["*.weight"]})), store) == []
    [told] = older(plan_of(included), store)
    assert (told.tickets, told.branches) == (4, 2)  # the dense networks are taken
    assert told.why == (f"'biases' was at revision 1 and is at 2: {WHY['biases']}",)


def network(width: int) -> Callable[..., Any]:
    def net(num_classes: int) -> None:
        raise AssertionError((num_classes, width))

    return net


def test_functions_and_data_that_have_changed_since(lab: Any) -> None:
    store = lab.store()
    then, now = (replace(STUDY, sweep={"model.name": [network(n)]}, branches=[]) for n in (8, 9))
    hold(store, plan_of(then))
    [told] = older(plan_of(now), store, [(then, {STUDY.data: IDENTITY}, plan_of(then).structures)])
    assert told.why[0].endswith("net: the function, or what it refers to, has changed")
    assert (told.tickets, told.remedy) == (6, "Taking that back takes them")
    hold(store, plan_of(STUDY))
    [told] = older(plan_of(STUDY, "1" * 64), store, [(STUDY, {STUDY.data: IDENTITY}, {})])
    assert told.why == ("the data set 'digits' holds other examples",)


@pytest.mark.parametrize("in_a_sweep", [False, True])
def test_weights_that_have_changed_since(lab: Any, tmp_path: Path, in_a_sweep: bool) -> None:
    path = str(tmp_path / "mine.safetensors")
    swept, set_ = replace(STUDY, sweep={"model.weights": [path]}), set_fields(STUDY, {"model.weights": path})
    study = swept if in_a_sweep else set_
    plans = []
    for seed in (1, 2):
        save_file(models.build("lenet_20_10", input_shape=(1, 8, 8), seed=seed).state_dict(), path)
        plans.append(plan_of(study))
    then, now = plans
    hold(lab.store(), then)
    [told] = older(now, lab.store(), [(then.study, {STUDY.data: IDENTITY}, {})])
    assert told.why == ("the file 'mine.safetensors' of Model.weights holds other weights",)
    assert told.tickets == 6


def test_nothing_is_told_of_what_is_taken_or_another_question(lab: Any) -> None:
    store = lab.store()
    hold(store, plan_of(STUDY))
    assert older(plan_of(STUDY), store) == []
    for other in (
        set_fields(STUDY, {"train.lr": 0.1}),
        replace(STUDY, seeds=[2]),
        replace(STUDY, model=Model("lenet_20_11")),
    ):
        assert older(plan_of(other), store, [(STUDY, {STUDY.data: IDENTITY}, {})]) == []
