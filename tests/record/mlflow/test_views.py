"""The views that a study gets, of tickets made up here."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lth_ray.record.mlflow.views import Seen, View, telling, views_of

ROUNDS = range(4)


def seen(lineages: list[dict[str, Any]], barriers: bool = False, **measured: float) -> list[Seen]:
    """A ticket for each lineage and round. barriers: of rounds 0 and 3, where copies part at the rewind step."""
    found = []
    for params in lineages:
        for number in ROUNDS:
            given = {"rewind_step": 0, "warmup_steps": 0, "seed": 0, **params, "round": number}
            values = {"remaining_weights": 0.8**number, "test_accuracy": 0.9 - 0.01 * number, **measured}
            step = int(given["rewind_step"])
            has = barriers and number in (0, 3)
            values |= {"lmc_error_barrier": 0.1} if has else {}
            found.append(Seen({n: str(v) for n, v in given.items()}, values, {step: 0.1} if has else {}))
    return found


def product(**values: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}]
    for name, choices in values.items():
        found = [{**one, name: choice} for one in found for choice in choices]
    return found


def keys(view: View) -> list[str]:
    grouping = view.state["groupBy"]
    return [key["groupByData"] for key in grouping["groupByKeys"]] if grouping else []


def cards(view: View) -> dict[str, Mapping[str, Any]]:
    return {card["displayName"]: card for card in view.state["compareRunCharts"]}


SEEDS = [0, 1]


@pytest.mark.parametrize(
    ("lineages", "grouped"),
    [
        ([{}], []),  # a run of its own
        (product(seed=SEEDS), ["model"]),  # seeds alone: one line with a band
        (product(seed=SEEDS, rewind_step=[0, 100]), ["rewind_step"]),
        (product(seed=SEEDS, rewind_step=[0, 100], arm=["a", "b"]), ["arm", "rewind_step"]),
        (product(seed=SEEDS, **{"warmup_steps": [0, 50], "rewind_step": [0, 9]}), ["rewind_step", "warmup_steps"]),
        ([{"arm": "a", "lr": 0.1}, {"arm": "b", "lr": 0.2}], ["arm"]),  # which says what lr says
        (product(seed=SEEDS, lr=[0.1, 0.2]), ["lr"]),
    ],
)
def test_lines_are_what_tells_lineages_apart(lineages: list[dict[str, Any]], grouped: list[str]) -> None:
    assert keys(views_of(seen(lineages))[0]) == grouped


def test_accuracy_falls_to_the_right_within_a_fixed_range() -> None:
    view = views_of(seen(product(seed=SEEDS, rewind_step=[0, 100])))[0]
    by_round, falling = view.state["compareRunCharts"]
    assert falling["selectedXAxisMetricKey"] == "remaining_weights"
    assert falling["range"]["xMin"] > 1 > falling["range"]["xMax"] == 0
    assert falling["range"]["yMin"] < 0.87 < 0.9 < falling["range"]["yMax"] < 1
    assert (by_round["xAxisKey"], by_round["range"]["yMin"]) == ("step", falling["range"]["yMin"])
    assert list(cards(view)) == [
        "Test accuracy by round (the step)",
        "Test accuracy against remaining weights",
    ]  # fmt: skip
    assert view.state["searchFilter"] == "tags.`lth.kind` = 'lineage'"


@pytest.mark.parametrize(
    ("lineages", "fields", "expected"),
    [
        ([{}], {}, ["accuracy"]),
        ([{}], {"early_stop_step": 100.0}, ["accuracy", "early-stop"]),
        (product(warmup_steps=[0, 50]), {}, ["accuracy", "warm-up"]),
        (product(rewind_step=[0, 50]), {"barriers": True}, ["accuracy", "barrier-k", "barrier-round"]),
        ([{}], {"barriers": True}, ["accuracy", "barrier-round"]),  # one k is no line
    ],
)
def test_only_what_has_data_has_a_view(
    lineages: list[dict[str, Any]], fields: dict[str, Any], expected: list[str]
) -> None:
    assert [view.key for view in views_of(seen(lineages, **fields))] == [f"lth-{key}" for key in expected]


def test_what_is_not_measured_in_every_round_stands_against_rounds_alone() -> None:
    """MLflow 3.17 puts a group's points at the remaining weights of other rounds then: see tests/browser."""
    found = {view.key: view for view in views_of(seen(product(seed=SEEDS), barriers=True))}
    assert list(cards(found["lth-barrier-round"])) == ["LMC error barrier by round (the step)"]
    assert len(cards(found["lth-accuracy"])) == 2


