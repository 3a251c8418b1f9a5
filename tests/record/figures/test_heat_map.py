"""A swept field x the rewind step."""

import pytest
from matplotlib.figure import Figure

from lth_ray.record.figures import heat_map_figure
from tests.record.figures.setups import SEEDS, Row, frame, names, overlaps, row

WARMUPS = ("steps(0)", "steps(1000)", "steps(200)")


def swept(steps: tuple[int, ...] = (0, 500), barriers: bool = True) -> list[Row]:
    """Tickets whose accuracy grows with the warm-up and k, and their barriers."""
    rows = []
    for i, warmup in enumerate(WARMUPS):
        for step in steps:
            for seed in SEEDS:
                field = {"train.warmup": warmup}
                for number in (0, 3):
                    accuracy = 0.9 - 0.1 * (number > 0) + 0.01 * i + step / 1e5 + 0.001 * seed
                    rows.append(row(seed, number, "", f"w{i}", step, test_accuracy=accuracy, **field))
                    one = row(seed, number, "barrier", f"w{i}", step, lmc_error_barrier=0.2, spawn_step=step, **field)
                    rows += [one] if barriers else []
    return rows


def written(figure: Figure, panel: int = 0) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def test_cells_hold_mean_and_range_over_seeds() -> None:
    figure = heat_map_figure(frame(swept()), "sweep", "of something")
    assert figure is not None
    assert names(figure) == [
        "test accuracy (%), 51.2 % of weights", "change from dense (percentage points)", "error barrier (%), dense",
        "error barrier (%), ticket, 51.2 % of weights",
    ]  # fmt: skip
    assert written(figure)[:4] == ["80.1", "80.0 to 80.2", "80.6", "80.5 to 80.7"]
    assert set(written(figure, 1)[::2]) == {"-10.0"}
    assert set(written(figure, 3)[::2]) == {"20.0"}
    assert "n = 3 for each." in figure.texts[-1].get_text()
    assert not list(overlaps(figure))


def test_lengths_are_ordered_as_numbers() -> None:
    figure = heat_map_figure(frame(swept(barriers=False)))
    assert figure is not None
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["0", "200", "1k"]
    assert [label.get_text() for label in first.get_xticklabels()] == ["0", "500"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("rewind step k", "warmup (steps)")
    assert len(figure.axes) == 2


@pytest.mark.parametrize("rows", [[], swept(steps=(0,)), [one for one in swept() if "w0" in one["lineage"]]])
def test_one_value_or_one_rewind_step_is_no_map(rows: list[Row]) -> None:
    assert heat_map_figure(frame(rows)) is None
