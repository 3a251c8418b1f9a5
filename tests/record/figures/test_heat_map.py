"""A swept field x the rewind step."""

import pytest
from matplotlib.figure import Figure

from lth_ray.record.figures import heat_map_figure
from tests.record.figures.setups import SEEDS, Row, frame, names, overlaps, row

WARMUPS = ("steps(0)", "steps(1000)", "steps(200)")


def swept(steps: tuple[int, ...] = (0, 500), barriers: bool = True, before: str = "") -> list[Row]:
    """Tickets whose accuracy grows with the warm-up and k, and their barriers."""
    rows = []
    for i, warmup in enumerate(WARMUPS):
        for step in steps:
            for seed in SEEDS:
                field = {"train.warmup": warmup}
                for number in (0, 3):
                    accuracy = 0.9 - 0.1 * (number > 0) + 0.01 * i + step / 1e5 + 0.001 * seed
                    arm = f"{before}warmup={warmup}"
                    rows.append(row(seed, number, "", arm, step, test_accuracy=accuracy, **field))
                    one = row(seed, number, "barrier", arm, step, lmc_error_barrier=0.2, spawn_step=step, **field)
                    rows += [one] if barriers else []
    return rows


def written(figure: Figure, panel: int = 0) -> list[str]:
    return [text.get_text() for text in figure.axes[panel].texts]


def test_cells_hold_mean_and_interval_over_seeds() -> None:
    figure = heat_map_figure(frame(swept()), "sweep", "of something")
    assert figure is not None
    assert names(figure) == [
        "test accuracy (%), 51.2 % of weights", "change from dense (percentage points)", "error barrier (%), dense",
        "error barrier (%), ticket, 51.2 % of weights",
    ]  # fmt: skip
    assert written(figure)[:4] == ["80.1", "± 0.2", "80.6", "± 0.2"]  # t = 4.303, sd .1, n = 3: .248
    assert set(written(figure, 1)[::2]) == {"-10.0"}
    assert set(written(figure, 3)[::2]) == {"20.0"}
    assert "n = 3 seeds for each." in figure.texts[-1].get_text()
    assert not list(overlaps(figure))


def test_arms_and_other_sweeps_have_maps_of_their_own() -> None:
    """Two arms that differ by ten points, each over two learning rates: no cell is their mean."""
    rows = []
    for arm, worse in (("iterative", 0.0), ("one_shot", 0.1)):
        for rate in ("0.1", "0.2"):
            own = swept(barriers=False, before=f"{arm}/lr={rate}/")
            rows += [
                {**one, "arm": arm, "test_accuracy": one["test_accuracy"] - worse, "train.lr": rate} for one in own
            ]
    figure = heat_map_figure(frame(rows))
    assert figure is not None
    assert len(names(figure)) == 6  # three of four variants, each with accuracy and change; and it says so
    assert names(figure)[0] == "iterative, lr 0.1, test accuracy (%), 51.2 % of weights"
    assert names(figure)[-2] == "one shot, lr 0.2, test accuracy (%), 51.2 % of weights"
    assert (written(figure, 0)[0], written(figure, 4)[0]) == ("80.1", "70.1")
    assert "n = 3 seeds for each." in figure.texts[-1].get_text()
    assert "3 of 4 variants are shown" in figure.texts[-1].get_text()


def test_copies_of_a_seed_are_averaged_within_a_cell() -> None:
    rows = swept(barriers=False)
    twice = {**rows[-1], "key": "another", "test_accuracy": rows[-1]["test_accuracy"] + 0.3}
    figure = heat_map_figure(frame([*rows, twice]))
    assert figure is not None
    assert "n = 3 seeds" in figure.texts[-1].get_text()


def test_lengths_are_ordered_as_numbers() -> None:
    figure = heat_map_figure(frame(swept(barriers=False)))
    assert figure is not None
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_yticklabels()] == ["0", "200", "1k"]
    assert [label.get_text() for label in first.get_xticklabels()] == ["0", "500"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("rewind step k", "warmup (steps)")
    assert len(figure.axes) == 2


@pytest.mark.parametrize("rows", [[], swept(steps=(0,)), [one for one in swept() if "steps(0)" in one["lineage"]]])
def test_one_value_or_one_rewind_step_is_no_map(rows: list[Row]) -> None:
    assert heat_map_figure(frame(rows)) is None
