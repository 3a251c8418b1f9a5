"""The status of a study, from any machine that sees its storage: what its live run tells, else what the store
holds.
"""

import time
from dataclasses import dataclass, replace

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lth_ray.printing import enumerated
from lth_ray.running.history import recorded_plan
from lth_ray.running.planning import listed
from lth_ray.store import DamagedFile, LiveRun, Store, live_runs
from lth_ray.store.claims import Claim, claims_of
from lth_ray.watching.live_view import View
from lth_ray.watching.progress import Board
from lth_ray.watching.showing import PROGRESS, reused_records
from lth_ray.watching.snapshot import Snapshot, duration, from_record

STALE_S = 60.0  # a run that is well tells more often
LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class Status:
    """The status of a study.

    words: what is left, and what is known of runs.
    live: a run is at work.
    stale: it has not been heard of lately, or has died.
    """

    snapshot: Snapshot
    words: str
    live: bool
    stale: bool = False


def status_of(store: Store, name: str) -> Status:
    """Return how far a study is. Raise ConfigError for an unknown name.

    A live run's own snapshot is all that is read while there is one: that costs the same for thousands of tickets.
    """
    heard, runs = _heard(store, name), live_runs(store, name)
    if heard is not None and not heard.over and any(run.id == heard.run for run in runs):
        silent_s = max(0.0, time.time() - heard.at)
        stale = silent_s > STALE_S
        known = f"{_named(runs, store)}, {'but ' if stale else ''}last heard of {duration(silent_s)} ago"
        return Status(heard, _words(heard, known), True, stale)
    stored = in_store(store, name)
    if runs:
        return Status(stored, _words(stored, f"{_named(runs, store)}, which has told nothing yet"), True)
    if heard is None:
        return Status(stored, _words(stored, "no run is live"), False)
    seen, ago = _with_endings(stored, heard), duration(max(0.0, time.time() - heard.at))
    if heard.over or not seen.steps_left:
        ended = f"was stopped {ago} ago ({heard.stopping})" if heard.stopping else f"ended {ago} ago"
        goes_on = "; running the study again goes on from there" if heard.stopping and seen.pieces_left else ""
        return Status(seen, _words(seen, f"no run is live, the last one {ended}{goes_on}"), False)
    died = (
        f"no run is live: the last one, on {heard.host}, pid {heard.pid}, seems to have died, last heard of {ago} ago"
    )
    return Status(seen, _words(seen, f"{died}; running the study again goes on from there"), False, stale=True)


def print_status(store: Store, name: str, console: Console, watch: bool = False) -> None:
    """Show how far a study is.

    watch: in a terminal, again and again until no run is live.
    """
    status = status_of(store, name)
    if not (watch and status.live and console.is_terminal):
        console.print(View(status.snapshot, console.size.height - 1 if console.is_terminal else None))
        console.print(status.words, style=_style(status), highlight=False, markup=False, soft_wrap=True)
        return
    with Live(_shown(status, console), console=console, auto_refresh=False) as live:
        while status.live:
            time.sleep(LOOK_EVERY_S)
            status = status_of(store, name)
            live.update(_shown(status, console), refresh=True)


def in_store(store: Store, name: str) -> Snapshot:
    """Return what of a study is in the store."""
    plan = recorded_plan(store, name)
    board = Board(plan)
    board.on_records(reused_records(plan, store))
    return board.snapshot()


def _heard(store: Store, name: str) -> Snapshot | None:
    try:
        return from_record(store.study(name, PROGRESS))
    except DamagedFile:
        return None


def _with_endings(stored: Snapshot, heard: Snapshot) -> Snapshot:
    """Return what is stored, with why the last run ended early what is still unfinished."""
    why = {line.lineage: line.ended for line in heard.lines}
    lines = [line if line.finished else replace(line, ended=why.get(line.lineage, "")) for line in stored.lines]
    finished = {line.lineage for line in lines if line.finished}
    ended = [one for one in heard.ended if stored.steps_left and one.job not in finished]
    return replace(stored, lines=tuple(lines), ended=(*stored.ended, *ended))


def _named(runs: list[LiveRun], store: Store) -> str:
    """Return where runs are, and of several what each is at."""
    at = claims_of(store, runs[0].study) if len(runs) > 1 else {}
    named = (f"{run.host}, pid {run.pid}{_at(at.get(run.id, []))}" for run in runs)
    return "running on " + enumerated(named, "and")


def _at(claims: list[Claim]) -> str:
    return f" ({listed(sorted(claim.what for claim in claims))})" if claims else ""


def _words(snapshot: Snapshot, runs: str) -> str:
    return f"{snapshot.steps_left:,} of {snapshot.unique_steps:,} steps are left; {runs}"


def _style(status: Status) -> str:
    return "yellow" if status.stale else ""


def _shown(status: Status, console: Console) -> Group:
    words = Text(status.words, style=_style(status))
    lines = len(words.wrap(console, console.size.width))
    return Group(View(status.snapshot, console.size.height - lines), words)
