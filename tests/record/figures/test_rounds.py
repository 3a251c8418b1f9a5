"""The figures of successive rounds and of curvature, from made-up rows."""

import pytest

from lth_ray.record.figures import curvature_figure, rounds_figure
from tests.record.figures.setups import SEEDS, Row, frame, legend, overlaps, row

BARRIERS = [0.0, 0.01, 0.03, 0.10, 0.01]  # of rounds 1 to 5
ACCURACIES = [0.97, 0.972, 0.969, 0.9699, 0.90, 0.95]  # of rounds 0 to 5


def rows() -> list[Row]:
    tickets = [row(seed, n, test_accuracy=value) for seed in SEEDS for n, value in enumerate(ACCURACIES)]
    lines = [
        row(seed, n, "connectivity", to="previous", other_round=n - 1, lmc_error_barrier=value + 0.001 * (seed - 1))
        for seed in SEEDS for n, value in enumerate(BARRIERS, 1)
    ]  # fmt: skip
    others = [row(seed, n, "connectivity", to="dense", lmc_error_barrier=0.7) for seed in SEEDS for n in range(1, 6)]
    hung = row(0, 2, "random_reinit-0/connectivity", to="previous", lmc_error_barrier=0.9)
    return [*tickets, *lines, *others, hung]


def test_barriers_to_the_round_before_beside_what_tickets_gain() -> None:
    figure = rounds_figure(frame(rows()), "rounds", "Made up.")
    assert figure is not None
    assert legend(figure) == ["tickets (n = 3)", "connected: under 2 %", "matching: -0.20 pp and up"]
    barriers, gains = (
        next(list(line.get_ydata()) for line in panel.lines if line.get_label() == "tickets (n = 3)")
        for panel in figure.axes
    )  # from the sparsest on
    assert barriers[::-1] == pytest.approx([100 * value for value in BARRIERS])
    assert gains[::-1] == pytest.approx([100 * (value - 0.97) for value in ACCURACIES[1:]])
    said = figure.texts[-1].get_text().replace("\n", " ")
    assert "Of 5 rounds, by means over seeds, 2 are connected and match" in said
    assert "connected alone: 1; matching alone: 1; neither: 1." in said
    assert not list(overlaps(figure))


def test_curvature_has_a_panel_for_what_was_measured() -> None:
    measured = [
        row(seed, n, "curvature", hessian_top=8.0 / (n + 1), hessian_trace=80.0 * (seed + 1), other=n)
        for seed in SEEDS for n in range(4)
    ]  # fmt: skip
    figure = curvature_figure(frame(measured), "curvature")
    assert figure is not None
    assert len(figure.axes) == 2
    line = next(line for line in figure.axes[0].lines if "n = 3" in str(line.get_label()))
    assert list(line.get_ydata()) == pytest.approx([8.0, 4.0, 8 / 3, 2.0][::-1])
    alone = curvature_figure(frame([{**one, "hessian_trace": None} for one in measured]))
    assert alone is not None
    assert len(alone.axes) == 1


def test_nothing_is_drawn_of_nothing() -> None:
    nothing = [row(0, 0, test_accuracy=0.9), row(0, 1, "connectivity", to="dense", lmc_error_barrier=0.1)]
    assert rounds_figure(frame(nothing)) is None
    assert curvature_figure(frame(nothing)) is None