def test_controls_are_lines_of_their_own_beside_the_tickets() -> None:
    """Within the range, too: a random mask's .6 is not cut off."""
    controls = {"test_accuracy.random_reinit": 0.8, "test_accuracy.random_mask": 0.6}
    view = views_of(seen(product(seed=SEEDS), **controls))[0]
    by_round, falling = view.state["compareRunCharts"]
    assert by_round["selectedMetricKeys"] == ["test_accuracy", *controls]
    assert by_round["range"]["yMin"] < 0.6
    assert falling["selectedMetricKeys"] == ["test_accuracy"]


def test_a_warm_up_sweep_averages_nothing_but_seeds() -> None:
    tickets = seen(product(seed=SEEDS, warmup_steps=[0, 50], rewind_step=[0, 9], arm=["a", "b"]))
    view = next(view for view in views_of(tickets) if view.key == "lth-warm-up")
    assert keys(view) == ["warmup_steps", "arm", "rewind_step"]


def test_a_swept_field_that_says_what_the_warm_up_says_is_not_told_twice() -> None:
    swept = [{"seed": seed, "warmup_steps": n, "train.warmup": f"steps({n})"} for seed in SEEDS for n in (0, 50)]
    view = next(view for view in views_of(seen(swept)) if view.key == "lth-warm-up")
    assert keys(view) == ["warmup_steps"]


def test_barriers_of_several_rewind_points_from_one_step_are_apart() -> None:
    lines = seen(product(rewind_step=[0, 9]), barriers=True)
    apart = [replace(one, barriers={0: 0.1, 50: 0.1} if one.barriers else {}) for one in lines]
    assert keys(next(view for view in views_of(apart) if view.key == "lth-barrier-k")) == ["rewind_step", "round"]
    assert keys(next(view for view in views_of(lines) if view.key == "lth-barrier-k")) == ["round"]


def test_nothing_is_there_before_the_second_round() -> None:
    assert views_of([]) == []
    assert views_of([one for one in seen([{}]) if one.params["round"] == "0"]) == []


def test_barriers_stand_against_the_step_at_which_copies_part() -> None:
    tickets = seen(product(seed=SEEDS, rewind_step=[0, 20, 1000]), barriers=True)
    view = next(view for view in views_of(tickets) if view.key == "lth-barrier-k")
    linear, log = view.state["compareRunCharts"]
    assert (linear["metricKey"], linear["xAxisKey"], linear["range"]["yMin"]) == ("instability", "step", 0)
    assert (linear["xAxisScaleType"], log["xAxisScaleType"]) == ("linear", "log")
    assert (keys(view), "metrics.instability >= 0" in view.state["searchFilter"]) == (["round"], True)


def test_a_page_of_runs_holds_what_a_view_shows() -> None:
    """MLflow draws the first hundred runs alone."""
    tickets = seen(product(seed=list(range(20)), rewind_step=[0, 20, 100]), barriers=True)
    found = {view.key: view for view in views_of(tickets) if "barrier-k" in view.key}
    assert list(found) == ["lth-barrier-k-0", "lth-barrier-k-3"]
    assert found["lth-barrier-k-3"].name == "LMC error barrier against k, round 3"
    assert "params.round = '3'" in found["lth-barrier-k-3"].state["searchFilter"]


def test_many_lines_have_views_by_arm() -> None:
    tickets = seen(product(seed=SEEDS, arm=["low", "high"], rewind_step=list(range(10))))
    found = views_of(tickets)
    assert [(view.key, view.name) for view in found] == [
        ("lth-accuracy-low", "Accuracy against remaining weights, low"),
        ("lth-accuracy-high", "Accuracy against remaining weights, high"),
    ]
    assert "params.arm = 'low'" in found[0].state["searchFilter"]
    assert keys(found[0]) == ["rewind_step"]


def test_what_tells_apart_is_the_least() -> None:
    assert telling(seen(product(seed=SEEDS, arm=["a", "b"], rewind_step=[0, 1]))) == ("arm", "rewind_step")
    assert telling(seen([{"seed": 0}, {"seed": 1}])) == ()
