"""The metric against parameters, of tickets, their architectures from scratch, and networks by their pattern."""

import json
from typing import Any

import pytest

from lth_ray.record.figures import architectures_figure
from tests.record.figures.setups import SEEDS, Row, frame, legend, names, overlaps, row

OTHER = {"model": json.dumps({"name": "cifar_vgg19"}), "changes": json.dumps({"name": "cifar100"})}


def of(branch: str, accuracy: float, share: float = 0.9, **fields: Any) -> list[Row]:
    return [
        row(seed, number, branch, test_accuracy=accuracy - 0.01 * number,
            remaining_of_all=share**number + 0.01 * seed * (number > 0), **fields)
        for number in range(1 if branch else 0, 3) for seed in SEEDS
    ]  # fmt: skip


ROWS = [
    *of("", 0.9),
    *of("scratch", 0.92, budget="flops"),
    *of("scratch", 0.91, budget="epochs"),
    *of("guided", 0.88, 0.8, pattern="channels", uniform=False, changes="{}"),
    *of("guided", 0.85, 0.7, pattern="channels", uniform=True, changes="{}"),
    *of("guided", 0.6, 0.8, pattern="channels", uniform=False, **OTHER),
]


@pytest.mark.parametrize("as_stored", [True, False])
def test_lines_stand_at_the_parameters_that_are_left(as_stored: bool) -> None:
    rows = ROWS
    if not as_stored:
        rows = [{k: json.loads(v) if k in OTHER and isinstance(v, str) else v for k, v in one.items()} for one in ROWS]
    figure = architectures_figure(frame(rows), "architectures")
    assert figure is not None
    assert names(figure) == ["the study's own", "cifar_vgg19, name cifar100"]
    ways = ["ticket", "scratch, budget flops", "scratch, budget epochs", "guided, not uniform", "guided, uniform"]
    assert legend(figure) == [
        "dense, 95 % t-interval", *(f"{way} (n = 3)" for way in ways), "guided (n = 3)"
    ]  # fmt: skip
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    drawn = lines["guided, uniform (n = 3)"].get_xydata()
    assert drawn[:, 0] == pytest.approx([71, 50])  # the mean over seeds
    assert drawn[:, 1] == pytest.approx([84, 83])
    assert lines["dense, 95 % t-interval"].get_ydata() == pytest.approx([90, 90])
    assert not list(overlaps(figure))


def test_there_is_none_where_nothing_was_trained_from_scratch() -> None:
    assert architectures_figure(frame(ROWS[:9])) is None


def test_rounds_that_leave_as_much_are_one_point_of_all_their_rows() -> None:
    rows = [one | {"remaining_of_all": 0.5} if one["round"] else one for one in ROWS]
    figure = architectures_figure(frame(rows))
    assert figure is not None
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    drawn = lines["scratch, budget flops (n = 3 (6 runs))"].get_xydata()
    assert drawn.tolist() == [pytest.approx([50, 90.5])]  # the mean of rounds 1 and 2, 91 and 90 %
