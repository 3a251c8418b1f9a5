"""Retraining methods against compression and search cost."""

import pytest

from lth_ray.record.figures import retraining_figure
from lth_ray.record.figures.retraining import best_points
from tests.record.figures.setups import SEEDS, frame, legend, names, overlaps, row


def test_retraining_methods_are_compared_at_their_cost() -> None:
    tickets = [
        row(seed, number, step=step, method=method, search_epochs=number * 10.0 + step / 100, test_accuracy=0.9)
        for method in ("weights", "fine_tune") for step in (0, 500) for number in range(5) for seed in SEEDS
    ]  # fmt: skip
    figure = retraining_figure(frame(tickets), "retraining")
    assert figure is not None
    assert names(figure) == ["each at its best", "51.2 % of weights", "41 % of weights"]
    assert legend(figure) == ["dense, 95 % t-interval", "weights (n = 3)", "fine tune (n = 3)"]
    assert retraining_figure(frame([one for one in tickets if one["method"] == "weights"])) is None
    assert not list(overlaps(figure))


def test_compression_shows_the_retraining_time_that_validation_prefers() -> None:
    rows = [
        row(seed, number, step=step, validation_accuracy=good - 0.1 * number, test_accuracy=1 - good)
        for number in (1, 2) for step, good in ((0, 0.5), (40, 0.9), (80, 0.7)) for seed in SEEDS
    ]  # fmt: skip
    found = best_points(rows, "validation_accuracy")
    assert [(one["round"], one["rewind_step"]) for one in found] == [(1, 40)] * 3 + [(2, 40)] * 3
    figure = retraining_figure(frame([{**one, "method": m, "search_epochs": 1.0} for one in rows for m in "ab"]))
    assert figure is not None
    line = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith("a "))
    assert list(line.get_xdata()) == pytest.approx([1.25, 1.5625])
    assert list(line.get_ydata()) == pytest.approx([10, 10])
    assert "by mean validation accuracy." in figure.texts[-1].get_text()
