"""Everything finished is a run in MLflow, once, whoever sends it and whenever."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from lth_ray.config import REVISIONS, Prune, Study
from lth_ray.lottery import Plan, make_plan
from lth_ray.record import RecordError, Shipper, entrance, replay
from lth_ray.record.mlflow import runs
from lth_ray.store import Store

Fill = Callable[..., None]


def test_everything_finished_is_recorded_once(plan: Plan, recorded_store: Store, fill: Fill, database: Any) -> None:
    fill(recorded_store, plan)
    assert replay(plan, recorded_store, question="Do they win?") == {"shipped": 22, "present": 0, "failed": 0}
    points = database.points()
    assert replay(plan, recorded_store) == {"shipped": 0, "present": 22, "failed": 0}
    assert database.points() == points
    assert [len(database.runs(kind)) for kind in ("lineage", "ticket", "branch")] == [2, 8, 14]
    assert {run.info.status for run in database.runs()} == {"FINISHED"}
    for run in (*database.runs("lineage"), *database.runs("ticket")):
        (dataset,) = (use.dataset for use in run.inputs.dataset_inputs)
        assert (dataset.name, json.loads(dataset.profile)["n_train"]) == ("digits", 1197)
    experiment = database.client.get_experiment_by_name("tickets")
    assert experiment.tags["lth.question"] == "Do they win?"


def test_runs_are_nested_and_keep_the_two_meanings_of_step_apart(
    plan: Plan, recorded_store: Store, fill: Fill, fake_record: Any, database: Any
) -> None:
    fill(recorded_store, plan)
    replay(plan, recorded_store)
    lineage, ticket = database.runs("lineage")[0], database.runs("ticket")[3]
    branch = next(run for run in database.runs("branch") if run.info.run_name == "k0/seed0/round3/random_mask-0")
    assert (lineage.info.run_name, ticket.info.run_name) == ("k0/seed0", "k0/seed0/round3")
    assert ticket.data.tags["mlflow.parentRunId"] == lineage.info.run_id
    assert branch.data.tags["mlflow.parentRunId"] == ticket.info.run_id

    def steps_of(run: Any, name: str) -> list[int]:
        return [point.step for point in database.client.get_metric_history(run.info.run_id, name)]

    assert steps_of(lineage, "test_accuracy") == [0, 1, 2, 3]
    assert steps_of(ticket, "test_accuracy") == list(range(30, 301, 30))
    record = fake_record(plan.lineages[0].rounds[3].segment, 0.8**3)
    history = database.client.get_metric_history(ticket.info.run_id, "test_accuracy")
    assert [point.value for point in history] == record.journal["test_accuracy"]
    assert [point.timestamp for point in history] == [runs.milliseconds(record) + step for step in range(30, 301, 30)]
    assert ticket.info.end_time - ticket.info.start_time == 1250


def test_a_ticket_has_its_layers_and_its_making(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(recorded_store, plan, rounds=[0, 1], branches=False)
    replay(plan, recorded_store)
    ticket = database.runs("ticket")[1]
    assert ticket.data.tags["lth.device"] == "a processor"
    record = recorded_store.segment(ticket.data.tags["lth.segment"])
    assert record is not None
    assert record["content"] == ticket.data.tags["lth.content"]
    assert [file.path for file in database.client.list_artifacts(ticket.info.run_id)] == ["layer_densities.json"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database.path}")  # what load_table goes by
    experiment, run_id = ticket.info.experiment_id, ticket.info.run_id
    table = database.client.load_table(experiment, "layer_densities.json", run_ids=[run_id])
    assert table.density.tolist() == [0.8, 0.8, 0.8]


def test_a_run_that_was_broken_off_is_completed(plan: Plan, recorded_store: Store, fill: Fill, database: Any) -> None:
    fill(recorded_store, plan)
    replay(plan, recorded_store)
    points, count = database.points(), len(database.runs())
    for run in (database.runs("ticket")[2], database.runs("branch")[5], database.runs("lineage")[0]):
        database.client.update_run(run.info.run_id, status="RUNNING")
    assert replay(plan, recorded_store) == {"shipped": 2, "present": 20, "failed": 0}
    assert (database.points(), len(database.runs())) == (points, count)
    assert {run.info.status for run in database.runs()} == {"FINISHED"}


def test_a_lineage_is_killed_with_its_study_and_runs_again_with_it(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any
) -> None:
    fill(recorded_store, plan, rounds=[0, 1])
    replay(plan, recorded_store)
    assert [run.info.status for run in database.runs("lineage")] == ["KILLED", "KILLED"]
    fill(recorded_store, plan)
    replay(plan, recorded_store)
    assert [run.info.status for run in database.runs("lineage")] == ["FINISHED", "FINISHED"]


@pytest.mark.parametrize(("changes", "fields"), [({"diverged_at": 120}, {}), ({}, {"stop_below": 0.999})])
def test_a_lineage_that_ended_early_is_finished(
    changes: dict[str, Any], fields: dict[str, Any], make_study: Callable[..., Study], recorded_store: Store,
    fill: Fill, database: Any,
) -> None:  # fmt: skip
    plan = make_plan(make_study(**fields))
    fill(recorded_store, plan, rounds=[0])
    fill(recorded_store, plan, rounds=[1], branches=False, **changes)
    replay(plan, recorded_store)
    assert [run.info.status for run in database.runs("lineage")] == ["FINISHED", "FINISHED"]
    assert [run.data.tags.get("lth.diverged_at") for run in database.runs("ticket")].count("120") == 2 * len(changes)


def test_what_a_changed_study_has_dropped_does_not_stay_running(
    plan: Plan, make_study: Callable[..., Study], recorded_store: Store, fill: Fill, database: Any
) -> None:
    fill(recorded_store, plan, rounds=[0])
    replay(plan, recorded_store)
    for run in database.runs("lineage"):
        database.client.update_run(run.info.run_id, status="RUNNING")
    changed = make_plan(make_study(prune=Prune("magnitude", fraction=0.5, rounds=1), branches=[]))
    fill(recorded_store, changed)
    replay(changed, recorded_store)
    assert sorted(run.info.status for run in database.runs("lineage")) == ["FINISHED"] * 2 + ["KILLED"] * 2
    parents = {run.info.run_id for run in database.runs("lineage") if run.info.status == "FINISHED"}
    of_changed = [run for run in database.runs("ticket") if run.data.tags["mlflow.parentRunId"] in parents]
    assert len(of_changed) == 4  # round 0 too, although its training is shared


def test_the_shipper_ships_what_is_queued_and_what_was_there(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any
) -> None:
    fill(recorded_store, plan, rounds=[0, 1])
    told: list[str] = []
    shipper = Shipper(plan, recorded_store, warn=told.append)
    fill(recorded_store, plan)
    for lineage in plan.lineages:
        shipper.segment(lineage.rounds[2].segment.key)
        shipper.ticket(lineage, 3)
    for result in plan.branches:
        shipper.branch(result)
    counts = shipper.close(timeout_s=60)
    assert (counts["shipped"], counts["left"], told) == (22, 0, [])
    assert {run.info.status for run in database.runs()} == {"FINISHED"}
    assert replay(plan, recorded_store)["shipped"] == 0


def test_one_bad_item_holds_up_no_other(plan: Plan, recorded_store: Store, fill: Fill, database: Any) -> None:
    fill(recorded_store, plan, rounds=[0, 1])
    told: list[str] = []
    shipper = Shipper(plan, recorded_store, catch_up=False, warn=told.append)
    lineage = plan.lineages[0]
    for number in (0, 3, 1):  # 3 is not finished
        shipper.ticket(lineage, number)
    counts = shipper.close(timeout_s=60)
    assert (counts["shipped"], counts["left"]) == (2, 1)
    [left] = told  # what is not finished is no outage: a branch may be done before its ticket
    assert "lth-ray replay" in left


def test_an_experiment_that_was_deleted_is_named_with_its_remedy(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any
) -> None:
    fill(recorded_store, plan)
    replay(plan, recorded_store)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{database.path}")
    experiment = client.get_experiment_by_name("tickets")
    client.delete_experiment(experiment.experiment_id)
    told = rf"was deleted: restore .* --experiment-id {experiment.experiment_id}\)"
    why = rf"^the MLflow experiment 'tickets' at .*mlflow.db {told}"
    with pytest.raises(RecordError, match=why):
        replay(plan, recorded_store)
    warned: list[str] = []
    Shipper(plan, recorded_store, warn=warned.append).close(60)
    assert re.match(why, warned[0])
    assert warned[0].endswith("; the study goes on, and it is tried again")
    assert re.match(why, entrance(plan, recorded_store).warning)
    client.restore_experiment(experiment.experiment_id)
    assert replay(plan, recorded_store)["failed"] == 0


def test_what_a_later_release_trains_again_has_names_of_its_own(
    plan: Plan, recorded_store: Store, fill: Fill, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(recorded_store, plan, rounds=range(2), branches=False)
    replay(plan, recorded_store)
    before = [run.info.run_name for run in database.runs()]
    for number in (2, 3):
        monkeypatch.setitem(REVISIONS, "init", number)
        later = make_plan(plan.study, None, recorded_store)
        fill(recorded_store, later, rounds=range(2), branches=False)
        assert replay(later, recorded_store)["shipped"] == replay(later, recorded_store)["present"]
    names = [run.info.run_name for run in database.runs()]
    numbered = [f"{name} ({number})" for name in before for number in (2, 3)]
    assert (len(names), sorted(names)) == (len(set(names)), sorted(before + numbered))
    ticket = next(run for run in database.runs("ticket") if run.info.run_name == "k0/seed0/round1 (3)")
    parent = database.client.get_run(ticket.data.tags["mlflow.parentRunId"])
    assert parent.info.run_name == "k0/seed0 (3)"
    assert ticket.data.tags["lth.lineage"] == "k0/seed0"
