"""Tickets as LoggedModels, and those of a matching verdict in the registry."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from safetensors.torch import load_file

from lth_ray import Data, Model, Prune, Study, Train, load_ticket, steps
from lth_ray.lottery import Plan, ticket_rows
from lth_ray.lottery.kept.stored import finished_segment
from lth_ray.record import comparisons, entrance, replay
from lth_ray.record.mlflow import rows
from lth_ray.record.mlflow.models import Models, model_name, ticket_page
from lth_ray.record.mlflow.registry import alias_of, is_finished
from lth_ray.store import Store
from tests.running.conftest import train_here

Fill = Callable[..., None]


def models(database: Any, study: str = "tickets") -> list[Any]:
    experiment = database.client.get_experiment_by_name(study)
    return sorted(database.client.search_logged_models([experiment.experiment_id]), key=lambda model: model.name)


def files(model: Any) -> dict[str, Path]:
    folder = Path(urlsplit(model.artifact_location).path)
    return {path.name: path for path in folder.iterdir()}


def test_every_ticket_is_a_model_of_its_run_once(plan: Plan, recorded_store: Store, fill: Fill, database: Any) -> None:
    fill(recorded_store, plan)
    replay(plan, recorded_store)
    found, tickets = models(database), database.runs("ticket")
    assert [model.name for model in found] == [model_name(run.info.run_name) for run in tickets]
    assert {str(model.status) for model in found} == {"READY"}
    third = found[2]
    assert (third.name, third.source_run_id) == ("k0-seed0-round2", tickets[2].info.run_id)
    assert (third.params["round"], third.tags["lth.digest"]) == ("2", tickets[2].data.tags["lth.digest"])
    measured = {metric.key: metric.value for metric in third.metrics}
    assert measured["remaining_weights"] == pytest.approx(0.64)
    assert measured["test_accuracy"] == tickets[2].data.metrics["test_accuracy"]
    assert [output.model_id for output in tickets[2].outputs.model_outputs] == [third.model_id]
    assert json.loads(files(third)["ticket.json"].read_text())["storage"] == recorded_store.uri
    replay(plan, recorded_store)
    assert len(models(database)) == len(found)


def test_a_model_that_was_broken_off_is_completed(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(recorded_store, plan, branches=False)
    finish, known = Models.finish, rows.REVISIONS
    monkeypatch.setattr(rows, "REVISIONS", ())  # a server's: there a run is made by several calls
    monkeypatch.setattr(Models, "finish", lambda *_: (_ for _ in ()).throw(ConnectionError("it is gone")))
    lineage = replace(plan, lineages=plan.lineages[:1], branches=())
    with pytest.raises(Exception, match="it is gone"), pytest.warns(UserWarning, match="not recorded"):
        replay(lineage, recorded_store)
    begun = models(database)
    assert {str(model.status) for model in begun} == {"PENDING"}
    monkeypatch.setattr(Models, "finish", finish)
    monkeypatch.setattr(rows, "REVISIONS", known)
    replay(lineage, recorded_store)
    found = models(database)
    assert {model.model_id for model in begun} < {model.model_id for model in found}
    assert len(found) == 4
    assert {str(model.status) for model in found} == {"READY"}


@pytest.fixture
def trained(recorded_store: Store) -> tuple[Plan, Store]:
    """A study of three tiny tickets, with trained states kept."""
    study = Study(
        "trained", model=Model("lenet_20_10"), data=Data("digits", batch_size=60, validation=200),
        train=Train(steps(20), optimizer="adam", lr=1e-3, evaluate_every=steps(10)),
        prune=Prune(scope="layer", fraction=0.5, rounds=2), rewind=[steps(10)], seeds=[0], keep="tickets",
    )  # fmt: skip
    return train_here(study, recorded_store), recorded_store


def test_a_model_refers_to_the_ticket_and_copies_nothing(trained: tuple[Plan, Store], database: Any) -> None:
    plan, store = trained
    replay(plan, store)
    dense, _, last = models(database, "trained")
    assert set(files(dense)) == set(files(last)) == {"ticket.json"}
    key = plan.lineages[0].rounds[2].segment.key
    page = json.loads(files(last)["ticket.json"].read_text())
    assert (page["key"], page["load"]) == (key, f"lth_ray.load_ticket({key!r}, {store.uri!r})")
    assert page["files"].keys() == {"mask", "rewind", "trained"}
    assert json.loads(files(dense)["ticket.json"].read_text())["files"].keys() == {"rewind", "trained"}
    ticket = load_ticket(key, store.uri)
    for kind, state in (("rewind", ticket.rewind_state), ("trained", ticket.trained_state)):
        read = load_file(Path(urlsplit(page["files"][kind]).path))
        assert state is not None
        for name, tensor in state.items():
            kept = ticket.mask.get(name, torch.ones_like(tensor, dtype=torch.bool))
            assert read[f"model.{name}"][kept].equal(tensor[kept])


def test_what_was_not_kept_has_no_address(trained: tuple[Plan, Store]) -> None:
    plan, store = trained
    record = finished_segment(store, plan.lineages[0].rounds[1].segment.key)
    assert record is not None
    store.delete_state(record.trajectory, record.last)
    store.delete(f"masks/{record.mask}.safetensors")
    assert json.loads(ticket_page(store, record))["files"].keys() == {"rewind"}


# The registry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "expected"),
    [("k500", "matching-k500-r7"), ("one_shot/lr=0.1/k0", "matching-one_shot-lr-0-1-k0-r7")],
)
def test_an_alias_is_what_mlflow_takes(series: str, expected: str) -> None:
    assert alias_of(series, 7) == expected


@pytest.fixture
def verdicts(
    make_study: Callable[..., Study], recorded_store: Store, fake_record: Callable[..., Any]
) -> tuple[Plan, Store]:
    """Of three seeds; rounds 1 and 2 are better than the dense network by far, and round 3 is worse."""
    from lth_ray.lottery import make_plan

    plan = make_plan(make_study(seeds=[0, 1, 2], branches=[]))
    for lineage in plan.lineages:
        for r, penalty in zip(lineage.rounds, (0.0, -0.02, -0.02, 0.2), strict=True):
            record = fake_record(r.segment, 0.8**r.number, penalty)
            recorded_store.publish_segment(r.segment.key, record.to_json())
    return plan, recorded_store


def compared(plan: Plan, store: Store, **changes: str) -> list[dict[str, Any]]:
    return [{**row, **changes} for row in comparisons(ticket_rows(plan, store), []).to_dict("records")]


def test_matching_tickets_are_in_the_registry_by_their_aliases(verdicts: tuple[Plan, Store], database: Any) -> None:
    plan, store = verdicts
    assert entrance(plan, store, None, compared(plan, store)).registered == 0  # nothing is in MLflow yet
    replay(plan, store)
    assert entrance(plan, store, None, compared(plan, store)).registered == 6
    model = database.client.get_registered_model("tickets")
    assert set(model.aliases) == {
        f"matching-k0-r{number}{seed}" for number in (1, 2) for seed in ("", "-seed0", "-seed1", "-seed2")
    }  # fmt: skip
    version = database.client.get_model_version_by_alias("tickets", "matching-k0-r2")
    (logged,) = [model for model in models(database) if model.artifact_location == version.source]
    assert (version.tags["lth.seed"], logged.name) == ("0", "k0-seed0-round2")
    assert "64.00 % of the weights" in version.description
    assert "n = 3 seeds less than 0.20 pp worse" in version.description
    entrance(plan, store, None, compared(plan, store))
    assert len(database.client.search_model_versions("name = 'tickets'")) == 6


def test_what_the_registry_holds_is_read_in_pages_and_not_set_again(
    verdicts: tuple[Plan, Store], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    plan, store = verdicts
    replay(plan, store)
    entrance(plan, store, None, compared(plan, store))
    search, pages, aliases = MlflowClient.search_model_versions, list[int](), list[str]()

    def two_at_a_time(self: Any, *args: Any, **options: Any) -> Any:
        page = search(self, *args, **options | {"max_results": 2})
        pages.append(len(page))
        return page

    monkeypatch.setattr(MlflowClient, "search_model_versions", two_at_a_time)
    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", lambda _, __, alias, ___: aliases.append(alias))
    assert entrance(plan, store, None, compared(plan, store)).registered == 6
    assert (pages, aliases) == ([2, 2, 2], [])
    monkeypatch.undo()
    assert len(database.client.search_model_versions("name = 'tickets'")) == 6


def test_models_are_read_once_and_versions_made_before_their_aliases(
    verdicts: tuple[Plan, Store], database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each search MLflow looks at all models, and with each new version it reads every alias."""
    from mlflow.tracking import MlflowClient

    plan, store = verdicts
    replay(plan, store)
    called = list[str]()
    for name in ("search_logged_models", "create_model_version", "set_registered_model_alias"):
        whole = getattr(MlflowClient, name)

        def noted(self: Any, *args: Any, name: str = name, whole: Any = whole, **options: Any) -> Any:
            called.append(name)
            return whole(self, *args, **options | ({"max_results": 5} if name.startswith("search") else {}))

        monkeypatch.setattr(MlflowClient, name, noted)
    assert entrance(plan, store, None, compared(plan, store)).registered == 6
    pages = ["search_logged_models"] * 3  # of twelve models
    assert called == [*pages, *["create_model_version"] * 6, *["set_registered_model_alias"] * 8]
    called.clear()
    assert entrance(plan, store, None, compared(plan, store)).registered == 6
    assert called == []


