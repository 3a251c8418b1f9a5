"""Barriers over the step at which copies part, and along the line between them."""

from typing import Any

import pytest

from lth_ray.record.figures import instability_figure, paths_figure
from lth_ray.record.figures.drawing.lines import gather
from tests.record.figures.setups import Row, barriers, frame, legend, names, overlaps, row


def test_instability_is_drawn_over_the_step_at_which_copies_part() -> None:
    figure = instability_figure(frame(barriers()), "lmc", "of something")
    assert figure is not None
    barrier, share = figure.axes
    assert [label.get_text() for label in barrier.get_xticklabels()] == ["0", "100", "2k"]
    assert (barrier.get_ylabel(), share.get_ylabel()) == ("error barrier (%)", "distance apart, % of that travelled")
    assert legend(figure) == [
        "dense (n = 3)", "ticket, 41 % (n = 3)", "random mask, 41 % (n = 3)", "stable: under 2 %", "test set",
        "training set",
    ]  # fmt: skip
    assert not list(overlaps(figure))


def test_many_densities_are_drawn_in_a_panel_for_each_kind() -> None:
    figure = instability_figure(frame(barriers(rounds=(0, 2, 4, 6, 8))))
    assert figure is not None
    assert names(figure) == ["dense (n = 3)", "ticket (n = 3)", "random mask (n = 3)"]
    assert set(legend(figure)) >= {"16.8 %", "dense"}
    assert not list(overlaps(figure))


def test_copies_that_part_at_one_step_are_drawn_over_remaining_weights() -> None:
    figure = instability_figure(frame(barriers(rounds=(0, 2, 4), steps=(500,))))
    assert figure is not None
    assert figure.axes[0].get_xlabel() == "weights remaining (%)"


def test_arms_have_a_panel_each_where_they_are_many() -> None:
    figure = instability_figure(frame(barriers(arms=("low", "high", "warm-up"))))
    assert figure is not None
    assert names(figure) == ["low (n = 3)", "high (n = 3)", "warm-up (n = 3)"]
    assert legend(figure)[:3] == ["dense", "ticket, 41 %", "random mask, 41 %"]
    assert not list(overlaps(figure))


def test_dense_copies_that_several_lineages_share_count_once() -> None:
    rows = [row(0, 0, "barrier", step=step, spawn_step=7, lmc_error_barrier=0.1, key="same") for step in (0, 7)]
    assert gather("dense", rows, "spawn_step", "lmc_error_barrier").label == "dense (n = 1)"


def places(rows: list[Row]) -> list[Row]:
    return [{**one, "alpha": at, "test_error": error} for one in rows for at, error in ((0, 0.1), (0.5, 0.4), (1, 0.1))]


def test_paths_are_drawn_for_every_spawn_step() -> None:
    figure = paths_figure(frame(places(barriers(arms=("low", "high")))), "lmc")
    assert figure is not None
    assert len(names(figure)) == 6
    assert "dense, low (n = 3)" in names(figure)
    assert legend(figure) == ["copies part at step 0", "copies part at step 100", "copies part at step 2k"]
    line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 3)
    assert list(line.get_ydata()) == pytest.approx([10, 40, 10])
    assert not list(overlaps(figure))


def test_a_path_with_other_places_than_the_first_is_left_out() -> None:
    rows = places([row(seed, 0, "barrier", spawn_step=0) for seed in range(2)])
    figure = paths_figure(frame([*rows, {**row(2, 0, "barrier", spawn_step=0), "alpha": 0.3, "test_error": 0.9}]))
    assert figure is not None
    assert names(figure) == ["dense (n = 2)"]


@pytest.mark.parametrize("figure", [instability_figure, paths_figure])
def test_what_was_not_measured_is_not_drawn(figure: Any) -> None:
    assert figure(frame([row(0, 1, "barrier", alpha=None)])[:0]) is None


def test_batch_norms_statistics_are_told_of_where_there_are_any() -> None:
    told, silent = (
        instability_figure(frame(barriers()), "lmc", "Of what.", has_statistics=has) for has in (True, False)
    )
    words = ["\n".join(text.get_text() for text in figure.texts) for figure in (told, silent) if figure is not None]
    assert ["Batch norm's statistics" in one for one in words] == [True, False]
