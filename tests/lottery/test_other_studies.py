"""Tickets of other studies, and tickets that are a part of a network: a classifier's, taken over by a detector."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lth_ray.config import (
    Boxes,
    ConfigError,
    Data,
    Launch,
    Model,
    Prune,
    RandomReinit,
    Study,
    TicketOf,
    Train,
    declaration,
    launched,
    restore,
    set_fields,
    steps,
)
from lth_ray.lottery import Plan, carry_out, check_found, load_ticket, make_plan, ticket_rows
from lth_ray.models.detection import BODY
from lth_ray.running.history import check_same_study, remember
from lth_ray.store import Store
from lth_ray.training import Clock
from tests.data.boxes.made import as_voc

pytest.importorskip("faster_coco_eval", reason="it counts mean average precision")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of coloured images to classify, one with boxes, and a storage with the classifier's tickets."""
    return tmp_path_factory.mktemp("other")


@pytest.fixture(scope="module")
def classifier(place: Path) -> Study:
    from tests.data.boxes.made import picture

    for split, number in (("train", 4), ("test", 2)):
        for kind in ("circle", "square"):
            (place / "images" / split / kind).mkdir(parents=True)
            for i in range(number):
                image = picture(f"{kind}{i}", [(kind, 2 + i, 2, 20, 20)])
                image.save(place / "images" / split / kind / f"{i}.png")
    return Study(
        "classifier",
        model=Model("cifar_resnet8_4"),
        data=Data(f"folder:{place / 'images'}", batch_size=4, validation=0, image_size=32),
        train=Train(steps(2), lr=0.01),
        prune=Prune(scope="global", fraction=0.5, rounds=2, exclude=["output*"]),
        rewind=[steps(0)],
        seeds=[0, 1],
        branches=[RandomReinit(rounds=[1])],
        smoke={"train.length": steps(1)},
    )


@pytest.fixture(scope="module")
def detector(place: Path, classifier: Study) -> Study:
    data = Boxes(f"voc:{as_voc(place / 'boxes')}", batch_size=2, validation="own", image_size=32)
    return Study(
        "detector",
        model=Model("fasterrcnn_cifar_resnet8_4"),
        data=data,
        train=Train(steps(1), lr=0.01),
        prune=Prune(scope="global", fraction=0.5, rounds=1),
        rewind=[steps(0)],
        seeds=[3],
        ticket=TicketOf(classifier, round=1),
        ticket_part=BODY,
    )


def carried_out(plan: Plan, store: Store) -> list[dict[str, Any]]:
    for job in plan.jobs:
        for piece in job.pieces:
            carry_out(piece, store, piece.recipe.task.load(), "cpu", Clock(60.0))
    return ticket_rows(plan, store)


@pytest.fixture(scope="module")
def store(place: Path, classifier: Study) -> Store:
    found = Store.open(str(place / "storage"))
    carried_out(make_plan(classifier, None, found), found)
    return found


def test_a_detector_begins_with_a_classifiers_weights_and_mask(
    classifier: Study, detector: Study, store: Store
) -> None:
    rows = carried_out(make_plan(detector, None, store), store)
    given = load_ticket(make_plan(classifier, None).lineages[0].rounds[1].segment.key, store.uri)
    begun = load_ticket(rows[0]["key"], store.uri)
    taken = {name: kept for name, kept in given.mask.items() if name != "output.weight"}
    assert taken
    for name, kept in taken.items():
        assert torch.equal(begun.mask[BODY + name], kept)
        assert torch.equal(begun.rewind_state[BODY + name], given.trained_state[name] * kept)
    assert begun.mask.keys() == {BODY + name for name in taken}
    assert [row["round"] for row in rows] == [0, 1]
    # the rest of the detector is dense, and pruned from round 1 on
    pruned, sizes = load_ticket(rows[1]["key"], store.uri).mask, {}
    for name, kept in pruned.items():
        sizes[name] = int(begun.mask[name].sum()) if name in begun.mask else kept.numel()
        assert name not in begun.mask or not (kept & ~begun.mask[name]).any()
    assert any(name.startswith("roi_heads.") for name in sizes)
    assert sum(int(kept.sum()) for kept in pruned.values()) == round(sum(sizes.values()) * 0.5)
    again = load_ticket(carried_out(make_plan(detector, None, store), store)[0]["key"], store.uri)
    assert again.provenance["content"] == begun.provenance["content"]


def test_studies_that_prune_otherwise_share_the_ticket_s_own_training(detector: Study) -> None:
    further, whole = make_plan(detector, None), make_plan(set_fields(detector, {"prune.rounds": 0}), None)
    assert whole.keys < further.keys


