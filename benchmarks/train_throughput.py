"""The cost of Ray Train: steps a second of a training by its workers, as a share of those in plain processes.

Those run the same loop at the same priority.

Ours is all that a study's segment goes through: Ray's own processes, the store, the run's board, a checkpoint a minute.
The two trainings take turns of a few seconds; while one works, the processes that train the other are stopped. Ray's
own go on throughout, since a Ray that was stopped takes its node to be dead: what they take is seen in the processor
time a step, of all processes of a side, which is also the figure that other work on the machine disturbs least.
Start-up is left out and told apart. Beside it, what a checkpoint of ResNet-50 costs a minute of training.
"""

import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks import bare_team
from benchmarks.bare_team import Stamping
from benchmarks.mask_share import a_run
from benchmarks.suite import data_root
from benchmarks.timing import Entry, Line, Paired, Skipped, throughput
from lth_ray.config import Data, Launch, Model, Prune, Study, Train, steps
from lth_ray.data import absolute
from lth_ray.lottery import Training, make_plan
from lth_ray.lottery.execution.checkpoints import Checkpoints
from lth_ray.running.notices import Notices
from lth_ray.running.settings import Settings
from lth_ray.running.trial import Failed
from lth_ray.running.tuning import connected
from lth_ray.running.worker import fit
from lth_ray.running.workers import Workers
from lth_ray.store import Store
from lth_ray.training import Clock, train

IMAGES = "cifar10"
SIZES = (1, 2)
CORES_A_WORKER = 2  # with fewer, what is seen is how Ray's own processes and the workers take cores from each other
GROUP = 32  # images of a worker's batch
TURN_S, PAIRS_A_TURN = 3.0, 40
WORKER = "ray::RayTrainWorker"
WARM_STEPS, STARTING_S = 5, 120.0
TARGETS = {"steps a second": 90.0, "by processor time": 80.0}  # per cent, on two cores that Ray's own processes share
EVERY_S, CHECKPOINT_PERCENT = 60.0, 5.0
Processes = Callable[[], list[psutil.Process]]


@dataclass(frozen=True)
class Stamped(Settings):
    """Settings whose clock notes in `folder` when steps ended."""

    folder: str = ""

    @contextmanager
    def clock(self, reader: str | None, *beside: str) -> Iterator[Clock]:
        with super().clock(reader) as clock:
            given = clock.every_s, clock.every_steps, clock.notices, clock.written
            yield Stamping(self.folder if reader else None, *given)


