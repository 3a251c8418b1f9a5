import pytest

from lth_ray.record.mlflow import cards


def test_a_tag_comes_back_as_it_was() -> None:
    state = cards.view_state([cards.line_card("Accuracy", "test_accuracy")], "x", ["seed"], [])
    tag = cards.encode("A view", state, 1_700_000_000_000)
    assert cards.decode(tag) == ("A view", state)
    assert '"state": "deflate;eJ' in tag  # what MLflow's pages look for, and how zlib's header reads in base 64


def test_a_tag_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with 'deflate;'"):
        cards.decode('{"name": "A view", "state": "gzip;AAAA"}')


@pytest.mark.parametrize(
    ("x_metric", "x_range", "y_range", "expected"),
    [
        ("", None, None, ("step", {})),
        ("remaining_weights", (1.0, 0.0), (0.9, 1.0), ("metric", {"xMin": 1.0, "xMax": 0.0, "yMin": 0.9, "yMax": 1.0})),
    ],
)
def test_a_line_has_its_axes(
    x_metric: str, x_range: cards.Range | None, y_range: cards.Range | None,
    expected: tuple[str, dict[str, float]],
) -> None:  # fmt: skip
    card = cards.line_card("Accuracy", "test_accuracy", x_metric, x_range, y_range)
    assert (card["xAxisKey"], card["range"]) == expected
    assert (card["selectedXAxisMetricKey"], card["selectedMetricKeys"]) == (x_metric, ["test_accuracy"])


def test_every_card_stands_under_its_title_and_all_runs_are_shown() -> None:
    two = [cards.line_card(title, "test_accuracy") for title in ("Against weights", "By round")]
    state = cards.view_state(two, "", [], [])
    sections = {section["uuid"]: section for section in state["compareRunSections"]}
    assert [sections[card["metricSectionId"]]["name"] for card in two] == ["Against weights", "By round"]
    assert [section["name"] for section in sections.values() if not section["display"]] == list(cards.MADE_BY_MLFLOW)
    assert (state["runsHiddenMode"], state["groupBy"]) == ("SHOWALL", None)