def test_a_ticket_is_found_by_its_place(classifier: Study, detector: Study, store: Store) -> None:
    known = make_plan(classifier, None)
    first, second = known.lineages
    branch = next(result for result in known.branches if result.lineage.id == second.id)
    for given, key in (
        (TicketOf(classifier, round=0), first.dense.key),
        (TicketOf(classifier), first.rounds[2].segment.key),
        (TicketOf(classifier, round=1, seed=1), second.rounds[1].segment.key),
        (TicketOf(classifier, round=1, seed=1, branch="random_reinit"), branch.segment.key),
    ):
        plan = make_plan(set_fields(detector, {"ticket": given}), None, store)
        assert plan.study.ticket_key == key
        assert (
            plan.lineages[0].dense.start.meaning
            == make_plan(set_fields(detector, {"ticket": key}), None, store).lineages[0].dense.start.meaning
        )
    for wrong, why in (
        (TicketOf(classifier, round=3), r"round = 3: its last is 2"),
        (TicketOf(classifier, seed=9), r"of arm '' and seed 9 it has none"),
        (TicketOf(classifier, round=1, branch="random_mask"), r"no branch of round 1; there are random_reinit"),
    ):
        with pytest.raises(ConfigError, match=why):
            make_plan(set_fields(detector, {"ticket": wrong}), None, store)


def test_two_studies_of_one_name_are_told_apart(classifier: Study, detector: Study) -> None:
    other = set_fields(classifier, {"train.length": steps(3)})
    arms = {"one": {"ticket": TicketOf(classifier)}, "other": {"ticket": TicketOf(other)}}
    found = [
        one.variant.study.ticket_key
        for one in make_plan(set_fields(detector, {"arms": arms, "ticket": None}), None).lineages
    ]
    assert found == [make_plan(given, None).lineages[0].rounds[2].segment.key for given in (classifier, other)]
    assert found[0] != found[1]


def test_tickets_that_no_plan_would_find_are_refused(classifier: Study, detector: Study) -> None:
    """They would otherwise be no tickets, or all of them the same one."""
    for changes, why in (
        ({"sweep": {"ticket": [TicketOf(classifier, round=n) for n in (0, 1)]}}, r"Study.sweep\['tic"),
        ({"sweep": {"ticket.round": [0, 1]}}, r"'ticket.round': a part of a ticket"),
        ({"arms": {"dense": {"ticket.round": 0}}}, r"'ticket.round': a part of a ticket"),
    ):
        with pytest.raises(ConfigError, match=why + r".*give arms with whole tickets"):
            set_fields(detector, changes)
    swept = set_fields(detector, {"sweep": {"ticket": ["0123-1", "4567-1"]}, "ticket": None})
    assert swept.ticket_part == BODY


def test_a_part_that_does_not_fit_is_refused(classifier: Study, detector: Study, store: Store) -> None:
    for changes, why in {
        ("ticket_part", "backbone.nothing."): "no tensor of this network begins so; did you mean",
        ("model.name", "fasterrcnn_cifar_resnet8_8"): "does not fit this network: 'backbone.body.conv.weight' is",
        ("prune.exclude", ("backbone*",)): r"its mask covers other parameters than Prune; give Prune\(include=",
    }.items():
        with pytest.raises(ConfigError, match=why):
            make_plan(set_fields(detector, {changes[0]: changes[1]}), None, store)
    with pytest.raises(ConfigError, match="there is no ticket"):
        set_fields(detector, {"ticket": None})


def test_a_ticket_that_is_not_there_stops_a_run_and_no_plan(detector: Study, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    plan = make_plan(detector, None, store)
    assert plan.jobs
    with pytest.raises(ConfigError, match=r"Study.ticket = TicketOf\('classifier'\): .* does not hold it; run that"):
        check_found(plan.study, store)


def test_the_command_line_changes_both_studies(classifier: Study, detector: Study) -> None:
    smoke = launched(detector, Launch(smoke=True))
    assert isinstance(smoke.ticket, TicketOf)
    assert smoke.ticket.study == launched(classifier, Launch(smoke=True))
    assert make_plan(smoke, None).study.ticket_key != make_plan(detector, None).study.ticket_key


def test_a_recorded_study_is_the_same_again(detector: Study, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    plan = make_plan(detector, None)
    remember(store, plan, "")
    check_same_study(store, detector)
    assert restore(declaration(plan.study)) == plan.study
    other = set_fields(detector, {"ticket": TicketOf(set_fields(detector, {"name": "another"}))})
    with pytest.raises(ConfigError, match=r"ticket.study"):
        check_same_study(store, other)
