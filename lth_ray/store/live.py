"""Which runs are at work on a store: a marker a run, renewed while its process lives."""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import psutil

from lth_ray.store import layout
from lth_ray.store.errors import DamagedFile, StorageError
from lth_ray.store.store import Store

LIVE = "live"
BEAT_S = 30.0
SILENT_S = 120.0  # a run on another host that has not renewed its marker for this long counts as gone
START_TOLERANCE_S = 2.0  # a process's start time follows corrections of the clock


@dataclass(frozen=True)
class LiveRun:
    """A run at work. started: its process's start, heartbeat: the marker's last renewal, seconds since the epoch."""

    study: str
    id: str
    host: str
    pid: int
    started: float
    heartbeat: float

    def is_live(self, now: float) -> bool:
        """On this host: that very process exists. On another: it was heard of within SILENT_S."""
        if self.host != socket.gethostname():
            return now - self.heartbeat < SILENT_S
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < START_TOLERANCE_S
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.Error:
            return False


@contextmanager
def live(store: Store, study: str, run_id: str, beat_s: float = BEAT_S) -> Iterator[LiveRun]:
    """Marks this process as at work on a study for as long as the block runs.

    A renewal that fails is a warning, never a failure of the run.
    """
    started = psutil.Process().create_time()
    run = LiveRun(study, run_id, socket.gethostname(), os.getpid(), started, time.time())
    _write(store, run)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(beat_s):
            try:
                _write(store, LiveRun(**{**asdict(run), "heartbeat": time.time()}))
            except StorageError as error:
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


def live_runs(store: Store, study: str | None = None) -> list[LiveRun]:
    """The runs at work now, of one study or of all; markers of dead ones are passed over."""
    folder = layout.study_path(study, LIVE) if study else layout.STUDIES
    runs = (_read(store, path) for path in store.list(folder) if path.split("/")[2:3] == [LIVE])
    now = time.time()
    return [run for run in runs if run is not None and run.is_live(now)]


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
    return f"{LIVE}/{layout.part(run_id)}.json"
