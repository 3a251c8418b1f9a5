"""A study that faults befall: its storage, its driver, and the processes that were started for it."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import S3_ENVIRONMENT
from tests.mlflow_server import free_port

NAME, EVERY = "chaos", 20  # the study; steps between its evaluations
TRIES = 5  # runs of the same command, at most, until one exits with 0
LONGEST_S = 240.0  # that anything may take: to the next step, to the end of a study, of an orphan
SCRIPT = f'''
"""Does a study come through whatever happens to it?"""
import os
import time

import torch.nn.functional as F

from lth_ray import Data, Model, Prune, RandomReinit, Study, Train, main, steps


def slowly(model, batch):
    inputs, labels = batch
    time.sleep(float(os.environ.get("LTH_PAUSE_S", "0.05")))
    return F.cross_entropy(model(inputs), labels), {{}}


study = Study(
    "{NAME}",
    model=Model("lenet_20_10"),
    data=Data("digits", batch_size=60, validation=200),
    train=Train(steps(300), optimizer="adam", lr=1e-3, evaluate_every=steps({EVERY}), batch_norm_group=15,
                step=slowly),
    prune=Prune(scope="layer", fraction=0.3, rounds=1),
    rewind=[steps(40)],
    seeds=[0],
    branches=[RandomReinit(rounds=[1])],
)

if __name__ == "__main__":
    main(study)
'''


class Lost(Exception):
    """A loss that a fault must not cost."""


@dataclass
class Scene:
    """workers: that train each network together; 0 for none. remote: whether the storage is on an S3 server.

    storage: its path or URI. draw: what a fault chooses by. disk: what the storage lies on, a small file system of its
    own where there is root. beside: other drivers. damaged: whether a file of the storage was.
    """

    folder: Path
    workers: int
    remote: bool
    draw: random.Random = field(default_factory=random.Random)
    storage: str = ""
    driver: "subprocess.Popen[bytes] | None" = None
    beside: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    server: "subprocess.Popen[bytes] | None" = None
    environment: dict[str, str] = field(default_factory=dict)
    damaged: bool = False

    def prepare(self) -> None:
        """Makes the folder, and what the storage lies on."""
        self.folder.mkdir(parents=True)
        self.disk.mkdir()
        (self.folder / "study.py").write_text(SCRIPT)
        self.environment["LTH_RAY_STEP_LOG"] = str(self.folder / "steps.log")
        self.storage = f"s3://chaos/{self.folder.name}" if self.remote else str(self.disk / "storage")
        if self.remote:
            self._serve()
        else:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", self.disk], capture_output=True)

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db" if self.remote else Path(self.storage, "mlflow.db")

    @property
    def refuses(self) -> Path:
        """The server answers 503 while this is there."""
        return self.folder / "refuses"

    @property
    def steps(self) -> int:
        """Trained so far, by whomever, repeated ones too."""
        log = self.folder / "steps.log"
        return log.read_bytes().count(b"\n") if log.exists() else 0

    @property
    def output(self) -> str:
        return (self.folder / "output.log").read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.driver is not None and self.driver.poll() is None

    def start(self, **environment: str) -> "subprocess.Popen[bytes]":
        """A driver of the study."""
        command = ["study.py", "--storage", self.storage, "--cpus", "2", "--checkpoint-every-steps", str(EVERY)]
        if self.workers:
            command += ["--workers", str(self.workers)]
        if self.remote:
            command += ["--tracking-uri", f"sqlite:///{self.database}"]
        return self._popen(command, environment)

    def lth_ray(self, *command: str, **environment: str) -> int:
        """The exit code of `lth-ray` with this storage."""
        whole = ["-m", "lth_ray", *command, "--storage", self.storage]
        return self._popen(whole, environment).wait(LONGEST_S)

    def _popen(self, command: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with open(self.folder / "output.log", "ab") as output:
            output.write(f"$ {' '.join(command)} {environment or ''}\n".encode())
            output.flush()
            return subprocess.Popen(
                [sys.executable, *command], env={**os.environ, **self.environment, **environment}, stdout=output,
                stderr=output, cwd=self.folder,
            )  # fmt: skip

    def begin(self) -> None:
        """Starts a driver where none is at work."""
        if not self.running:
            self.driver = self.start()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Raises Lost where it never comes to that."""
        ends = time.monotonic() + LONGEST_S
        while not condition():
            if time.monotonic() > ends:
                raise Lost(f"{what}: not within {LONGEST_S:.0f} s")
            time.sleep(0.05)

    def train(self, steps: int) -> bool:
        """Until so many more steps are trained, by as many runs of the same command as it takes; False where the study
        is finished before."""
        before = self.steps
        for _ in range(TRIES):
            self.begin()
            self.until(lambda: self.steps >= before + steps or not self.running, "the next step")
            if self.steps >= before + steps:
                return True
            assert self.driver is not None
            if self.driver.returncode == 0:
                return False
            self.check(self.driver.returncode)
        raise Lost(f"{TRIES} runs of the same command failed")

    def check(self, code: int) -> None:
        """Check that a run has ended in one of the ways that are documented."""
        if code not in (0, 1, 2, 3, 5) and not (code < 0 or code > 128):
            raise Lost(f"exit code {code}")

    def finish(self) -> None:
        """Runs the same command until it exits with 0 and nothing is left to do."""
        self.train(10**9)
        for process in self.beside:
            self.until(lambda process=process: process.poll() is not None, "the end of a driver beside")  # type: ignore[misc]
            self.check(process.returncode)
        self.until(lambda: not self.processes(), "the end of all processes")

    def kill_driver(self) -> None:
        """And any beside it; waits for the end of what they had started."""
        for process in (self.driver, *self.beside):
            if process is not None:
                process.kill()
                process.wait()
        self.until(lambda: not self.processes(), "the end of a killed driver's processes")

    def processes(self, *names: str) -> list[psutil.Process]:
        """Return what was started for the study and is alive.

        names: return those that are called so.
        """
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.environ().get("LTH_RAY_STEP_LOG") != self.environment["LTH_RAY_STEP_LOG"]:
                    continue
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if not names or process.name() in names or "".join(process.cmdline()[:1]).startswith(names):
                    found.append(process)
        return found

    def _serve(self) -> None:
        import boto3

        port = free_port()
        self.environment |= {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        os.environ.update({name: self.environment[name] for name in (*S3_ENVIRONMENT, "AWS_ENDPOINT_URL")})
        with open(self.folder / "server.log", "ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.s3_server", str(port), str(self.refuses)], stdout=log, stderr=log
            )
        client = boto3.session.Session().client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"])
        self.until(lambda: b"Running on" in (self.folder / "server.log").read_bytes(), "the S3 server")
        client.create_bucket(Bucket="chaos")

    def end(self) -> None:
        """Ends all that was started for the study, and takes its disk away."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGCONT)
                process.kill()
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        subprocess.run(["umount", "-l", self.disk], capture_output=True)


@contextmanager
def a_scene(folder: Path, workers: int, remote: bool) -> Iterator[Scene]:
    """One that ends with the block; its folder goes with it, unless the block fails."""
    scene = Scene(folder, workers, remote)
    try:
        scene.prepare()
        yield scene
    finally:
        scene.end()
    shutil.rmtree(folder, ignore_errors=True)
