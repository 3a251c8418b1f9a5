"""`lth-ray status`: of a live run, of one that has died, and of a finished study."""

import io
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lth_ray.commands import status
from lth_ray.commands.status import print_status, status_of
from lth_ray.lottery import Plan, make_plan
from lth_ray.running.history import remember
from lth_ray.store import LiveRun, Store, live
from lth_ray.store.claims import Claims
from lth_ray.watching.progress import Board
from lth_ray.watching.showing import PROGRESS
from lth_ray.watching.snapshot import Snapshot, to_record
from tests.conftest import Call
from tests.running.conftest import declared, train_here
from tests.watching.test_progress import jobs, result


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store.open(str(tmp_path))
    remember(opened, make_plan(declared()), "Asked by a test.")
    return opened


def at_work(store: Store, run: LiveRun, **fields: Any) -> tuple[Plan, Snapshot]:
    """A run that has done the dense network and is in the first round of a lineage tells so."""
    plan = make_plan(declared(), None, store)
    board, dense = Board(plan, run), jobs(plan)["dense"]
    board.on_piece(dense, result(plan, dense.pieces[0].key))
    board.on_steps({jobs(plan)["k40/seed0"].pieces[0].key: 70})
    snapshot = replace(board.snapshot(), **fields)
    store.put_study("small", PROGRESS, to_record(snapshot))
    return plan, snapshot


def test_a_live_run_is_shown_as_it_sees_itself(
    store: Store, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with live(store, "small", "abc") as run:
        at_work(store, run)
        monkeypatch.setattr("lth_ray.commands.status.recorded_plan", None)  # nothing else is read
        code, printed = call(None, "status", "small", "--storage", tmp_path)
    assert code == 0
    assert "1/7 trainings  0/2 lineages  0/2 branches  1 at work" in printed
    assert "k40/seed0 90.0  50%" in printed
    assert "waits for a free slot" in printed
    assert f"450 of 580 steps are left; running on {run.host}, pid {os.getpid()}, last heard of 0 s ago" in printed
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines()[:-1])) <= 80


def test_of_several_live_runs_it_says_what_each_is_at(store: Store) -> None:
    with live(store, "small", "one") as one, live(store, "small", "two") as two:
        for run, what in ((one, "k0/seed0"), (two, "k40/seed0")):
            assert Claims(store, run).take(f"{len(what):032x}-1", what)
        at_work(store, one)
        words = status_of(store, "small").words
    for what in ("k0/seed0", "k40/seed0"):
        assert f"{one.host}, pid {os.getpid()} ({what})" in words


def test_a_live_run_that_was_not_heard_of_for_long_is_stale(store: Store) -> None:
    with live(store, "small", "abc") as run:
        at_work(store, run, at=time.time() - 185)
        seen = status_of(store, "small")
    assert (seen.live, seen.stale) == (True, True)
    assert "but last heard of 3 min 05 s ago" in seen.words


def test_a_live_run_that_has_told_nothing_yet_is_seen_from_the_store(store: Store) -> None:
    with live(store, "small", "earlier") as run:
        at_work(store, run)
    with live(store, "small", "abc"):
        seen = status_of(store, "small")
    assert (seen.live, seen.stale) == (True, False)
    assert f"pid {os.getpid()}, which has told nothing yet" in seen.words
    assert [line.rounds for line in seen.snapshot.lines] == ["...", "..."]


def test_a_run_that_died_says_when_it_was_last_heard_of(store: Store, call: Call, tmp_path: Path) -> None:
    with live(store, "small", "abc") as run:
        at_work(store, run, at=time.time() - 185)
    code, printed = call(None, "status", "small", "--storage", tmp_path)
    assert code == 0
    assert (
        f"no run is live: the last one, on {run.host}, pid {run.pid}, seems to have died, last heard of 3 min"
        in printed
    )
    assert "580 of 580 steps are left" in printed  # the store is what counts: what died was never published
    assert "at work" not in printed
    assert "waits" not in printed


def test_a_run_that_ended_leaves_its_reasons(store: Store) -> None:
    with live(store, "small", "abc") as run:
        plan = make_plan(declared(), None, store)
        board = Board(plan, run)
        board.on_end(jobs(plan)["k0/seed0"], "it was cancelled")
        store.put_study("small", PROGRESS, to_record(board.snapshot(over=True)))
    seen = status_of(store, "small")
    assert (seen.live, seen.stale) == (False, False)
    assert "no run is live, the last one ended 0 s ago" in seen.words
    assert [str(ended) for ended in seen.snapshot.ended] == ["k0/seed0: it was cancelled"]
    assert [line.ended for line in seen.snapshot.lines] == ["it was cancelled", ""]


def test_a_run_that_was_stopped_is_told_from_one_that_ended(store: Store) -> None:
    with live(store, "small", "abc") as run:
        board = Board(make_plan(declared(), None, store), run)
        board.on_stopping("interrupted")
        store.put_study("small", PROGRESS, to_record(board.snapshot(over=True)))
    words = status_of(store, "small").words
    assert "the last one was stopped 0 s ago (interrupted); running the study again goes on from there" in words


def test_a_finished_study_is_told_from_the_store(store: Store, call: Call, tmp_path: Path) -> None:
    train_here(declared(), store)
    (tmp_path / "studies" / "small" / PROGRESS).write_text("{")  # of no consequence
    code, printed = call(None, "status", "small", "--storage", tmp_path)
    assert code == 0
    assert "7/7 trainings  2/2 lineages  2/2 branches" in printed
    assert "0 of 580 steps are left; no run is live" in printed
    assert "from the store" not in printed
    [row] = [line.split() for line in printed.splitlines() if line.startswith("k40/seed0")]
    assert len(row) == 4
    assert all(0 < float(accuracy) <= 100 for accuracy in row[1:])


def test_watching_without_a_terminal_looks_once(store: Store, call: Call, tmp_path: Path) -> None:
    with live(store, "small", "abc") as run:
        at_work(store, run)
        code, printed = call(None, "status", "small", "--storage", tmp_path, "--watch")
    assert (code, printed.count("steps are left")) == (0, 1)


def test_watching_goes_on_until_no_run_is_live(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            monkeypatch.setattr(status, "live_runs", lambda *_: [])

    monkeypatch.setattr(status.time, "sleep", sleep)
    out = io.StringIO()
    with live(store, "small", "abc") as run:
        at_work(store, run)
        print_status(store, "small", Console(file=out, width=80, height=24, force_terminal=True), watch=True)
    assert looks == [status.LOOK_EVERY_S] * 3
    assert "last heard of 0 s ago" in out.getvalue()
    assert "to have died" in out.getvalue()


def test_the_file_is_plain_json(store: Store, tmp_path: Path) -> None:
    with live(store, "small", "abc") as run:
        _, snapshot = at_work(store, run)
    written = json.loads((tmp_path / "studies" / "small" / PROGRESS).read_text())
    assert written["record"]["lines"][1]["rounds"] == snapshot.lines[1].rounds == "dn."
