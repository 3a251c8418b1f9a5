from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure

from lth_ray.config import Study
from lth_ray.lottery import Plan, branch_rows, make_plan, ticket_rows
from lth_ray.record.figures import accuracy_figure
from lth_ray.record.page import write_figure
from lth_ray.record.panels import density_ticks
from lth_ray.record.report import report
from lth_ray.record.summary import summary
from lth_ray.store import Store

Fill = Callable[..., None]


@pytest.fixture
def frame(plan: Plan, store: Store, fill: Fill) -> Any:
    fill(store, plan)
    return summary(ticket_rows(plan, store), branch_rows(plan, store))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_figure_has_the_papers_form(frame: Any) -> None:
    figure = accuracy_figure(frame, "tickets", "of something")
    accuracy, early_stop = figure.axes
    for panel in (accuracy, early_stop):
        assert panel.get_xscale() == "log"
        assert panel.xaxis_inverted()
        assert [label.get_text() for label in panel.get_xticklabels()] == ["100", "80", "64", "51.2"]
    assert (accuracy.get_ylabel(), early_stop.get_ylabel()) == ("test accuracy (%)", "early-stop step")
    assert words(figure) == ["ticket (n = 2)", "random reinit (n = 4 of 2 seeds)", "random mask (n = 2)"]
    assert {"tickets", "of something"} <= {text.get_text() for text in figure.texts}


def test_without_validation_there_is_one_panel() -> None:
    rows = [
        {
            "lineage": "k0/seed0", "arm": "", "method": "weights", "seed": 0, "rewind_step": 0, "round": number,
            "remaining_weights": 0.8**number, "test_accuracy": 0.9, "early_stop_step": None,
            "test_accuracy_at_early_stop": None,
        }
        for number in range(3)
    ]  # fmt: skip
    assert len(accuracy_figure(summary(rows, [])).axes) == 1


def test_a_collapsed_network_does_not_flatten_the_others(frame: Any) -> None:
    frame.loc[frame.index[-1], ["test_accuracy", "test_accuracy_min"]] = 0.1
    panel = accuracy_figure(frame).axes[0]
    assert panel.get_ylim()[0] > 80
    assert "1 point below" in [text.get_text() for text in panel.texts]


@pytest.mark.parametrize(
    ("percents", "ticks"),
    [([], []), ([100.0], [100.0]), ([100, 99.9, 80], [100, 80]), ([100, 10, 1], [100, 10, 1])],
)
def test_ticks_stand_at_densities_that_were_measured(percents: list[float], ticks: list[float]) -> None:
    assert density_ticks(percents) == ticks


def test_figures_are_the_same_for_the_same_rows(frame: Any, store: Store) -> None:
    svg, png = write_figure(store, "tickets", "accuracy", accuracy_figure(frame))
    first = store.get(svg)
    assert (svg, store.get(png)[:4]) == ("studies/tickets/accuracy.svg", b"\x89PNG")
    write_figure(store, "tickets", "accuracy", accuracy_figure(frame))
    assert store.get(svg) == first


def test_a_report_of_a_study_at_work_states_n(plan: Plan, store: Store, fill: Fill) -> None:
    empty = report(plan, store)
    assert (empty.figures, len(empty.summary)) == ((), 0)
    assert "0 of 8 tickets and 0 of 14 branch results are finished." in empty.markdown
    fill(store, plan, rounds=[0, 1])
    store.delete(f"segments/{plan.lineages[1].rounds[1].segment.key}.json")
    partial = report(plan, store, question="Do tickets win?")
    assert "3 of 8 tickets and 4 of 14 branch results are finished." in partial.markdown
    assert partial.markdown.startswith("# tickets\n\nDo tickets win?\n")
    assert "lenet_300_100 on digits, adam at 0.0012, 300 steps." in partial.markdown
    assert "lth_ray 0.1.0, torch 2.14.1; a processor" in partial.markdown
    assert partial.summary["runs"].tolist() == [2, 1, 4]
    assert store.get(partial.page).decode() == partial.markdown
    assert all(store.exists(path) for path in (*partial.tables, *partial.figures))


def test_the_report_names_the_diverged(make_study: Callable[..., Study], store: Store, fill: Fill) -> None:
    plan = make_plan(make_study(branches=[], seeds=[0]))
    fill(store, plan, rounds=[0])
    fill(store, plan, rounds=[1], diverged_at=40)
    assert "Diverged, and in no mean: k0/seed0 round 1." in report(plan, store, "other").markdown
    assert store.exists("studies/other/report.md")
