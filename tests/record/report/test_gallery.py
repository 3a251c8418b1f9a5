"""The figures that a study has; none is drawn twice."""

import io
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pandas
import pytest
import scipy.stats

from lth_ray.lottery import Plan, branch_rows, ticket_rows
from lth_ray.record.figures import metric_figure
from lth_ray.record.figures.drawing.drawn import COLUMNS
from lth_ray.record.figures.drawing.page import is_drawn, write_figure
from lth_ray.record.report import gallery, pictures
from lth_ray.record.report.gallery import Found
from lth_ray.record.report.pictures import not_drawn, write_gallery
from lth_ray.record.report.summary import summary
from lth_ray.store import Store
from tests.record.figures.setups import barriers, legend, row, weights
from tests.records import table_record

Fill = Callable[..., None]
PATH = {"alpha": [0.0, 0.5, 1.0], "test_error": [0.1, 0.4, 0.1]}
BINS = {"layer": ["fc1.weight"] * 2, "low": [-0.1, 0.0], "high": [0.0, 0.1], "all": [5.0, 5.0], "kept": [4.0, 6.0]}


@pytest.fixture
def found(plan: Plan, store: Store, fill: Fill) -> Found:
    fill(store, plan)
    tickets, branches = ticket_rows(plan, store), branch_rows(plan, store)
    measured = [*branches, *barriers(), *weights()]
    for one in measured:
        if one["branch"].endswith(("barrier", "weights")):
            columns = PATH if "barrier" in one["branch"] else BINS
            store.publish_table(one["key"], table_record(key=one["key"], columns=columns).to_json())
    return Found(plan, store, tickets, measured, summary(tickets, branches), [])


