"""Views in an experiment: written once, taken back with their data, and never an error."""

from collections.abc import Callable
from typing import Any

import mlflow
import pytest

from lth_ray.config import Study, steps
from lth_ray.lottery import Plan, make_plan
from lth_ray.record import entrance, replay
from lth_ray.record.mlflow import cards, saved_views
from lth_ray.record.mlflow.saved_views import SavedViews, check_version, note_of, our_tags
from lth_ray.store import Store

Fill = Callable[..., None]
FIRST = "Accuracy against remaining weights"


class Client:
    """An experiment's tags, and every write to them."""

    def __init__(self, **tags: str) -> None:
        self.tags, self.writes = dict(tags), list[str]()
        self.fails = False

    def get_experiment(self, experiment: str) -> Any:
        if self.fails:
            raise ConnectionError("nobody answers\nand more")
        return type("Experiment", (), {"tags": dict(self.tags)})

    def set_experiment_tag(self, experiment: str, key: str, value: str) -> None:
        self.tags[key] = value
        self.writes.append(key)

    def delete_experiment_tag(self, experiment: str, key: str) -> None:
        del self.tags[key]
        self.writes.append(key)


@pytest.fixture
def told() -> list[str]:
    return []


def views(client: Client, plan: Plan, fake_record: Callable[..., Any], told: list[str], rounds: int = 3) -> SavedViews:
    found = SavedViews(client, "7", told.append)
    for lineage in plan.lineages:
        for number in range(rounds):
            found.ticket(lineage, number, fake_record(lineage.rounds[number].segment, 0.8**number))
    return found


def test_views_and_the_note_are_written_once(plan: Plan, fake_record: Any, told: list[str]) -> None:
    client = Client(**{"lth.question": "Do they win?", "mlflow.source.git.commit": "abc"})
    views(client, plan, fake_record, told).write()
    assert len(our_tags(client.tags)) == 2
    note = client.tags["mlflow.note.content"]
    assert note.startswith(f"Do they win?\n\n- [{FIRST}](#/experiments/7/runs?viewStateShareKey=lth-accuracy&")
    assert note.endswith("Asked by commit `abc`.")
    written = len(client.writes)
    views(client, plan, fake_record, told).write()  # by another process
    assert (len(client.writes), told) == (written, [])


def test_what_has_lost_its_data_goes_and_what_others_saved_stays(plan: Plan, fake_record: Any, told: list[str]) -> None:
    theirs = {f"{cards.TAG}mine": "...", "mlflow.note.content": "My own words."}
    client = Client(**theirs, **{"lth.question": "Do they win?"})
    views(client, plan, fake_record, told).write()
    views(client, plan, fake_record, told, rounds=1).write()
    assert our_tags(client.tags) == {}
    assert theirs.items() <= client.tags.items()


def test_a_failure_is_told_once_and_costs_nothing(plan: Plan, fake_record: Any, told: list[str]) -> None:
    client = Client()
    client.fails = True
    saved = views(client, plan, fake_record, told)
    saved.write()
    saved.ticket(plan.lineages[0], 3, fake_record(plan.lineages[0].rounds[3].segment, 0.5))
    saved.write()
    assert told == ["MLflow's saved views are not written (ConnectionError: nobody answers)"]


def test_they_are_written_for_known_versions_alone(
    plan: Plan, fake_record: Any, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_version()
    monkeypatch.setattr(saved_views, "VERSIONS", cards.VERSIONS)
    monkeypatch.setattr(mlflow, "__version__", "4.0.1")
    client = Client()
    views(client, plan, fake_record, told).write()
    assert client.writes == []
    assert told == [
        "MLflow's saved views are not written (RuntimeError: they are known for MLflow >=3.17,<3.18, and this is 4.0.1)"
    ]


def test_a_note_without_a_question_has_its_links() -> None:
    assert note_of("", "", "7", {"lth-a": "A"}) == (
        "- [A](#/experiments/7/runs?viewStateShareKey=lth-a&compareRunsMode=CHART&workflowType=machine_learning)"
    )


def test_a_replayed_study_has_links_to_its_views(
    make_study: Callable[..., Study], recorded_store: Store, fill: Fill, database: Any
) -> None:
    plan = make_plan(make_study(rewind=[steps(0), steps(60)]))
    assert entrance(plan, recorded_store).links == {}
    fill(recorded_store, plan)
    replay(plan, recorded_store)
    found = entrance(plan, recorded_store)
    assert (found.command, found.warning) == (f"mlflow ui --backend-store-uri sqlite:///{database.path}", "")
    assert list(found.links) == [FIRST, "Early-stop step against remaining weights"]
    assert found.links[FIRST] == (
        "http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=lth-accuracy&compareRunsMode=CHART&workflowType=machine_learning"
    )
    (experiment,) = [one for one in database.client.search_experiments() if one.name == "tickets"]
    assert len(our_tags(experiment.tags)) == 2


def test_a_store_without_a_record_gets_none_by_being_shown(plan: Plan, store: Store, tmp_path: Any) -> None:
    found = entrance(plan, store)
    assert (found.links, found.warning) == ({}, "")
    assert not (tmp_path / "storage" / "mlflow.db").exists()


def test_a_server_that_is_down_is_a_warning(plan: Plan, store: Store) -> None:
    found = entrance(plan, store, "http://127.0.0.1:9")
    assert (found.links, found.command, found.where) == ({}, "", "http://127.0.0.1:9")
    assert "`lth-ray replay tickets` brings it up to date" in found.warning
