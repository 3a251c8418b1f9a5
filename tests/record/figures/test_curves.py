"""Training curves by density."""

import math

import pytest

from lth_ray.record.figures import curves_figure
from tests.record.figures.setups import SEEDS, Row, frame, legend, names, overlaps, row


def evaluations(arms: tuple[str, ...] = ("",), has_loss: bool = True, every: int = 50) -> list[Row]:
    return [
        {
            **row(seed, number, arm=arm), "step": step, "validation_loss": math.exp(-step / 99) if has_loss else None,
            "test_accuracy": 0.98 - 0.05 * number - 0.8 * math.exp(-step / 40) + 0.01 * (seed - 1),
        }
        for arm in arms for number in (0, 1, 2) for seed in SEEDS for step in range(every, 401, every)
    ]  # fmt: skip


def test_a_line_for_each_density_with_the_loss_beside_it() -> None:
    figure = curves_figure(frame(evaluations()), "curves", "of something")
    assert figure is not None
    assert legend(figure) == ["100 % of weights", "80 % of weights", "64 % of weights"]
    assert [panel.get_ylabel() for panel in figure.axes] == ["test accuracy (%)", "validation loss"]
    assert names(figure)[0] == "n = 3"
    dense = figure.axes[0].lines[0]
    assert list(dense.get_xdata()) == list(range(50, 401, 50))
    assert dense.get_ydata()[-1] == pytest.approx(98, abs=0.1)
    assert not list(overlaps(figure))


def test_arms_have_a_panel_each() -> None:
    figure = curves_figure(frame(evaluations(("iterative", "one_shot"))))
    assert figure is not None
    assert names(figure) == ["iterative (n = 3)", "one shot (n = 3)"]
    assert not list(overlaps(figure))


def test_what_lies_low_at_the_start_does_not_flatten_the_rest() -> None:
    figure = curves_figure(frame(evaluations(has_loss=False)))
    assert figure is not None
    (panel,) = figure.axes
    assert 60 < panel.get_ylim()[0] < 87


def test_two_evaluations_make_no_curve() -> None:
    assert curves_figure(frame(evaluations(every=200))) is None
    assert curves_figure(frame([])) is None
