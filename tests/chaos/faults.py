"""The kinds of faults: each a function that strikes a study that is at work.

It returns once the fault itself is over; whether the study goes on is asked afterwards. Kinds that need a storage at
rest kill the driver first. `Lost` is raised where the fault alone shows a defect.
"""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.chaos.scene import Lost, Scene

SECONDS = 5.0, 15.0  # that a fault lasts which passes
KEPT = "segments", "tables", "states", "masks", "checkpoints"


def _lasting(scene: Scene) -> None:
    time.sleep(scene.draw.uniform(*SECONDS))


def _strike(scene: Scene, *names: str) -> None:
    """Kills one of those that are called so; there is none for a moment while another takes its place."""
    scene.until(lambda: bool(scene.processes(*names)) or not scene.running, f"a {names[0]}")
    found = sorted(scene.processes(*names), key=lambda process: process.pid)
    with suppress(psutil.Error):
        if found:
            scene.draw.choice(found).kill()


def _until_noticed(scene: Scene, name: str) -> None:
    """Until the driver has started another, or has ended: trainings go on for a while without it."""
    scene.until(lambda: not scene.running or bool(scene.processes(name)), f"a word on a lost {name}")


def trial(scene: Scene) -> None:
    _strike(scene, "ray::ImplicitFunc")


def worker(scene: Scene) -> None:
    _strike(scene, "ray::RayTrainWorker")


def controller(scene: Scene) -> None:
    _strike(scene, "ray::TrainController")


def raylet(scene: Scene) -> None:
    _strike(scene, "raylet")
    _until_noticed(scene, "raylet")


def gcs(scene: Scene) -> None:
    _strike(scene, "gcs_server")
    _until_noticed(scene, "gcs_server")


def driver(scene: Scene) -> None:
    scene.kill_driver()


def interrupt(scene: Scene) -> None:
    """SIGTERM, as a scheduler of jobs gives notice."""
    assert scene.driver is not None
    scene.driver.send_signal(signal.SIGTERM)
    scene.until(lambda: not scene.running, "the end after SIGTERM")
    if scene.driver.returncode not in (0, 128 + signal.SIGTERM):
        raise Lost(f"exit code {scene.driver.returncode} after SIGTERM")


def stop(scene: Scene) -> None:
    """SIGSTOP of one process for a while, as a host that swaps or a paused virtual machine."""
    names = ("study.py", "ray::ImplicitFunc", "raylet", "gcs_server")
    name = scene.draw.choice((*names, "ray::RayTrainWorker") if scene.workers else names)
    found = scene.processes(name)
    if name == "study.py" and scene.driver is not None:
        found = [psutil.Process(scene.driver.pid)]
    with suppress(psutil.Error):
        for process in found[:1]:
            process.suspend()
    _lasting(scene)
    with suppress(psutil.Error):
        for process in found[:1]:
            process.resume()


