"""The command line on plans, finished studies and garbage; trainings run in this process."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lth_ray import Launch, RandomMask, RandomReinit, Study, cli, run, steps
from lth_ray.commands import reporting
from lth_ray.commands.reporting import not_learnt
from lth_ray.config import ConfigError
from lth_ray.lottery import make_plan
from lth_ray.running import history
from lth_ray.running.history import entries_of
from lth_ray.running.ledger import PARTS
from lth_ray.running.results import Results
from lth_ray.store import Store, live
from tests.conftest import Call
from tests.running.conftest import contents, declared, train_here

STUDY = declared()
ONE_SHOT = {"arms": {"one_shot": {"prune.one_shot": True}}, "rewind": [steps(0)], "branches": []}
# what a finished study grows by: the steps that this costs, and those that only restore a state
GROWTH: dict[str, tuple[dict[str, Any], int, int]] = {
    "nothing": ({}, 0, 0),
    "a seed": ({"seeds": [0, 1]}, 580, 0),
    "a round": ({"prune": replace(STUDY.prune, rounds=3)}, 100 + 60, 0),
    "a rewind point": ({"rewind": [steps(0), steps(40), steps(60)]}, 3 * 40, 60 - 40),
    "a branch": ({"branches": [RandomReinit(rounds=[2]), RandomMask(rounds=[1])]}, 100 + 60, 0),
    "an arm": (ONE_SHOT, 100, 0),  # whose first round is the iterative one's
    "less": ({"rewind": [steps(0)], "branches": []}, 0, 0),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage that holds the finished study. To be copied before it is changed."""
    folder = tmp_path_factory.mktemp("finished")
    train_here(STUDY, Store.open(str(folder)))
    return folder


@pytest.fixture
def storage(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "storage"))


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_plan_says_what_it_costs_and_writes_nothing(call: Call, tmp_path: Path, without_ray: list[str]) -> None:
    code, printed = call(STUDY, "--plan", "--storage", tmp_path / "s")
    flat = " ".join(printed.replace("│", " ").split())
    assert code == 0
    for words in (
        "1 dense, 2 lineage, 2 branch", "580, of which branches 160", "680, were every lineage",
        "steps left to train 580", "estimated time", "core-hours", "KB",
    ):  # fmt: skip
        assert words in flat, printed
    assert not without_ray
    assert not (tmp_path / "s").exists()


def test_a_plan_of_a_finished_study_says_that_nothing_is_left(call: Call, finished: Path) -> None:
    before = files(finished)
    code, printed = call(STUDY, "--plan", "--storage", finished)
    assert code == 0
    assert "none: all is in the store" in printed
    assert files(finished) == before


@pytest.mark.parametrize("growth", GROWTH)
def test_growing_a_finished_study_costs_only_what_is_new(
    growth: str, storage: Path, without_ray: list[str], undisturbed: dict[str, str]
) -> None:
    fields, new, restoring = GROWTH[growth]
    results = run(replace(STUDY, **fields), Launch(str(storage)))
    ledger = results.ledger()
    assert ledger["trained_steps"] == new + restoring
    assert ledger["reused_steps"] == ledger["unique_steps"] - new
    assert ledger["naive_steps"] >= ledger["unique_steps"]
    assert ledger["restored_steps"] == restoring
    assert sum(ledger[part] for part in PARTS) == ledger["unique_steps"] + restoring
    assert not results.failures
    grown = contents(results.plan, results.store)
    assert {name: grown[name] for name in grown if name in undisturbed}.items() <= undisturbed.items()
    assert fields is ONE_SHOT or grown.keys() & undisturbed.keys()
    tickets = pd.read_parquet(storage / "studies" / "small" / "tickets.parquet")
    assert list(tickets["key"]) == list(results.tickets()["key"])


def test_running_again_is_no_new_entry_in_the_history(storage: Path, without_ray: list[str]) -> None:
    store = Store.open(str(storage))
    for _ in range(2):
        run(STUDY, Launch(str(storage)), question="Asked by a test.")
    assert len(entries_of(store, "small")) == 1
    run(replace(STUDY, seeds=[0, 1]), Launch(str(storage)), question="Asked by a test.")
    assert len(entries_of(store, "small")) == 2
    assert without_ray


