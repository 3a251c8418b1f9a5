"""The runs that are at work on a store: a marker for each, renewed while its process lives.

How long a run has been silent is told by the clock of the storage, which stamps each renewal, so that it does not
matter how far the clocks of its host and of the one who asks are apart. A PID says something only within one boot and
one PID namespace: there it says all.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from lth_ray.store import layout
from lth_ray.store.errors import DamagedFile, StorageError
from lth_ray.store.store import Store

LIVE = "live"
BEAT_S = 30.0
SILENT_S = 120.0  # a run elsewhere that has not renewed its marker for this long counts as gone
WATCH_S, WATCH_POLL_S = 2 * BEAT_S + 5, 1.0  # what it is given to beat once more before anything hangs on that
START_TOLERANCE_S = 2.0  # a process's start time follows corrections of the clock


@dataclass(frozen=True)
class LiveRun:
    """A run at work.

    started: its process's start, in seconds since the epoch by its host's clock as that was set at the last renewal.
    heartbeat: the marker's last renewal, by the same clock.
    kernel: the boot and PID namespace in which `pid` is its own; "" where that is not known.
    """

    study: str
    id: str
    host: str
    pid: int
    started: float
    heartbeat: float
    kernel: str = ""

    def is_live(self, silent_s: float) -> bool:
        """Return whether the run is there, where this process can see that very process; elsewhere whether it
        was heard of within SILENT_S.

        silent_s: since its last renewal.
        """
        if not self.is_here:
            return silent_s < SILENT_S
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < START_TOLERANCE_S
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False

    @property
    def is_here(self) -> bool:
        """True where its PID means the same to this process."""
        return bool(self.kernel) and self.kernel == _kernel()


@contextmanager
def live(store: Store, study: str, run_id: str, beat_s: float = BEAT_S) -> Iterator[LiveRun]:
    """Mark this process as at work on a study for as long as the block runs.

    A renewal that fails is a warning, never a failure of the run.
    """
    store = store.impatient  # a storage that is away misses a beat; what has to wait for it says so itself
    started = psutil.Process().create_time()
    run = LiveRun(study, run_id, socket.gethostname(), os.getpid(), started, time.time(), _kernel())
    _write(store, run)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(beat_s):
            try:  # its start as well, which moves where the clock is set
                _write(store, replace(run, started=psutil.Process().create_time(), heartbeat=time.time()))
            except (StorageError, OSError, psutil.Error) as error:
                warnings.warn(f"the live marker was not renewed: {error}", stacklevel=1)

    beating = threading.Thread(target=beat, name="lth_ray-live", daemon=True)
    beating.start()
    try:
        yield run
    finally:
        done.set()
        beating.join()
        try:
            store.delete(layout.study_path(study, _name(run_id)))
        except StorageError as error:  # what the run itself has met is what is to be told
            warnings.warn(f"the live marker stays behind: {error}", stacklevel=1)


def live_runs(store: Store, study: str | None = None, watch: bool = False) -> list[LiveRun]:
    """Return the runs at work now, of one study or of all; markers of dead ones are passed over.

    watch: where a run elsewhere has been silent, waits WATCH_S for its next beat, by a clock of one's own, before it
    counts as dead, and removes its marker then: for what must not go wrong even on a storage whose stamps mislead.
    """
    silent = silences(store, study)
    runs = [run for run, silent_s in silent if run.is_live(silent_s)]
    dead = [run for run, silent_s in silent if not run.is_live(silent_s)]
    if not watch:
        return runs
    for run in (run for run in dead if run.is_here):
        _remove(store, run)
    return runs + _beating(store, [run for run in dead if not run.is_here])


def silences(store: Store, study: str | None = None) -> list[tuple[LiveRun, float]]:
    """Return every run that has a marker, and for how many seconds it has not renewed it, by the storage's
    clock.
    """
    folder = layout.study_path(study, LIVE) if study else layout.STUDIES
    entries = [entry for entry in store.files.entries(folder) if entry.path.split("/")[2:3] == [LIVE]]
    if not entries:
        return []
    try:
        now = store.now()
    except StorageError:  # one may read it, and not write: its own clock must do
        now = time.time()
    found = ((_read(store, entry.path), now - entry.modified) for entry in entries)
    return [(run, silent_s) for run, silent_s in found if run is not None]


def _beating(store: Store, runs: list[LiveRun]) -> list[LiveRun]:
    """Return those of `runs` that renew their markers within WATCH_S; remove the others' markers."""
    deadline, beating = time.monotonic() + WATCH_S, list[LiveRun]()
    while runs and time.monotonic() < deadline:
        time.sleep(WATCH_POLL_S)
        now = {run: _read(store, layout.study_path(run.study, _name(run.id))) for run in runs}
        beating += [run for run, found in now.items() if found is not None and found != run]
        runs = [run for run, found in now.items() if found == run]
    for run in runs:
        _remove(store, run)
    return beating


def _remove(store: Store, run: LiveRun) -> None:
    """Remove a marker that its run cannot remove any more."""
    store.delete(layout.study_path(run.study, _name(run.id)))


def _write(store: Store, run: LiveRun) -> None:
    store.put_study(run.study, _name(run.id), asdict(run))


def _read(store: Store, path: str) -> LiveRun | None:
    _, study, name = path.split("/", 2)
    try:
        record = store.study(study, name)
    except DamagedFile:
        return None
    return LiveRun(**record) if record else None


def _name(run_id: str) -> str:
    return f"{LIVE}/{layout.component(run_id)}.json"


def _kernel() -> str:
    """Return the boot of this machine and the PID namespace of this process; "" where the system does not
    tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
