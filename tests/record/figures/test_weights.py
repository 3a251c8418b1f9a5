"""Figures of what tickets are made of: surviving weights, their movement, layers, masks."""

from typing import Any

import pytest

from lth_ray.record.figures import densities_figure, movement_figure, overlap_figure, signs_figure, surviving_figure
from tests.record.figures.setups import SEEDS, Row, frame, legend, names, overlaps, row, weights


def bins(rows: list[Row]) -> list[Row]:
    edges, every, kept = (-0.2, -0.1, 0.0, 0.1, 0.2), (1.0, 4.0, 4.0, 1.0), (4.0, 1.0, 1.0, 4.0)
    return [
        {**one, "layer": layer, "low": edges[i], "high": edges[i + 1], "all": every[i], "kept": kept[i]}
        for one in rows for layer in ("fc1.weight", "fc2.weight", "output.weight") for i in range(4)
    ]  # fmt: skip


def test_surviving_weights_have_a_panel_for_each_layer() -> None:
    figure = surviving_figure(frame(bins(weights())), "weights")
    assert figure is not None
    assert names(figure) == ["fc1.weight (n = 3)", "fc2.weight (n = 3)", "output.weight (n = 3)"]
    assert legend(figure)[0] == "all, at initialisation"
    assert len(legend(figure)) == 5
    assert list(figure.axes[0].lines[0].get_ydata()) == [4, 1, 1, 4]
    assert not list(overlaps(figure))


def test_movement_sets_kept_against_pruned() -> None:
    figure = movement_figure(frame(weights()), "weights")
    assert figure is not None
    assert legend(figure) == ["kept (n = 3)", "pruned (n = 3)", "away from zero (n = 3)", "sign changed (n = 3)"]
    many = movement_figure(frame(weights(tuple("abcdefghij"))), "weights", "of something")
    assert many is not None
    assert "6 of 10 variants are shown; the tables have all." in many.texts[-1].get_text()


@pytest.mark.parametrize("count", [3, 20])
def test_layers_are_told_apart(count: int) -> None:
    tickets = [row(seed, number, arm=arm) for arm in ("global", "layer") for number in range(6) for seed in SEEDS]
    layers = [{**one, "layer": f"conv{i}.weight", "density": 0.5} for one in tickets for i in range(count)]
    figure = densities_figure(frame(layers), "layers")
    assert figure is not None
    assert names(figure) == ["global (n = 3)", "layer (n = 3)"]
    assert len(legend(figure)) == count + 1
    assert not list(overlaps(figure))


def test_weights_of_other_subnetworks_are_lines_of_their_own() -> None:
    """Tickets move .2 and random masks .6: no line is their mean."""
    tickets = weights()
    masks = [{**one, "key": f"{one['key']}m", "branch": "random_mask-0/weights", "moved_kept": 0.6} for one in tickets]
    figure = movement_figure(frame([*tickets, *masks]))
    assert figure is not None
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["ticket, kept (n = 3)"] == pytest.approx([0.2] * 7)
    assert lines["random mask, kept (n = 3)"] == pytest.approx([0.6] * 7)


def test_overlap_counts_seeds() -> None:
    rows = [
        row(seed, number, "mask_overlap", other_seed=other, jaccard=0.5, jaccard_by_chance=0.4)
        for number in (1, 2) for seed in SEEDS for other in range(seed + 1, 3)
    ]  # fmt: skip
    figure = overlap_figure(frame(rows), "overlap")
    assert figure is not None
    assert legend(figure) == ["pairs of seeds (n = 3)", "by chance"]


@pytest.mark.parametrize("figure", [densities_figure, movement_figure, overlap_figure, surviving_figure])
def test_what_was_not_measured_is_not_drawn(figure: Any) -> None:
    assert figure(frame([row(0, 0, "weights"), row(0, 0, "mask_overlap")])[:0]) is None


def test_flipped_signs_since_the_start_and_since_initialisation() -> None:
    """A branch's result says nothing of initialisation; of tickets and the random masks' the means are their own."""
    tickets = [
        {**one, "branch": "sign_flips", "signs_flipped": 0.1, "signs_flipped_since_init": 0.2} for one in weights()
    ]
    masks = [
        {**one, "key": f"{one['key']}m", "branch": "random_mask-0/sign_flips", "signs_flipped": 0.3} for one in tickets
    ]
    masks = [{**one, "signs_flipped_since_init": None} for one in masks]
    figure = signs_figure(frame([*tickets, *masks]), "signs")
    assert figure is not None
    left, right = ({line.get_label(): list(line.get_ydata()) for line in axis.lines} for axis in figure.axes)
    assert left["ticket, in its training (n = 3)"] == pytest.approx([10.0] * 7)
    assert left["random mask, in its training (n = 3)"] == pytest.approx([30.0] * 7)
    assert right["ticket, since initialisation (n = 3)"] == pytest.approx([20.0] * 7)
    assert not any(label.startswith("random mask") for label in right)
    assert signs_figure(frame(weights())) is None