def disk(scene: Scene) -> None:
    """The disk of storage and database is full for a while: a small one of their own, never the machine's."""
    if not os.path.ismount(scene.disk):
        raise Lost(f"{scene.disk} could not be mounted as a disk of its own, which takes root; nothing was filled")
    filler = scene.disk / "filler"
    free = os.statvfs(scene.disk)
    with open(filler, "wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    _lasting(scene)
    filler.unlink()


def away(scene: Scene) -> None:
    """The storage is gone for a while, as a mount that is stale."""
    elsewhere = Path(f"{scene.storage}.away")
    os.rename(scene.storage, elsewhere)
    _lasting(scene)
    if os.path.exists(scene.storage):
        raise Lost(f"a storage that was away was made anew: {sorted(os.listdir(scene.storage))}")
    os.rename(elsewhere, scene.storage)


def database(scene: Scene) -> None:
    """mlflow.db is locked for a while by another program; or, between two runs, cut off, or lost."""
    scene.until(lambda: scene.database.exists() or not scene.running, "the database")
    what = scene.draw.choice(("locked", "cut off", "lost"))
    if what == "locked":
        with closing(sqlite3.connect(scene.database, timeout=60)) as connection, suppress(sqlite3.OperationalError):
            connection.execute("begin exclusive")
            _lasting(scene)
        return
    scene.kill_driver()
    if what == "lost":
        for path in scene.database.parent.glob("mlflow.db*"):
            path.unlink()
    elif scene.database.exists():
        os.truncate(scene.database, scene.database.stat().st_size // 2)


def s3_silent(scene: Scene) -> None:
    """The server answers nothing."""
    assert scene.server is not None
    scene.server.send_signal(signal.SIGSTOP)
    _lasting(scene)
    scene.server.send_signal(signal.SIGCONT)


def s3_refuses(scene: Scene) -> None:
    """The server answers 503."""
    scene.refuses.touch()
    _lasting(scene)
    scene.refuses.unlink()


def drivers(scene: Scene) -> None:
    """A second driver of the same study; then one of the two is killed, or neither."""
    assert scene.driver is not None
    second, before = scene.start(), scene.steps
    scene.until(lambda: scene.steps > before + 60 or second.poll() is not None, "steps by two drivers")
    victim = scene.draw.choice((scene.driver, second, None))
    if victim is not None:
        victim.kill()
        victim.wait()
    if victim is scene.driver:
        scene.driver = second
    else:
        scene.beside.append(second)


def gc(scene: Scene) -> None:
    """Collection beside a run, which refuses; and between two, killed on its way and begun again."""
    command = "gc", "--yes", "--grace-s", "0"
    code = scene.lth_ray(*command)
    if scene.running and code != 2:
        raise Lost(f"gc beside a live run: exit code {code}")
    scene.kill_driver()
    scene.lth_ray(*command, LTH_RAY_KILL_AT=f"gc:{scene.draw.randint(1, 3)}")
    if code := scene.lth_ray(*command):
        raise Lost(f"gc between two runs: exit code {code}")


def copies(scene: Scene) -> None:
    """Between two runs the storage is moved; copied, and the copy gone on with; or restored from an older copy."""
    what = scene.draw.choice(("moved", "copied", "restored"))
    scene.kill_driver()
    old, new = Path(scene.storage), scene.disk / f"storage-{time.monotonic_ns()}"
    if what == "moved":
        os.rename(old, new)
        scene.storage = str(new)
        return
    shutil.copytree(old, new, symlinks=True)
    if what == "restored":
        scene.train(60)
        scene.kill_driver()
        shutil.rmtree(old)
        os.rename(new, old)
    else:
        shutil.rmtree(old)
        scene.storage = str(new)


def damage(scene: Scene) -> None:
    """Between two runs a file has a bit flipped, its end cut off, another's bytes, or is gone."""
    scene.kill_driver()
    files = [path for folder in KEPT for path in sorted(Path(scene.storage, folder).rglob("*")) if path.is_file()]
    if not files:
        return
    path, scene.damaged = scene.draw.choice(files), True
    data = bytearray(path.read_bytes())
    match scene.draw.choice(("flipped", "cut off", "another's", "gone")):
        case "flipped":
            data[len(data) * 2 // 3] ^= 4
            path.write_bytes(data)
        case "cut off":
            path.write_bytes(data[:-20])
        case "another's":
            shutil.copy(scene.draw.choice([other for other in files if other.suffix == path.suffix]), path)
        case _:
            path.unlink()


Strike = Callable[[Scene], None]
ALONE: tuple[Strike, ...] = (
    trial, driver, interrupt, raylet, gcs, stop, disk, away, database, drivers, gc, copies, damage,
)  # fmt: skip
TOGETHER: tuple[Strike, ...] = (*ALONE, worker, controller)
REMOTE: tuple[Strike, ...] = (s3_silent, s3_refuses, driver)
KINDS = {strike.__name__: strike for strike in (*TOGETHER, *REMOTE)}