CHANGES: dict[str, tuple[Callable[[Study], Study], list[str]]] = {
    "lr": (lambda s: replace(s, train=replace(s.train, lr=2e-3)), ["train.lr", "0.001 in the store, 0.002 now"]),
    "model": (lambda s: replace(s, model=replace(s.model, name="lenet_20_11")), ["model.name", "lenet_20_11"]),
    "fraction": (lambda s: replace(s, prune=replace(s.prune, fraction=0.4)), ["prune.fraction", "0.3", "0.4"]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("flags", [[], ["--plan"]], ids=["run", "plan"])
def test_a_name_that_holds_another_study(change: str, flags: list[str], call: Call, finished: Path) -> None:
    changed, said = CHANGES[change]
    before = files(finished / "studies")
    code, printed = call(changed(STUDY), "--storage", finished, *flags)
    assert code == 2
    assert all(words in " ".join(printed.split()) for words in [*said, "--name"]), printed
    assert files(finished / "studies") == before


def test_a_setting_gets_a_name_of_its_own(call: Call, storage: Path, without_ray: list[str]) -> None:
    code, _ = call(STUDY, "--storage", storage, "--set", "train.lr=2e-3", "--set", "prune.rounds=1")
    assert code == 0
    assert {path.name for path in (storage / "studies").iterdir()} == {"small", "small-lr_0.002-rounds_1"}


def test_smoke_says_what_it_shortens_and_fails_where_nothing_was_learnt(
    call: Call, tmp_path: Path, without_ray: list[str]
) -> None:
    arms: dict[str, Any] = {"good": {}, "bad": {"train.lr": 1e-9}}
    study = replace(STUDY, arms=arms, smoke={"prune.rounds": 1, "rewind": [steps(0)], "train.length": steps(200)})
    code, printed = call(study, "--smoke", "--storage", tmp_path / "s")
    assert code == 4
    assert "prune.rounds = 1" in printed
    assert "did not learn" in printed
    assert "bad (" in printed
    assert "good (" not in printed
    code, _ = call(replace(study, may_fail=["bad"]), "--smoke", "--storage", tmp_path / "s")
    assert code == 0


def test_three_standard_errors_above_chance_are_enough_where_three_times_it_cannot_be_had(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(str(storage))
    results = Results(make_plan(STUDY, None, store), store)
    least = results.tickets()["test_accuracy"].min()
    assert 0.3 < least < 0.55
    assert not_learnt(STUDY, results, 3.0) == []
    assert not_learnt(STUDY, results, 50.0) == []
    monkeypatch.setattr(reporting, "STANDARD_ERRORS", 30)  # of .0158, which no round has
    assert not_learnt(STUDY, results, 50.0)[0].startswith("small (")


def test_all_studies_of_a_script_are_run_whatever_becomes_of_the_first(
    call: Call, tmp_path: Path, without_ray: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(STUDY, rewind=[steps(0)], branches=[], prune=replace(STUDY.prune, rounds=0))
    ran: list[str] = []

    def failing(study: Study, launch: Launch, **options: Any) -> Results:
        ran.append(study.name)
        results = run(study, launch, **options)
        if study.name == "first":
            results.failures["dense/x"] = "the disk [of this machine] is full"
        return results

    monkeypatch.setattr("lth_ray.running.driver.run", failing)
    code, printed = call([replace(short, name="first"), replace(short, name="second")], "--storage", tmp_path / "s")
    assert code == 1
    assert ran == ["first", "second"]
    assert "dense/x: the disk [of this machine] is full" in printed


def test_reports_status_and_replay_need_the_record_alone(
    call: Call, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise AssertionError("the data set is not at hand")

    monkeypatch.setattr("lth_ray.tasks.images.Images.identify", gone)
    monkeypatch.setattr("lth_ray.data.load", gone)
    code, printed = call(None, "status", "small", "--storage", storage)
    assert (code, printed.count("2/2"), "no run is live" in printed) == (0, 2, True)
    code, printed = call(None, "report", "small", "--storage", storage)
    assert (code, "report.md" in printed) == (0, True)
    assert "Asked by a test." in (storage / "studies" / "small" / "report.md").read_text()
    code, printed = call(None, "replay", "small", "--storage", storage)
    assert (code, "8 results sent, 0 were there already" in printed) == (0, True), printed
    code, printed = call(None, "replay", "small", "--storage", storage)
    assert (code, "0 results sent, 8 were there already" in printed) == (0, True), printed


def test_an_unfinished_study_is_reported_with_its_n(call: Call, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    train_here(replace(STUDY, branches=[], rewind=[steps(0)]), store)
    history.remember(store, make_plan(replace(STUDY, seeds=[0, 1]), None, store), "")
    with live(store, "small", "test"):
        code, printed = call(None, "status", "small", "--storage", tmp_path)
        assert code == 0
        assert f"pid {os.getpid()}" in printed
        assert "320 of 1,240" not in printed
        assert "of 1,160 steps are left" in printed
        code, printed = call(None, "report", "small", "--storage", tmp_path)
    assert code == 0
    assert "over n = 1 seed;" in " ".join(printed.split())
    assert "4 of 12 tickets and 0 of 4 branch results" in (tmp_path / "studies/small/report.md").read_text()


def test_cancelling_names_a_lineage_of_a_live_run(call: Call, storage: Path) -> None:
    store = Store.open(str(storage))
    cancel = "cancel", "small", "k0/seed0", "--storage", storage
    code, printed = call(None, *cancel)
    assert (code, "no run of study 'small' is live" in printed) == (2, True)
    with live(store, "small", "a"):
        code, printed = call(None, *cancel)
        assert (code, history.cancelled(store, "small")) == (0, {"k0/seed0"})
        code, printed = call(None, "cancel", "small", "k1/seed0", *cancel[3:])
        assert (code, "k0/seed0, k40/seed0" in printed) == (2, True)
        history.clear_cancelled(store, "small")  # by a second run that begins, and takes nothing from the first
        assert history.cancelled(store, "small")
    history.clear_cancelled(store, "small")
    assert not history.cancelled(store, "small")


@pytest.fixture
def littered(storage: Path) -> Path:
    """Beside the study, all that another one trained whose record is gone."""
    store = Store.open(str(storage))
    train_here(replace(STUDY, name="other", seeds=[7]), store)
    shutil.rmtree(storage / "studies" / "other")
    return storage


def test_garbage_is_shown_then_removed_but_not_under_a_live_run(
    call: Call, littered: Path, undisturbed: dict[str, str]
) -> None:
    store, collect = Store.open(str(littered)), ("gc", "--storage", littered, "--grace-s", 0)
    before = files(littered)
    code, shown = call(None, *collect)
    assert code == 0
    assert "no study reaches this record" in shown
    assert "--yes removes them" in shown
    assert files(littered) == before
    with live(store, "small", "test"):
        code, printed = call(None, *collect, "--yes")
    assert code == 2
    assert "nothing was collected" in printed
    code, printed = call(None, "gc", "--storage", littered, "--yes")
    assert (code, "0 files" in printed or "removed 0 bytes" in printed) == (0, True)  # all of it is young
    code, removed = call(None, *collect, "--yes")
    assert code == 0
    assert removed.splitlines()[:-1] == shown.splitlines()[:-1]
    _, printed = call(None, *collect)
    assert "0 files, 0 bytes" in printed
    plan = make_plan(STUDY, None, store)
    assert (plan.jobs, contents(plan, store)) == ((), undisturbed)


@pytest.mark.parametrize("count", [1, 5])
def test_a_kill_during_collection_leaves_nothing_half_removed(
    count: int, call: Call, littered: Path, undisturbed: dict[str, str]
) -> None:
    store = Store.open(str(littered))
    command = [sys.executable, "-c", "from lth_ray.cli import entry; entry()", "gc", "--yes", "--grace-s", "0"]
    env = {**os.environ, "LTH_RAY_KILL_AT": f"gc:{count}", "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    killed = subprocess.run([*command, "--storage", str(littered)], env=env, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    plan = make_plan(STUDY, None, store)
    assert (plan.jobs, contents(plan, store)) == ((), undisturbed)
    assert call(None, "gc", "--storage", littered, "--grace-s", 0, "--yes")[0] == 0
    plan = make_plan(STUDY, None, store)
    assert (plan.jobs, contents(plan, store)) == ((), undisturbed)
    other = replace(STUDY, name="other", seeds=[7])
    assert make_plan(other, None, store).remaining_steps == 580  # of the other nothing is left, nor half of anything
    train_here(other, store)
    assert not make_plan(other, None, store).jobs


def test_a_study_that_shrank_keeps_what_it_may_grow_back_to(call: Call, storage: Path, without_ray: list[str]) -> None:
    run(replace(STUDY, rewind=[steps(0)], branches=[]), Launch(str(storage)))
    code, printed = call(None, "gc", "--storage", storage, "--grace-s", 0)
    assert (code, "0 files" in printed) == (0, True), printed
    assert run(STUDY, Launch(str(storage))).ledger()["trained_steps"] == 0


def test_an_unknown_study_is_told_from_those_there_are(storage: Path) -> None:
    with pytest.raises(ConfigError, match=r"no study 'large' in .*: valid: small"):
        history.recorded_plan(Store.open(str(storage)), "large")
