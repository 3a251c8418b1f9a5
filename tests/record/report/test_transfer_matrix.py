"""Sources x targets: which cell is whose, what it is compared with, and its heat map."""

from typing import Any

import pytest

from lth_ray.config import ACCURACY
from lth_ray.record.figures import transfer_matrix_figure
from lth_ray.record.report.listing import in_markdown
from lth_ray.record.report.tables import framed
from lth_ray.record.report.transfer_matrix import cells, matrix_listing, transfer_matrix
from tests.record.figures.setups import names, overlaps, row

CHANGES = {
    "a": {"data.name": "cifar10", "data.part": "a"},
    "b": {"data.name": "cifar10", "data.part": "b"},
    "c": {"data.name": "parquet:/x/tiny_net", "data.part": None},
}
SOURCES, SEEDS = ("a", "b"), (0, 1)


def accuracy(source: str, target: str, seed: int) -> float:
    return 0.8 + 0.02 * "abc".index(target) - 0.05 * (source != target) + 0.01 * seed


def study() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two sources and three targets at one round, controls at .6, and dense networks at .9."""
    tickets, branches = [], []
    for source in SOURCES:
        for seed in SEEDS:
            tickets.append(row(seed, 0, arm=source, test_accuracy=0.9))
            own = row(seed, 2, arm=source, test_accuracy=accuracy(source, source, seed))
            tickets.append(own)
            for target, changes in CHANGES.items():
                said = {"changes": changes, "output": "redrawn"}
                key = {"key": own["key"]} if source == target else {}
                value = accuracy(source, target, seed)
                branches.append(row(seed, 2, "transfer", source, test_accuracy=value, start="rewound", **said) | key)
                for accurate in (0.59, 0.61):  # copies
                    control = row(seed, 2, "transfer", source, test_accuracy=accurate, start="random", **said)
                    branches.append(control)
    return tickets, branches


def test_cells_are_compared_with_controls_and_the_target_s_own_ticket_by_seed() -> None:
    found = {(cell.source, cell.target): cell for cell in cells(*study())}
    assert list(found) == [(source, target) for source in SOURCES for target in ("a", "b", "tiny net")]
    crossed = found["a", "b"]
    assert crossed.values == pytest.approx({0: 0.77, 1: 0.78})
    assert crossed.over["control"] == pytest.approx({0: 0.17, 1: 0.18})
    assert crossed.over["own"] == pytest.approx({0: -0.05, 1: -0.05})
    assert crossed.over["dense"] == pytest.approx({0: -0.13, 1: -0.12})
    assert found["b", "b"].over["own"] == {0: 0.0, 1: 0.0}
    assert found["a", "tiny net"].over["own"] == found["a", "tiny net"].over["dense"] == {}  # it is no source


def test_its_table() -> None:
    listing = matrix_listing(transfer_matrix(*study()))
    assert listing is not None
    text = in_markdown(listing)
    assert (
        "| a | b | 2 | 64.00 % | 77.50 % ± 6.35 | +17.50 pp ± 6.35 | -5.00 pp ± 0.00 | -12.50 pp ± 6.35 | 2 |" in text
    )
    assert "| b | tiny net | 2 | 64.00 % | 79.50 % ± 6.35 | +19.50 pp ± 6.35 |  |  | 2 |" in text
    tickets, branches = study()
    alone = [one for one in branches if one["arm"] == "a" and one["changes"] == CHANGES["b"]]
    assert matrix_listing(transfer_matrix(tickets, alone)) is None
    assert matrix_listing(transfer_matrix([], [])) is None


def test_its_heat_map() -> None:
    tickets, branches = study()
    figure = transfer_matrix_figure(framed([*tickets, *branches], ACCURACY), "travels", "of something")
    assert figure is not None
    assert names(figure) == [
        "test accuracy (%), 64 % of weights", "less its control (pp)", "less the target's own ticket (pp)",
        "less the target's dense network (pp)",
    ]  # fmt: skip
    written = [[text.get_text() for text in panel.texts][::2] for panel in figure.axes]
    assert written[0] == ["80.5", "77.5", "79.5", "75.5", "82.5", "79.5"]
    assert written[2] == ["-5.0", "-5.0"]  # not where source and target are one
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a", "b", "tiny net"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["b", "a"]  # the first source on top
    assert not list(overlaps(figure))
    assert transfer_matrix_figure(framed(tickets, ACCURACY)) is None


def test_optimizers_and_rates_are_told_by_what_differs() -> None:
    tickets, branches = study()
    moved = []
    for one in branches:
        kind = next(name for name, change in CHANGES.items() if change == one["changes"])
        changes = {"a": ("sgd", 0.1), "b": ("adam", 3e-4), "c": ("adam", 0.001)}[kind]
        moved.append({**one, "changes": {"train.optimizer": changes[0], "train.lr": changes[1], "train.eps": 1e-8}})
    assert [cell.target for cell in cells(tickets, moved)][:3] == ["a", "b", "adam 0.001"]