def drawings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the figures that are drawn from now on."""
    drawn: list[str] = []

    def write(store: Store, study: str, name: str, *rest: Any) -> Any:
        drawn.append(name)
        return write_figure(store, study, name, *rest)

    monkeypatch.setattr(pictures, "write_figure", write)
    return drawn


def test_a_figure_that_cannot_be_drawn_costs_no_other(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    kinds = [replace(kind, draw=fail) if kind.name == "curves" else kind for kind in gallery.KINDS]
    monkeypatch.setattr(pictures, "KINDS", kinds)
    drawn = {picture.name: picture for picture in write_gallery(found, "tickets", "of something")}
    assert drawn["curves"].paths == ()
    assert not_drawn(drawn["curves"]) == (
        "The figure 'curves' could not be drawn (ZeroDivisionError: division by zero); the tables have what it shows."
    )
    assert len([picture for picture in drawn.values() if picture.paths]) == 6


@pytest.mark.parametrize("name", [r"a $\frac{$ b", "$x$", "50 % & _under_"])
def test_words_are_drawn_as_they_are(name: str, store: Store) -> None:
    tickets = [
        row(seed, number, arm=name, test_accuracy=0.9, early_stop_step=10) for number in (0, 1) for seed in (0, 1)
    ]  # fmt: skip
    other = [{**one, "arm": "b", "lineage": one["lineage"].replace(name, "b")} for one in tickets]
    figure = metric_figure(summary([*tickets, *other], []), name, name)
    assert any(name.replace("_", " ") in label for label in legend(figure))
    write_figure(store, "tickets", "accuracy", figure)
    assert store.exists("studies/tickets/accuracy.png")


def test_networks_are_built_for_a_caption_about_barriers_alone(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    original = gallery.build_without_averages
    monkeypatch.setattr(gallery, "build_without_averages", lambda recipe: built.append(recipe) or original(recipe))
    without = replace(found, branches=[one for one in found.branches if not one["branch"].endswith("barrier")])
    assert not without.has_statistics
    assert not built
    assert not found.has_statistics  # a LeNet
    assert len(built) == 1


def test_a_study_has_every_figure_that_was_measured(found: Found) -> None:
    pictures = write_gallery(found, "tickets", "of something")
    assert [picture.name for picture in pictures] == [
        "accuracy", "curves", "instability", "paths", "surviving", "movement", "densities",
    ]  # fmt: skip
    for picture in pictures:
        assert picture.paths == tuple(f"studies/tickets/{picture.name}.{kind}" for kind in ("svg", "png", "csv"))
        assert found.store.get(picture.paths[1])[:4] == b"\x89PNG"
        numbers = pandas.read_csv(io.BytesIO(found.store.get(picture.paths[2])))
        assert list(numbers.columns) == list(COLUMNS)
        assert numbers["line"].notna().all()
        assert numbers["mean"].notna().all()


def test_a_figures_numbers_are_those_of_the_tickets(found: Found) -> None:
    write_gallery(found, "tickets", "of something")
    numbers = pandas.read_csv(io.BytesIO(found.store.get("studies/tickets/accuracy.csv")))
    tickets = pandas.DataFrame(found.tickets)
    judged = numbers[(numbers["y_axis"] == "test accuracy (%)") & (numbers["line"] == "ticket")].set_index("x")
    by_density = {round(100 * row["remaining_weights"], 6): row["round"] for row in found.tickets}
    assert {round(x, 6) for x in judged.index} == by_density.keys()
    for x, line in judged.iterrows():
        values = 100 * tickets[tickets["round"] == by_density[round(x, 6)]].groupby("seed")["test_accuracy"].mean()
        low, high = scipy.stats.t.interval(0.95, len(values) - 1, values.mean(), scipy.stats.sem(values))
        assert (line["n"], line["mean"]) == (2, pytest.approx(values.mean()))
        assert (line["low"], line["high"]) == (pytest.approx(low), pytest.approx(high))
    steps = numbers[(numbers["y_axis"] == "early-stop step") & (numbers["line"] == "random reinit")]
    branches = pandas.DataFrame(found.branches)
    own = branches[(branches["branch"] == "random_reinit") & (branches["round"] == 1)]
    assert steps["mean"].iloc[0] == pytest.approx(own.groupby("seed")["early_stop_step"].mean().mean())


def test_only_what_has_changed_is_drawn_again(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_gallery(found, "tickets", "of something")
    drawn = drawings(monkeypatch)
    assert write_gallery(found, "tickets", "of something") == first
    assert drawn == []
    found.store.delete("studies/tickets/paths.svg")
    write_gallery(found, "tickets", "of something")
    assert drawn == ["paths"]
    write_gallery(found, "tickets", "of something else")
    assert len(drawn) == 1 + len(first)


def test_the_code_of_a_drawing_is_all_that_draws() -> None:
    read = {file.name for file in gallery._modules(files("lth_ray") / "record" / "figures")}
    assert read >= {"metric.py", "lines.py", "panels.py"}


@pytest.mark.parametrize("changed", ["tickets", "code"])
def test_other_rows_and_other_code_are_drawn_again(found: Found, monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    pictures = write_gallery(found, "tickets", "")
    drawn = drawings(monkeypatch)
    if changed == "code":
        monkeypatch.setattr(gallery, "drawing_code", lambda: "another")
    else:
        found = Found(found.plan, found.store, found.tickets[:-1], found.branches, found.summary, [])
    write_gallery(found, "tickets", "")
    assert len(drawn) == len(pictures)


def test_a_figure_is_the_same_for_the_same_rows(found: Found, store: Store) -> None:
    svg, png, _ = write_figure(store, "tickets", "accuracy", metric_figure(found.summary), "sha256:a")
    first = store.get(svg)
    assert (svg, store.get(png)[:4]) == ("studies/tickets/accuracy.svg", b"\x89PNG")
    write_figure(store, "tickets", "accuracy", metric_figure(found.summary), "sha256:a")
    assert store.get(svg) == first
    assert is_drawn(store, "tickets", "accuracy", "sha256:a")
    assert not is_drawn(store, "tickets", "accuracy", "sha256:b")
    assert not is_drawn(store, "tickets", "curves", "sha256:a")
