"""Accuracy and early-stop step against remaining weights."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lth_ray.config.tasks.metric import RETURN
from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.figures import metric_figure
from lth_ray.record.figures.drawing.line_styles import Look
from lth_ray.record.figures.drawing.multiples import facets
from lth_ray.record.figures.drawing.panels import density_ticks
from lth_ray.record.figures.drawing.series import UP, Series
from lth_ray.record.paper.targets import Target, targets_of
from lth_ray.record.report.summary import summary
from lth_ray.store import Store
from tests.record.figures.setups import SEEDS, legend, names, overlaps, row

Fill = Callable[..., None]


@pytest.fixture
def summarised(plan: Plan, store: Store, fill: Fill) -> Any:
    fill(store, plan)
    return summary(ticket_rows(plan, store), branch_rows(plan, store))


def test_the_figure_has_the_papers_form(summarised: Any) -> None:
    figure = metric_figure(summarised, "tickets", "of something")
    accuracy, early_stop = figure.axes
    for panel in (accuracy, early_stop):
        assert panel.get_xscale() == "log"
        assert panel.xaxis_inverted()
        assert [label.get_text() for label in panel.get_xticklabels()] == ["100", "80", "64", "51.2"]
    assert (accuracy.get_ylabel(), early_stop.get_ylabel()) == ("test accuracy (%)", "early-stop step")
    assert legend(figure) == [
        "dense, 95 % t-interval",
        "ticket (n = 2)",
        "random reinit (n = 2 (4 runs))",
        "random mask (n = 2)",
    ]
    assert {"tickets", "of something"} <= {text.get_text() for text in figure.texts}


def test_steps_at_which_some_still_learn_are_marked() -> None:
    ends = {0: 300, 1: 300, 2: 600}  # of 600 steps, at each of two rounds; only the last one's may come later
    rows = [
        row(seed, number, early_stop_step=step, early_stop_at_end=step == 600 and number > 0, train_steps=600)
        for number in range(2) for seed, step in ends.items()
    ]  # fmt: skip
    figure = metric_figure(summary(rows, []))
    (marked,) = [line for line in figure.axes[1].lines if line.get_marker() == UP]
    half = 4.302653 * 100  # Student's t of two degrees of freedom, times the deviation over the root of n: 300 / 3
    assert list(marked.get_xdata()) == [pytest.approx(100 * 0.8)]
    assert list(marked.get_ydata()) == [pytest.approx(400 + half)]  # on top of the interval
    assert "the last step of some runs, or later" in legend(figure)


def test_without_validation_there_is_one_panel() -> None:
    rows = [
        {
            "lineage": "k0/seed0", "arm": "", "method": "weights", "seed": 0, "rewind_step": 0, "round": number,
            "remaining_weights": 0.8**number, "test_accuracy": 0.9, "early_stop_step": None,
            "test_accuracy_at_early_stop": None,
        }
        for number in range(3)
    ]  # fmt: skip
    assert len(metric_figure(summary(rows, [])).axes) == 1


def test_a_collapsed_network_does_not_flatten_the_others(summarised: Any) -> None:
    summarised.loc[summarised.index[-1], "test_accuracy"] = 0.1
    panel = metric_figure(summarised).axes[0]
    assert panel.get_ylim()[0] > 80
    assert "1 point below" in [text.get_text() for text in panel.texts]


def test_the_dense_network_is_a_level_in_its_range(summarised: Any) -> None:
    panel = metric_figure(summarised).axes[0]
    dense = summarised[summarised["round"] == 0].iloc[0]
    level = next(line for line in panel.lines if line.get_label() == "dense, 95 % t-interval")
    (band,) = panel.patches
    assert level.get_ydata()[0] == pytest.approx(100 * dense["test_accuracy"])
    half = dense["test_accuracy_half_width"]
    low, high = 100 * (dense["test_accuracy"] - half), 100 * (dense["test_accuracy"] + half)
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((low, high))


def test_error_bars_are_the_interval_that_tables_have(summarised: Any) -> None:
    panel = metric_figure(summarised).axes[0]
    bars = [segment[:, 1] for collection in panel.collections for segment in collection.get_segments()]
    tickets = summarised[summarised["branch"] == ""]
    mean, half = tickets["test_accuracy"], tickets["test_accuracy_half_width"]
    expected = 100 * np.stack([mean - half, mean + half], axis=1)
    assert [end for bar in bars[: len(tickets)] for end in bar] == pytest.approx(list(expected.flat))
    low, high = panel.get_ylim()
    assert low < expected.min()
    assert high > expected.max()


@pytest.mark.parametrize(
    ("percents", "ticks"),
    [([], []), ([100.0], [100.0]), ([100, 99.9, 80], [100, 80]), ([100, 10, 1], [100, 10, 1])],
)
def test_ticks_stand_at_densities_that_were_measured(percents: list[float], ticks: list[float]) -> None:
    assert density_ticks(percents) == ticks


def many_branches() -> Any:
    tickets = [row(seed, number, test_accuracy=0.95 - 0.01 * number) for number in range(5) for seed in SEEDS]
    branches = [
        row(seed, 4, "perturb", test_accuracy=0.8, weights=values, noise=noise)
        for values in ("rewound", "init", "shuffle_layer") for noise in (0.0, 1.0, 2.0, 3.0) for seed in SEEDS
    ]  # fmt: skip
    return summary(tickets, [*branches, *(row(seed, 4, "random_mask", test_accuracy=0.85) for seed in SEEDS)])


def test_many_kinds_of_subnetworks_are_small_multiples() -> None:
    figure = metric_figure(many_branches(), "early phase", "of something", targets_of("early-phase"))
    found = names(figure)
    assert found[0] == "ticket"
    assert found[1:] == [
        "perturb, weights rewound", "perturb, weights init", "perturb, weights shuffle_layer", "random mask",
    ]  # fmt: skip
    within = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert within == ["ticket (n = 3)", *(f"noise {noise} (n = 3)" for noise in (0, 1, 2, 3))]
    assert not list(overlaps(figure))


def test_what_no_word_divides_is_cut_into_equal_panels() -> None:
    lines = [Series(f"ticket, arm{i}", ({"branch": "", "runs": 1, "seeds": 1},), Look("")) for i in range(15)]
    assert {name: len(own) for name, own in facets(lines).items()} == {"ticket (1 of 2)": 8, "ticket (2 of 2)": 7}


def test_papers_are_stars_hollow_where_unchecked_and_left_out_where_far() -> None:
    rows = [row(seed, n, arm="high", test_accuracy=0.905 - 0.004 * n) for n in range(5) for seed in SEEDS]
    targets = [*targets_of("resnet20-cifar10"), *targets_of("lmc-resnet20")]
    figure = metric_figure(summary(rows, []), "resnet", "", targets)
    assert "Frankle & Carbin 2019 [P]" in legend(figure)
    far = metric_figure(summary([{**one, "test_accuracy": 0.5} for one in rows], []), "resnet", "", targets)
    assert any("out of range" in text.get_text() for text in far.axes[0].texts)
    lenet = [{**one, "arm": "", "test_accuracy": 0.98} for one in rows]
    unchecked = metric_figure(summary(lenet, []), "lenet", "", targets_of("lmc-lenet"))
    star = next(line for line in unchecked.axes[0].lines if line.get_marker() == "*")
    assert (star.get_label(), star.get_markerfacecolor()) == ("Frankle et al. 2020a [N, R], unchecked", "white")


def reported(density: str) -> Target:
    fields = dict.fromkeys(Target.__dataclass_fields__, "")
    low, high = (float(end) for end in density.split("-"))
    numbers = {"parameters": {}, "value": 90.0, "low": 90.0, "high": 90.0, "spread": None}
    kind = {"paper": "a paper", "series": "ticket", "quantity": "test_accuracy", "unit": "%", "mark": "P"}
    return Target(**{**fields, **kind, **numbers, "remaining_weights": (low, high)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("density", "rounds", "stars"),
    [
        ("0.41-0.41", 5, [41]), ("0.3-0.3", 5, [30]), ("0.02-0.02", 5, []), ("0.02-0.8", 5, [80]),
        ("0.3-0.3", 2, []), ("0.02-0.02", 12, []), ("0.035-0.035", 12, [3.5]),
    ],
)  # fmt: skip
def test_a_density_far_from_ours_is_counted_and_leaves_our_line_its_room(
    density: str, rounds: int, stars: list[float]
) -> None:
    rows = [row(seed, n, test_accuracy=0.91 - 0.002 * n) for n in range(rounds) for seed in SEEDS]
    panel = metric_figure(summary(rows, []), "", "", [reported(density)]).axes[0]
    drawn = [x for line in panel.lines if line.get_marker() == "*" for x in line.get_xdata()]
    assert drawn == pytest.approx(stars)
    said = [text.get_text() for text in panel.texts]
    assert ("1 reported value out of range" in said) == (not stars)
    left, right = (math.log(end) for end in panel.get_xlim())
    assert (left - right) * 0.55 < -math.log(0.8 ** (rounds - 1))


def test_a_paper_is_drawn_where_none_of_ours_has_learnt() -> None:
    rows = [row(seed, n) for n in range(3) for seed in SEEDS]
    panel = metric_figure(summary(rows, []), "", "", [reported("0.5-0.5")]).axes[0]
    assert [text.get_text() for text in panel.texts] == ["1 reported value out of range"]  # of an empty axis


def test_nothing_is_far_where_a_metric_has_no_bounds() -> None:
    """Returns of games: what random subnetworks come to is the point of the figure, however low."""
    rows = [
        {**row(seed, n), "test_return": 200.0 if n < 4 else 10.0, "test_return_at_early_stop": None}
        for n in range(5)
        for seed in SEEDS
    ]
    (panel, *_) = metric_figure(summary(rows, [], metric=RETURN), "games", "").axes
    assert panel.get_ylim()[0] < 10
    assert not [text for text in panel.texts if "below" in text.get_text()]
