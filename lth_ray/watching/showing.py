"""Showing a run while it runs: in a terminal, as plain lines elsewhere, and in the storage for other
machines.

Each by a thread of the driver that only reads; training waits for none of them.
"""

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live

from lth_ray.lottery import Plan
from lth_ray.lottery.kept.records import Record
from lth_ray.lottery.kept.stored import whole_records
from lth_ray.store import StorageError, Store
from lth_ray.watching.live_lines import began, pause_s, where
from lth_ray.watching.live_view import View
from lth_ray.watching.progress import Board
from lth_ray.watching.snapshot import to_record

PROGRESS = "progress.json"  # a study's newest snapshot
HEARD_EVERY_S = 1.0
WRITTEN_EVERY_S = 5.0
WRITING_SHARE = 20  # writing takes at most one part in so many of the time
AGAIN_S = 60.0  # after a storage that failed
JOIN_S = 5.0
NOTEBOOK_LINES = 40


@contextmanager
def shown(board: Board, console: Console) -> Iterator[None]:
    """Show the board for as long as the block runs: live in a terminal and in a notebook, else by lines further and
    further apart.
    """
    if console.is_jupyter:
        with _in_notebook(board):
            yield
        return
    if console.is_interactive and console.file.isatty():  # a log with colours forced on it is no terminal

        def view() -> View:
            return View(board.snapshot(), console.size.height)

        with Live(get_renderable=view, console=console, refresh_per_second=1, transient=True):
            yield
        return

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def lines(done: threading.Event) -> None:
        first, said = board.snapshot(), set[str]()
        say(began(first))
        while not done.wait(pause_s(time.time() - first.began)):
            snapshot = board.snapshot()
            for ended in (ended for ended in snapshot.ended if ended.reason not in said):
                said.add(ended.reason)
                say(f"ended: {ended}")
            say(where(snapshot))

    with _thread("lth_ray-lines", lines):
        yield


@contextmanager
def _in_notebook(board: Board) -> Iterator[None]:
    """Keep one picture under the cell up to date; the last one stays."""
    from IPython.display import display

    handle = display(View(board.snapshot(), NOTEBOOK_LINES), display_id=True)

    def refresh(done: threading.Event) -> None:
        while not done.wait(HEARD_EVERY_S):
            handle.update(View(board.snapshot(), NOTEBOOK_LINES))

    try:
        with _thread("lth_ray-notebook", refresh):
            yield
    finally:
        handle.update(View(board.snapshot(over=True), NOTEBOOK_LINES))


@contextmanager
def published(board: Board, store: Store) -> Iterator[None]:
    """Keep a snapshot in the storage for as long as the block runs, and leave the last one there.

    A storage that fails is one warning, never a failure of the run.
    """
    name, warned = board.plan.study.name, False

    def write(over: bool = False) -> bool:
        nonlocal warned
        try:
            store.impatient.put_study(name, PROGRESS, to_record(board.snapshot(over)))
        except StorageError as error:
            if not warned:
                warnings.warn(f"`lth-ray status` cannot be kept up to date: {error}", stacklevel=1)
            warned = True
            return False
        return True

    def writing(done: threading.Event) -> None:
        with suppress(StorageError):  # then their accuracies are not shown
            board.on_records(reused_records(board.plan, store))
        while True:
            at = time.monotonic()
            written = write()
            wait_s = max(WRITTEN_EVERY_S, WRITING_SHARE * (time.monotonic() - at)) if written else AGAIN_S
            if done.wait(wait_s):
                return

    thread = None
    try:
        with _thread("lth_ray-progress", writing) as thread:
            yield
    finally:  # also of a run that was stopped
        if thread is not None and not thread.is_alive():  # else a storage hangs, and a late write would be the last
            write(over=True)


@contextmanager
def following(board: Board, heard: Callable[[float], Mapping[str, int | None]]) -> Iterator[None]:
    """Tell the board where trainings are, for as long as the block runs; nothing is asked once it has ended.

    heard: gives {key of a piece at work: its step} within so many seconds, or raises.
    """

    def follow(done: threading.Event) -> None:
        while not done.wait(HEARD_EVERY_S):
            with suppress(Exception):  # the cluster may be away for a moment, and nothing hangs on this
                board.on_steps(heard(JOIN_S / 2))

    with _thread("lth_ray-following", follow):
        yield


def reused_records(plan: Plan, store: Store) -> dict[str, Record]:
    """Return the records of those tickets that need not be trained."""
    left = {piece.key for job in plan.jobs for piece in job.pieces}
    tickets = {r.segment.key for lineage in plan.lineages for r in lineage.rounds}
    return whole_records(store, (tickets & plan.keys) - left)


@contextmanager
def _thread(name: str, body: Callable[[threading.Event], None]) -> Iterator[threading.Thread]:
    """Run `body` beside the block; it is to return soon after the event is set."""
    done = threading.Event()
    thread = threading.Thread(target=body, args=(done,), name=name, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        done.set()
        thread.join(JOIN_S)
