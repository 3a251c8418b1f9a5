"""A lab's hosts: the head of a Ray cluster, two workers of one core each, an MLflow server, and a desk."""

import json
import os
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.hosts import Host, Network, a_network

ROOT = Path(__file__).resolve().parents[2]
WORKERS = "worker1", "worker2"
NAMES = "head", *WORKERS, "mlflow", "desk"
JOBS, TRACKING = "http://head:8265", "http://mlflow:5000"
OBJECT_STORE = "--object-store-memory=100000000"
POLL_S = 0.05

# As the files in cluster/ set it. A lost host is noticed in 3 s, and a job that is stopped may take its checkpoints.
SETTINGS = {
    "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "GLOO_SOCKET_IFNAME": "eth0", "OMP_NUM_THREADS": "1",
    "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000", "RAY_health_check_failure_threshold": "3",
    "RAY_JOB_STOP_WAIT_TIME_S": "100", "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
LEFT_OUT = "RAY_", "LTH_", "MLFLOW_", "GLOO_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"


@dataclass
class Job:
    """A job that was submitted from the desk and whose log is followed there."""

    desk: Host
    id: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait(self, timeout_s: float = 150) -> int:
        """The exit code of `ray job submit`."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.id} does not end:\n{self.output[-3000:]}") from None

    def ray(self, verb: str) -> "subprocess.CompletedProcess[str]":
        """ray job stop, logs or status."""
        return self.desk.run("ray", "job", verb, "--address", JOBS, self.id)


@dataclass
class Lab:
    """folder: of everything. Its `shared` is what an NFS server would offer: each host sees it at the same path."""

    folder: Path
    network: Network
    hosts: dict[str, Host] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    # Hosts ----------------------------------------------------------------------------------------------------------

    def start_all(self) -> None:
        for name in NAMES:
            self.hosts[name] = self.network.add(name, LTH_RAY_STEP_LOG=str(self.step_log(name)))
        self.start_mlflow()
        self.hosts["head"].start(
            "ray", "start", "--head", "--block", "--port=6379", "--num-cpus=0", OBJECT_STORE,
            f"--node-ip-address={self.hosts['head'].address}", "--dashboard-host=0.0.0.0", "--dashboard-port=8265",
            log=self.log("head"),
        )  # fmt: skip
        self.until(lambda: self.listens("head", 6379), "the head is up")
        for name in WORKERS:
            self.start_worker(name)
        self.until(lambda: self.listens("head", 8265), "the head takes jobs")
        for name in WORKERS:
            self.until(lambda name=name: self.joined(name), f"{name} has joined")  # type: ignore[misc]
        self.until(lambda: self.listens("mlflow", 5000), "MLflow is up")

    def start_worker(self, name: str) -> None:
        host = self.hosts[name]
        self.log(name).unlink(missing_ok=True)
        host.start(
            "ray", "start", "--block", "--address=head:6379", "--num-cpus=1", OBJECT_STORE,
            f"--node-ip-address={host.address}", log=self.log(name),
        )  # fmt: skip

    def joined(self, name: str) -> bool:
        return "will now block" in self.log(name).read_text()

    def restart_worker(self, name: str) -> None:
        """As a host that was cut off comes back: whatever ran on it is gone."""
        self.hosts[name].end_processes()
        self.start_worker(name)
        self.until(lambda: self.joined(name), f"{name} has joined again")

    def start_mlflow(self) -> None:
        self.hosts["mlflow"].start(
            "sh", str(ROOT / "cluster" / "mlflow" / "start.sh"), log=self.log("mlflow"), MLFLOW_HOST="0.0.0.0",
            MLFLOW_BACKEND_STORE_URI=f"sqlite:///{self.database}", MLFLOW_ARTIFACTS=str(self.shared / "artifacts"),
            MLFLOW_SERVER_ALLOWED_HOSTS="mlflow:5000", MLFLOW_WORKERS="1",
            MLFLOW_LOGIN="none",
        )  # fmt: skip

    def listens(self, name: str, port: int) -> bool:
        """Return whether a connection from the desk is taken."""
        code = f"import socket; socket.create_connection(('{name}', {port}), 1)"
        return self.hosts["desk"].run(sys.executable, "-S", "-c", code).returncode == 0

    def trainers(self, name: str) -> list[psutil.Process]:
        """The processes of a host that train: trials, or the members of a team."""
        found = []
        for kind in ("ray::ImplicitFunc", "ray::trial", "RayTrainWorker"):
            found += self.hosts[name].processes(kind)
        return found

    # Jobs -----------------------------------------------------------------------------------------------------------

    def submit(self, *flags: str, **environment: str) -> Job:
        """Submits desk/study.py over HTTP, with the folder that it is in. environment: of all the job's processes."""
        number = len(self.jobs)
        job_id, log = f"job-{number}", self.log(f"job-{number}")
        process = self.hosts["desk"].start(
            "ray", "job", "submit", "--address", JOBS, "--submission-id", job_id, "--working-dir", ".",
            "--runtime-env-json", json.dumps({"env_vars": environment}), "--",
            "python", "study.py", "--storage", str(self.storage), "--tracking-uri", TRACKING, *flags,
            log=log, folder=self.desk,
        )  # fmt: skip
        self.jobs.append(Job(self.hosts["desk"], job_id, process, log))
        return self.jobs[-1]

    @property
    def desk(self) -> Path:
        return self.shared / "desk"

    @property
    def storage(self) -> Path:
        return self.shared / "storage"

    @property
    def database(self) -> Path:
        return self.shared / "mlflow.db"

    # What is seen of it ---------------------------------------------------------------------------------------------

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def step_log(self, name: str) -> Path:
        return self.shared / f"{name}.steps"

    def steps(self, key: str, *names: str) -> Counter[int]:
        """Return how often each step of a segment was trained on these hosts, or on any; by a team's leader,
        for a team.
        """
        found: Counter[int] = Counter()
        for name in names or NAMES:
            if self.step_log(name).exists():
                lines = (line.split() for line in self.step_log(name).read_text().splitlines())
                found.update(int(step) for owner, step in lines if owner == key)
        return found

    def leads(self, key: str) -> str:
        """The host that trains a segment now, or whose worker leads the team that does."""
        before = {name: self.steps(key, name).total() for name in WORKERS}
        self.until(lambda: any(self.steps(key, name).total() > before[name] for name in WORKERS), "it trains")
        return next(name for name in WORKERS if self.steps(key, name).total() > before[name])

    def until(self, holds: Callable[[], object], what: str, timeout_s: float = 90) -> float:
        """Waits; how many seconds."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > timeout_s:
                tail = self.jobs[-1].output[-3000:] if self.jobs else self.log("head").read_text()[-3000:]
                raise AssertionError(f"waited for {timeout_s:g} s until {what}:\n{tail}")
            time.sleep(POLL_S)
        return time.monotonic() - began

    def runs(self, study: str) -> Counter[str]:
        """Return how many runs of each name the server holds of a study."""
        query = "select runs.name from runs join experiments using (experiment_id) where experiments.name = ?"
        return Counter(name for (name,) in rows(self.database, query, study))

    def points(self, study: str) -> Counter[tuple[str, str, int, float]]:
        """Return what the server holds of a study, (run's name, metric, step, value), each as often as it is
        there.
        """
        return points(self.database, study)


def points(database: Path, study: str) -> Counter[tuple[str, str, int, float]]:
    query = (
        "select runs.name, metrics.key, metrics.step, metrics.value from metrics join runs using (run_uuid) "
        "join experiments using (experiment_id) where experiments.name = ?"
    )
    return Counter(rows(database, query, study))


def rows(database: Path, query: str, *given: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(query, given).fetchall()


@contextmanager
def a_lab(folder: Path) -> Iterator[Lab]:
    """All hosts up, and gone with the block."""
    (folder / "shared" / "desk").mkdir(parents=True)
    token = folder / "shared" / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(LEFT_OUT)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    environment = inherited | SETTINGS | {"RAY_AUTH_TOKEN_PATH": str(token), "PATH": path}
    with a_network(folder, NAMES, [folder / "shared", ROOT], environment) as network:
        lab = Lab(folder, network)
        lab.start_all()
        yield lab


def checkout(folder: Path) -> None:
    """A lab's checkout of this project, with the clutter that it gathers: 5 MB of it."""
    shutil.copytree(ROOT / "lth_ray", folder / "lth_ray", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".rayignore", folder)
    shutil.copy(Path(__file__).with_name("slowly.py"), folder)
    for name in ("lth_storage/states/a.safetensors", "data/train-00000.arrow", ".git/pack", "mlflow.db", "net.pt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(10**6))