def test_nothing_is_registered_before_every_lineage_is_finished(
    make_study: Callable[..., Study], verdicts: tuple[Plan, Store], database: Any
) -> None:
    from lth_ray.lottery import make_plan

    _, store = verdicts
    grown = make_plan(make_study(seeds=[0, 1, 2, 3], branches=[]))  # a seed is still to come
    replay(grown, store)
    rows = compared(grown, store)
    assert [row["matching"] for row in rows][:2] == ["matching", "matching"]
    assert entrance(grown, store, None, rows).registered == 0
    assert not database.client.search_model_versions("name = 'tickets'")


@pytest.mark.parametrize(
    ("last", "finished"),
    [
        ({"round": 3}, True), ({"round": 2}, False), ({"round": 2, "diverged_at": 7}, True),
        ({"round": 2, "validation_accuracy": 0.29}, True), ({"round": 2, "validation_accuracy": 0.31}, False),
        ({"round": 1, "validation_accuracy": None, "test_accuracy": 0.29}, True),
        ({"round": 0, "validation_accuracy": 0.29}, False),
    ],
)  # fmt: skip
def test_a_lineage_ends_at_its_last_round_or_at_one_that_ends_it(
    make_study: Callable[..., Study], last: dict[str, Any], finished: bool
) -> None:
    from lth_ray.lottery import make_plan

    plan = make_plan(make_study(seeds=[0], branches=[], stop_below=0.3))
    row = {"lineage": "k0/seed0", "diverged_at": None, "validation_accuracy": 0.9, "test_accuracy": 0.9, **last}
    assert is_finished(plan, [row]) is finished
    assert not is_finished(plan, [])