@dataclass
class Side:
    """One of the two trainings.

    trainers: those of its processes that are stopped between turns. windows: its turns, (began, ended) by the monotonic
    clock. used: their processor seconds.
    """

    folder: Path
    processes: Processes
    trainers: Processes
    windows: list[tuple[float, float]] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    @property
    def stamps(self) -> list[float]:
        """Return when each step ended."""
        found = self.folder / "steps"
        return [float(line) for line in found.read_text().split("\n")[:-1]] if found.exists() else []

    def warm(self) -> float:
        """Wait for the first steps and stop; return the seconds until the very first."""
        began = time.monotonic()
        while len(self.stamps) < WARM_STEPS:
            if time.monotonic() - began > STARTING_S:
                raise TimeoutError(f"no {WARM_STEPS} steps were trained within {STARTING_S:g} s")
            time.sleep(0.2)
        self.tell(signal.SIGSTOP)
        return self.stamps[0] - began

    def turn(self, seconds: float) -> None:
        before = self.processor_s()
        self.tell(signal.SIGCONT)
        began = time.monotonic()
        time.sleep(seconds)
        self.windows.append((began, time.monotonic()))
        self.tell(signal.SIGSTOP)
        self.used.append(sum(now - before.get(process, 0.0) for process, now in self.processor_s().items()))

    def processor_s(self) -> dict[int, float]:
        """Return the processor time of each process so far."""
        found = {}
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                found[process.pid] = sum(process.cpu_times()[:2])
        return found

    def steps(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the seconds and the processor seconds a step in each turn but the first and the last."""
        seconds = seconds_a_step(self.stamps, self.windows)
        busy = [used / (ended - began) for used, (began, ended) in zip(self.used, self.windows, strict=True)]
        return seconds, tuple(a_step * cores for a_step, cores in zip(seconds, busy[1:-1], strict=True))

    def tell(self, number: signal.Signals) -> None:
        for process in self.trainers():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def entries(pairs: int = 200) -> list[Line]:
    """Measure so many turns of each training, and a checkpoint; without CIFAR-10 the latter alone."""
    images = data_root() / IMAGES
    if not images.is_dir():
        why = f"there is no CIFAR-10 in {images}; give --data-root the folder with {IMAGES}"
        return [Skipped("steps through Ray Train against plain processes", why), checkpoint()]
    cores, found = len(os.sched_getaffinity(0)), list[Line]()
    for size in SIZES:
        if cores < CORES_A_WORKER * size:
            why = f"there are {cores} cores, and {size} workers beside Ray's own processes need {CORES_A_WORKER * size}"
            found.append(Skipped(f"{size} workers of Ray Train against plain processes", why))
        else:
            found += lines(size, max(2, pairs // PAIRS_A_TURN))
    return [*found, checkpoint()]


def lines(size: int, turns: int, turn_s: float = TURN_S) -> list[Entry]:
    """Return lines on so many turns of each, without a first and a last one whose ends are not known to the
    step.
    """
    with tempfile.TemporaryDirectory(prefix="lth_", ignore_cleanup_errors=True) as folder:
        ours, bare = (side.steps() for side in alternate(size, turns + 2, turn_s, Path(folder)))
    name = f"{size} worker{'s' * (size > 1)} of Ray Train against plain processes"
    return [
        throughput(f"{name}, {what}", Paired(*taken), target=target)
        for (what, target), taken in zip(TARGETS.items(), zip(ours, bare, strict=True), strict=True)
    ]


def alternate(size: int, turns: int, turn_s: float, folder: Path) -> tuple[Side, Side]:
    """Start both trainings and let them take turns, the first of a pair changing each time."""
    for name in ("ray", "bare"):
        (folder / name).mkdir()
    training = a_training(size)
    plain: list[Any] = []

    def of_ray() -> list[psutil.Process]:
        pids = {process.pid for process in plain}
        return [child for child in psutil.Process().children(recursive=True) if child.pid not in pids]

    def others() -> list[psutil.Process]:
        return [psutil.Process(process.pid) for process in plain]

    ours, bare = Side(folder / "ray", of_ray, lambda: trainers(of_ray())), Side(folder / "bare", others, others)
    with ExitStack() as last:
        last.enter_context(trained_by_ray(size, training, folder))
        last.callback(ours.tell, signal.SIGCONT)
        started = ours.warm()
        plain += bare_team.start(size, training, str(data_root()), bare.folder)
        last.callback(lambda: [process.kill() for process in plain])
        print(f"{size} worker(s): the first step through Ray Train after {started:.1f} s, without {bare.warm():.1f} s")
        for n in range(turns):
            for side in ((ours, bare), (bare, ours))[n % 2]:
                side.turn(turn_s)
    return ours, bare


def trainers(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return those of Ray's processes that train."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found += [process] if WORKER in " ".join(process.cmdline()) else []
    return found


@contextmanager
def trained_by_ray(size: int, training: Training, folder: Path) -> Iterator[None]:
    """Train in a Ray of its own, as a study does it; it ends with the block."""
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  the plain processes' own: by default workers give way
    with connected(Launch(str(folder / "store"), cpus=size, workers=size), folder):
        notices = Notices.remote()  # type: ignore[attr-defined]
        called = training.recipe.data.called
        settings = Stamped(
            Store.open(str(folder / "store")), {called: absolute(called, str(data_root()))}, Workers(size, size, size),
            EVERY_S, scratch=str(folder / "train"), notices=notices, folder=str(folder / "ray"),
        )  # fmt: skip
        thread = threading.Thread(target=until_told, args=(training, settings))
        thread.start()
        try:
            yield
        finally:
            (folder / "ray" / "enough").touch()
            thread.join(STARTING_S)


def until_told(training: Training, settings: Settings) -> None:
    """Train; that it is ended early is no fault."""
    with suppress(Failed):
        list(fit([training], settings, None))


def a_training(size: int, images: str = IMAGES) -> Training:
    """Return ResNet-20 on `images`, as many images for each worker whatever their number; no end in sight."""
    study = Study(
        "throughput",
        model=Model("cifar_resnet20"),
        data=Data(images, batch_size=GROUP * size, validation=0, augment="crop_flip"),
        train=Train(
            steps(1_000_000), lr=0.01, momentum=0.9, weight_decay=1e-4, evaluate_every=steps(1_000_000),
            batch_norm_group=GROUP,
        ),
        prune=Prune(fraction=0.2, rounds=0),
        rewind=[steps(0)],
        seeds=[0],
    )  # fmt: skip
    training = make_plan(study, str(data_root())).jobs[0].pieces[0]
    assert isinstance(training, Training)
    return training


def seconds_a_step(stamps: Sequence[float], windows: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """In each of `windows` but the first and the last; nothing is trained between them, and a step that is interrupted
    counts in both by what it spent there. Times are in seconds, in order.
    """
    began, ended = np.array(windows).T
    worked = np.clip(np.array(stamps)[:, None] - began, 0, ended - began).sum(1)  # until each step's end
    worked = worked[worked > 0]
    reached = np.interp(np.cumsum(ended - began), worked, np.arange(len(worked)))
    return tuple(((ended - began)[1:-1] / np.diff(reached)[:-1]).tolist())


def checkpoint(repeats: int = 4) -> Entry:
    """Time a checkpoint of ResNet-50, as a share of the minute between two, did its writing stop training."""
    torch.set_num_threads(1)
    run = a_run("fp32", 2, 64)
    train(run, 1)  # there is a momentum from here on
    copied, whole = [], []
    with tempfile.TemporaryDirectory() as folder, Checkpoints(Store.open(folder)) as checkpoints:
        for run.step in range(1, repeats + 1):
            began = time.monotonic()
            checkpoints.save(("benchmark", run, {}))
            copied.append(time.monotonic() - began)
            checkpoints.wait()
            whole.append(time.monotonic() - began)
    low, median, high = (100 * cut / EVERY_S for cut in statistics.quantiles(whole, n=4))
    print(f"a checkpoint of ResNet-50: training waits {statistics.median(copied):.3f} s for the copy")
    return Entry(
        f"a checkpoint of ResNet-50, copied and written, of {EVERY_S:g} s", "%", median, (low, high),
        CHECKPOINT_PERCENT, 1e3 * statistics.median(whole), 1e3 * EVERY_S, repeats,
    )  # fmt: skip
