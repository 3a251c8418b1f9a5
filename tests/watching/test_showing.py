"""Showing a run: lines without a terminal, a live view in one, a snapshot in the storage."""

import io
import os
import pty
import select
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from lth_ray.config import Launch
from lth_ray.lottery import Plan, make_plan
from lth_ray.running.results import Ending
from lth_ray.running.tuning import Listener
from lth_ray.store import StorageError, Store
from lth_ray.watching import showing
from lth_ray.watching.progress import Board
from lth_ray.watching.showing import PROGRESS, following, published, shown
from lth_ray.watching.snapshot import from_record
from tests.running.conftest import declared
from tests.watching.test_progress import RUN, jobs, result


@pytest.fixture
def plan() -> Plan:
    return make_plan(declared())


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_log_gets_plain_lines_now_and_then(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(showing, "pause_s", lambda elapsed_s: 0.2)
    out, board = io.StringIO(), Board(plan, RUN)
    dense = jobs(plan)["dense"]
    with shown(board, Console(file=out, width=40)):
        board.on_piece(dense, result(plan, dense.pieces[0].key))
        board.on_end(jobs(plan)["k0/seed0"], "it was [cancelled]")
        until(lambda: out.getvalue().count("\n") >= 4)
    lines = out.getvalue().splitlines()
    assert lines[0] == "small: 2 lineages on 1 dense run, 7 trainings, 580 steps, 100 saved by sharing"
    assert lines[1] == "ended: k0/seed0: it was [cancelled]"
    assert lines[2].startswith("51 %, 1/7 trainings, 1/2 lineages, ")
    assert lines[2].endswith(f"| last {dense.id}: 50.0% remaining, 90.0% test")
    assert sum(line.startswith("ended") for line in lines) == 1  # a reason is told once
    assert "\x1b" not in out.getvalue()


def test_many_tasks_are_no_more_lines(plan: Plan) -> None:
    out, board = io.StringIO(), Board(plan, RUN)
    with shown(board, Console(file=out)):
        for job in plan.jobs:
            for piece in job.pieces:
                board.on_piece(job, result(plan, piece.key))
    assert out.getvalue().count("\n") == 1


def test_a_terminal_is_shown_the_picture(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    ours, theirs = pty.openpty()
    got = b""
    with os.fdopen(theirs, "w") as terminal:
        with shown(Board(plan, RUN), Console(file=terminal, width=80, height=24, force_terminal=True)):
            time.sleep(0.1)
        terminal.flush()
        while select.select([ours], [], [], 0.5)[0]:
            got += os.read(ours, 1 << 16)
    os.close(ours)
    assert b"0/7 trainings" in got
    assert b"\x1b[" in got


def test_a_notebook_has_one_picture_that_is_kept_up_to_date(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    display = pytest.importorskip("IPython.display", reason="notebooks need IPython")
    monkeypatch.setattr(showing, "HEARD_EVERY_S", 0.01)
    shown_now: list[str] = []
    handle = SimpleNamespace(update=lambda view: shown_now.append(repr(view)))
    monkeypatch.setattr(display, "display", lambda view, display_id: (shown_now.append(view._repr_html_()), handle)[1])
    board, dense = Board(plan, RUN), jobs(plan)["dense"]
    with shown(board, Console(file=io.StringIO(), force_jupyter=True)):
        board.on_piece(dense, result(plan, dense.pieces[0].key))
        until(lambda: any("1/7 trainings" in text for text in shown_now[1:]))
    assert shown_now[0].startswith("<pre")
    assert "0/7 trainings" in shown_now[0]
    assert "so far" not in shown_now[-1]  # the run is over, and the picture stays


def test_the_storage_holds_the_newest_picture_and_then_the_last(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "WRITTEN_EVERY_S", 0.05)
    monkeypatch.setattr(showing, "WRITING_SHARE", 0)
    store, board = Store.open(str(tmp_path)), Board(plan, RUN)
    dense = jobs(plan)["dense"]

    def heard() -> tuple[int, bool]:
        snapshot = from_record(store.study("small", PROGRESS))
        return (-1, False) if snapshot is None else (snapshot.trainings[0], snapshot.over)

    with published(board, store):
        until(lambda: heard() == (0, False))
        board.on_piece(dense, result(plan, dense.pieces[0].key))
        until(lambda: heard() == (1, False))
    assert heard() == (1, True)


def test_a_run_that_is_stopped_leaves_its_last_picture_too(plan: Plan, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    with pytest.raises(KeyboardInterrupt), published(Board(plan, RUN), store):
        raise KeyboardInterrupt
    snapshot = from_record(store.study(plan.study.name, showing.PROGRESS) or {})
    assert snapshot is not None
    assert snapshot.over


def test_a_storage_that_fails_is_one_warning(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, calls = Store.open(str(tmp_path)), []

    def full(*_: object) -> None:
        calls.append(1)
        raise StorageError("the disk is full")

    monkeypatch.setattr(Store, "put_study", full)
    monkeypatch.setattr(showing, "AGAIN_S", 0.01)
    with warnings.catch_warnings(record=True) as caught, published(Board(plan, RUN), store):
        warnings.simplefilter("always")
        until(lambda: len(calls) > 3)
    assert [str(one.message) for one in caught] == ["`lth-ray status` cannot be kept up to date: the disk is full"]


def test_a_storage_that_hangs_keeps_nobody(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, free = Store.open(str(tmp_path)), threading.Event()
    monkeypatch.setattr(Store, "put_study", lambda *_: free.wait(20))
    monkeypatch.setattr(showing, "JOIN_S", 0.05)
    began = time.monotonic()
    with published(Board(plan, RUN), store):
        pass
    assert time.monotonic() - began < 5
    free.set()


def test_a_job_that_ended_is_told_at_once_and_once(plan: Plan) -> None:
    told: list[tuple[str, str]] = []
    watch = SimpleNamespace(
        results=SimpleNamespace(plan=plan), on_end=lambda job, ending: told.append((job.id, ending.reason))
    )
    scheduler = SimpleNamespace(endings={}, spent_s=0.0)
    listener = Listener(watch, scheduler, Launch(), None)  # type: ignore[arg-type]
    listener.looked = time.monotonic() + 1000  # for nodes that are drained: there are none
    for job in ("k0/seed0", "k40/seed0"):
        scheduler.endings[job] = Ending(f"{job} was cancelled")
        listener.on_step_end(0, [])
        listener.on_step_end(1, [])
    assert told == [("k0/seed0", "k0/seed0 was cancelled"), ("k40/seed0", "k40/seed0 was cancelled")]


def test_trainings_are_followed_while_the_cluster_answers(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "HEARD_EVERY_S", 0.01)
    board, key, asked = Board(plan, RUN), jobs(plan)["dense"].pieces[0].key, []

    def heard(within_s: float) -> dict[str, int | None]:
        asked.append(1)
        if len(asked) % 2:
            raise ConnectionError
        return {key: len(asked)}

    with following(board, heard):
        until(lambda: any(work.step >= 4 for work in board.snapshot().at_work))


def test_nobody_is_asked_where_trainings_are_once_they_are_not_followed(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray ends a process that asks it something when it is shut down."""
    monkeypatch.setattr(showing, "HEARD_EVERY_S", 0.01)
    monkeypatch.setattr(showing, "JOIN_S", 1.0)
    asked, answered = threading.Event(), threading.Event()

    def hangs(within_s: float) -> dict[str, int | None]:
        asked.set()
        time.sleep(within_s)
        answered.set()
        raise TimeoutError

    with following(Board(plan, RUN), hangs):
        assert asked.wait(10)
        answered.clear()
    assert answered.is_set()