def test_a_verdict_that_no_longer_holds_takes_its_alias_back(verdicts: tuple[Plan, Store], database: Any) -> None:
    plan, store = verdicts
    replay(plan, store)
    rows = compared(plan, store)
    entrance(plan, store, None, rows)
    entrance(plan, store, None, [row | {"matching": "not shown"} if row["round"] == 1 else row for row in rows])
    assert len(database.client.search_model_versions("name = 'tickets'")) == 3
    aliases = database.client.get_registered_model("tickets").aliases
    assert sorted(aliases) == ["matching-k0-r2", *(f"matching-k0-r2-seed{seed}" for seed in range(3))]


def test_a_storage_that_was_moved_keeps_its_versions(
    verdicts: tuple[Plan, Store], database: Any, tmp_path: Path
) -> None:
    plan, store = verdicts
    replay(plan, store)
    rows = compared(plan, store)
    assert entrance(plan, store, f"sqlite:///{database.path}", rows).registered == 6
    before = {version.version for version in database.client.search_model_versions("name = 'tickets'")}
    shutil.copytree(tmp_path / "storage", tmp_path / "elsewhere")
    copy = Store.open(str(tmp_path / "elsewhere"))
    for verdicts_ in (rows, []):  # nor does the copy delete what is not its own
        entrance(plan, copy, f"sqlite:///{database.path}", verdicts_)
        after = database.client.search_model_versions("name = 'tickets'")
        assert {version.version for version in after} == before
    assert len(database.client.get_registered_model("tickets").aliases) == 8
    entrance(plan, store, f"sqlite:///{database.path}", [])
    assert not database.client.search_model_versions("name = 'tickets'")
