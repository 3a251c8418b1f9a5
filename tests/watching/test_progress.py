"""A run's board: what it makes of what happens; the study is planned and nothing is trained."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lth_ray import Barrier
from lth_ray.lottery import Job, Plan, make_plan
from lth_ray.store import LiveRun, Store
from lth_ray.watching import progress
from lth_ray.watching.progress import Board
from lth_ray.watching.showing import reused_records
from lth_ray.watching.snapshot import SLOT, Line, Snapshot
from tests.running.conftest import declared, train_here

RUN = LiveRun("small", "abc", "here", 12, 0.0, 0.0)  # of k0/seed0, k40/seed0: 2 rounds on one dense run of 100 steps


def result(plan: Plan, key: str, **fields: Any) -> dict[str, Any]:
    return {
        "key": key, "trained_steps": plan.pieces[key].num_steps, "diverged_at": None, "remaining_weights": 0.5,
        "test": 0.9, "wall_s": 1.0, **fields,
    }  # fmt: skip


@pytest.fixture
def plan() -> Plan:
    return make_plan(declared())


def jobs(plan: Plan) -> dict[str, Job]:
    return {job.id if job.kind != "dense" else "dense": job for job in plan.jobs}


def line(snapshot: Snapshot, lineage: str) -> Line:
    return next(line for line in snapshot.lines if line.lineage == lineage)


def test_before_anything_is_done_all_wait_for_the_dense_run(plan: Plan) -> None:
    snapshot = Board(plan, RUN).snapshot()
    assert {(one.rounds, one.waits_for, one.work) for one in snapshot.lines} == {("...", jobs(plan)["dense"].id, None)}
    assert (snapshot.trainings, snapshot.branches, snapshot.dense_runs) == ((0, 7), (0, 2), 1)
    assert (snapshot.unique_steps, snapshot.naive_steps, snapshot.steps_left) == (580, 680, 580)
    assert (snapshot.host, snapshot.pid, snapshot.seconds_left) == ("here", 12, None)
    assert {one.waits_for for one in Board(plan).snapshot().lines} == {""}  # no run: there is nothing to wait for


def test_what_another_run_is_at_is_waited_for_by_its_name_and_is_no_standstill(plan: Plan) -> None:
    board = Board(plan, RUN)
    assert not board.moves()[2]
    board.on_elsewhere({jobs(plan)["dense"].id: "pid 7 on there"})
    assert {one.waits_for for one in board.snapshot().lines} == {"another run, pid 7 on there"}
    assert board.moves()[2]
    board.on_elsewhere({})
    assert {one.waits_for for one in board.snapshot().lines} == {jobs(plan)["dense"].id}
    assert not board.moves()[2]


def test_a_dense_run_at_work_is_seen_in_every_lineage_that_stands_on_it(plan: Plan) -> None:
    board, dense = Board(plan, RUN), jobs(plan)["dense"]
    board.on_steps({dense.pieces[0].key: 40, "of another study": 3})
    snapshot = board.snapshot()
    assert [one.rounds for one in snapshot.lines] == ["n..", "n.."]
    assert all(one.work is snapshot.beside[0] for one in snapshot.lines)
    assert (snapshot.beside[0].step, snapshot.beside[0].steps, len(snapshot.at_work)) == (40, 100, 1)
    assert snapshot.steps_left == 540
    assert snapshot.share == pytest.approx(40 / 580)


def test_a_lineage_goes_on_round_by_round(plan: Plan) -> None:
    board, found = Board(plan, RUN), jobs(plan)
    board.on_piece(found["dense"], result(plan, found["dense"].pieces[0].key))
    assert {one.waits_for for one in board.snapshot().lines} == {SLOT}
    late = found["k40/seed0"]
    board.on_steps({late.pieces[0].key: 55})  # of 40 to 100
    own = line(board.snapshot(), "k40/seed0")
    assert (own.rounds, own.waits_for) == ("dn.", "")
    assert own.work is not None
    assert (own.work.round, own.work.step, own.work.steps) == (1, 15, 60)
    board.on_piece(late, result(plan, late.pieces[0].key, remaining_weights=0.7, test=0.8))
    snapshot = board.snapshot()
    own = line(snapshot, "k40/seed0")
    assert own.rounds == "ddn"  # its trial goes on at once, whoever is asked
    assert own.work is not None
    assert (own.work.round, own.work.step, own.work.watched) == (2, 0, False)
    assert (own.last, own.remaining[:2], own.values[:2]) == (1, (0.5, 0.7), (0.9, 0.8))
    assert snapshot.last == "k40/seed0: 70.0% remaining, 80.0% test"
    assert snapshot.steps_left == 580 - 160
    assert not line(board.snapshot(over=True), "k40/seed0").work


def test_a_ticket_that_is_cut_in_two_is_told_from_others(plan: Plan) -> None:
    board, found = Board(plan, RUN), jobs(plan)
    board.on_piece(found["dense"], result(plan, found["dense"].pieces[0].key))
    board.on_piece(found["k0/seed0"], result(plan, found["k0/seed0"].pieces[0].key, cut=True))
    own = line(board.snapshot(), "k0/seed0")
    assert (own.rounds, own.last) == ("dcn", 1)


def test_time_left_is_no_shorter_than_the_longest_chain(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    board, found = Board(plan, RUN), jobs(plan)
    board.on_piece(found["dense"], result(plan, found["dense"].pieces[0].key))
    early, late = found["k0/seed0"].pieces[0].key, found["k40/seed0"].pieces[0].key
    for second in range(4):
        now[0] += 1
        board.on_steps({early: 10 * second, late: 40 + 10 * second})
    snapshot = board.snapshot()
    assert snapshot.steps_per_s == pytest.approx(15, rel=0.3)
    assert snapshot.seconds_left == pytest.approx(max(420 / snapshot.steps_per_s, 300 / 10))
    monkeypatch.setattr(board.pace.total.__class__, "per_s", 1000.0)  # by many others
    for rate in board.pace.rates.values():
        assert rate.marks[-1][1] - rate.marks[0][1] == 30
    monkeypatch.setattr(board.pace, "of", lambda key: 10.0)
    assert board.snapshot().seconds_left == pytest.approx(300 / 10)  # two rounds of 100 steps and a branch of 100


def test_a_run_that_is_stopped_waits_for_nothing(plan: Plan) -> None:
    board, dense = Board(plan, RUN), jobs(plan)["dense"]
    board.on_steps({dense.pieces[0].key: 40})
    board.on_stopping("interrupted")
    snapshot = board.snapshot()
    assert (snapshot.stopping, snapshot.seconds_left, snapshot.pieces_left) == ("interrupted", None, 7)
    assert [one.rounds for one in snapshot.lines] == ["n..", "n.."]  # which still writes its checkpoint
    assert {one.waits_for for one in board.snapshot(over=True).lines} == {""}


def test_branches_that_train_are_seen_in_their_lineages(plan: Plan) -> None:
    board, found = Board(plan, RUN), jobs(plan)
    for name in ("dense", "k0/seed0"):
        for piece in found[name].pieces:
            board.on_piece(found[name], result(plan, piece.key))
    branch = found["k0/seed0/round2/random_reinit-0"]
    board.on_steps({branch.pieces[0].key: 25})
    snapshot = board.snapshot()
    own, other = (line(snapshot, name).work for name in ("k0/seed0", "k40/seed0"))
    assert own is not None
    assert (own.branch, own.doing, other) == ("random reinit of round 2", "25 %", None)
    assert snapshot.at_work == [own]


def test_what_ended_early_is_told_and_is_not_waited_for(plan: Plan) -> None:
    board, found = Board(plan, RUN), jobs(plan)
    board.on_piece(found["dense"], result(plan, found["dense"].pieces[0].key))
    for name in ("k0/seed0", "k0/seed0/round2/random_reinit-0"):
        board.on_end(found[name], "it was cancelled")
        board.on_end(found[name], "it was cancelled")
    snapshot = board.snapshot()
    assert (line(snapshot, "k0/seed0").rounds, line(snapshot, "k0/seed0").finished) == ("dxx", True)
    assert [str(ended) for ended in snapshot.ended] == ["k0/seed0 and 1 more: it was cancelled"]
    assert snapshot.steps_left == 3 * 60  # of the other lineage and its branch


def test_a_diverged_round_ends_its_lineage(plan: Plan) -> None:
    board, found = Board(plan, RUN), jobs(plan)
    board.on_piece(found["dense"], result(plan, found["dense"].pieces[0].key))
    own = found["k0/seed0"]
    board.on_piece(own, result(plan, own.pieces[0].key, diverged_at=20, test=None))
    board.on_end(own, "its loss became NaN or infinite by step 20")
    snapshot = board.snapshot()
    assert (line(snapshot, "k0/seed0").rounds, line(snapshot, "k0/seed0").work) == ("dxx", None)
    assert snapshot.last == "k0/seed0: diverged by step 20"


def test_what_is_reused_is_told_from_what_was_trained(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    train_here(replace(declared(), branches=[]), store)
    plan = make_plan(replace(declared(), seeds=[0, 1]), None, store)
    board = Board(plan, RUN)
    before = board.snapshot()
    assert line(before, "k0/seed0").values == (None,) * 3
    board.on_records(reused_records(plan, store))
    snapshot = board.snapshot()
    assert [one.rounds for one in snapshot.lines if one.lineage.endswith("seed0")] == ["rrr", "rrr"]
    assert all(accuracy is not None for accuracy in line(snapshot, "k0/seed0").values)
    assert line(snapshot, "k0/seed0").remaining[:2] == (1.0, pytest.approx(0.7, abs=0.01))
    assert (snapshot.trainings, snapshot.reused_steps) == ((5, 14), 420)
    assert snapshot.finished == 2
    stored = Board(plan)
    assert line(stored.snapshot(), "k0/seed0").rounds == "ddd"  # seen without a run, nothing is reused by anybody


def test_tables_are_measured_and_their_time_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(replace(declared(), branches=[Barrier(children=2, points=3, rounds=[1, 2])]))
    board = Board(plan, RUN)
    tables = [job for job in plan.jobs if job.kind == "table"]
    for job in plan.jobs:
        for piece in job.pieces:
            if job not in tables[1:]:
                board.on_piece(job, result(plan, piece.key, wall_s=4.0))
    board.on_steps({tables[1].pieces[0].key: None})
    time_left = board.snapshot()
    assert (time_left.steps_left, time_left.pieces_left) == (0, 3)
    assert [work.job for work in time_left.beside] == [tables[1].id]
    assert len(tables) == 4
    monkeypatch.setattr(board.pace.total.__class__, "per_s", 5.0)
    assert board.snapshot().seconds_left == pytest.approx(3 * 4.0)


def test_a_snapshot_of_thousands_of_tickets_is_cheap() -> None:
    study = declared()
    plan = make_plan(replace(study, seeds=list(range(100)), prune=replace(study.prune, rounds=10), branches=[]))
    board = Board(plan, RUN)
    board.snapshot()
    began = time.process_time()
    for _ in range(3):
        board.snapshot()
    assert (time.process_time() - began) / 3 < 0.25
